"""``$everything`` is what reads and searches would show."""

from .pairs import Pair, assert_same

SAME = [
    "Patient/a/$everything",
    "Patient/a/$everything?start=2020-01-01&end=2020-12-31",
    "Encounter/e/$everything",
    "Patient/b/$everything",
    "Patient/a/$everything?_type=Observation",
    "Patient/a/$everything?_count=1",
    "Encounter/eh/$everything",
    "Patient/$everything",
    "Patient/a/$everything?_since=2020-01-01",
]


async def test_everything_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
