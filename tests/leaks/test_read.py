"""Reading by id: what may not be seen is as if it were not there."""

from .pairs import Pair, assert_same

SAME = [
    "Patient/b",
    "Observation/h1",
    "Encounter/eh",
    "Patient/a",
    "Patient/a?_elements=name,birthDate",
    "Patient/a?_summary=true",
    "Observation/o1",
    "Patient/a?_elements=id",
    "Observation/h1?_elements=id",
    "Observation/b1",
    "Observation/o1?_summary=data",
    "Encounter/e",
    "Encounter/nowhere",
    "List/l",
    "Consent/sharing-a",
]


async def test_a_read_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
