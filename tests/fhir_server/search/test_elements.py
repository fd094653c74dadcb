"""Elements of the wrong shape, as lenient storing may let them in, offer nothing and break nothing."""

import pytest

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import WHOLE, Searchable
from profiles.definitions import r4

SEARCHABLE = Searchable(r4())
TOKENIZER = Tokenizer(SEARCHABLE, BlindIndex(bytes(32), "tenant"))
WRONG: list[object] = [
    None, 1, "x", True, [], {}, [1], ["x"], [{}], [[1]], 1e300, {"value": "x"}, {"coding": 1}, {"coding": [1]},
    {"coding": {"a": 1}}, {"start": 1}, {"start": "x", "end": []}, {"event": 3}, {"low": 3}, {"low": {"value": []}},
    {"event": [4], "repeat": {"boundsPeriod": {"start": "zz"}}}, {"data": 5, "origin": {"value": 1}},
    {"data": "1e999999 NaN 1", "origin": {"value": 1}}, {"identifier": {"type": {"coding": "x"}}}, {"reference": 5},
    {"latitude": "a", "longitude": {}}, {"currency": {}, "value": 1}, {"url": 5, "valueString": {}},
]  # fmt: skip


@pytest.mark.parametrize(
    "type_", ["Patient", "Observation", "Condition", "Location", "MolecularSequence", "Procedure", "Invoice"]
)  # fmt: skip
def test_an_element_of_the_wrong_shape_breaks_nothing(type_: str) -> None:
    values = SEARCHABLE.of(type_)
    looked_at = {
        member: [p for p in values.parameters.values() if _looks_at(type_, p.code, member)]
        for member in r4().elements[type_]
    }
    for member, parameters in looked_at.items():
        for wrong in WRONG:
            resource = {"resourceType": type_, member: wrong}
            TOKENIZER.tokens(type_, resource, ())
            for parameter in parameters:
                values.find(parameter, resource)


def _looks_at(type_: str, code: str, member: str) -> bool:
    values = SEARCHABLE.of(type_)
    if code in WHOLE or not values.reads(code):
        return False
    return member in values.first_members(values.parameters[code])
