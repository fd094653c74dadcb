"""Reading an older version: what may not be seen is as if it were not there."""

from .pairs import Pair, assert_same

SAME = [
    "Observation/h1/_history/1",
    "Patient/a/_history/2",
    "Observation/h1/_history/1?_elements=id",
    "Patient/a/_history/1",
    "Patient/a/_history/9",
    "Patient/b/_history/1",
    "Observation/o1/_history/1",
    "Observation/o1/_history/2",
    "Encounter/eh/_history/1",
]


async def test_a_read_of_a_version_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
