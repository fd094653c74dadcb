"""Where an element stands in a text."""

import pytest

from profiles.locating import places

TEXT = """
{ "resourceType": "Patient",
  "name": [ {"family": "a\\"b"},
            {"given": ["x",
                       "y"]} ],
  "active": true }"""


@pytest.mark.parametrize(
    ("expression", "place"),
    [
        ("Patient", (2, 1)),
        ("Patient.name", (3, 11)),
        ("Patient.name[0].family", (3, 24)),
        ("Patient.name[1].given[1]", (5, 24)),
        ("Patient.active", (6, 13)),
        ("Patient.active.extension[0].url", (6, 13)),  # not there: the nearest around it
        ("Patient.name[7].family", (3, 11)),
        ("Patient.birthDate", (2, 1)),
    ],
)
def test_an_element_has_its_line_and_column(expression: str, place: tuple[int, int]) -> None:
    others = ["Patient.name[0]", "Patient.active", "Patient.name[1].given[0]"]
    assert places(TEXT, [expression, *others])[expression] == place


def test_many_are_found_in_one_pass() -> None:
    text = '{"a":[' + ",\n".join(['{"b":1}'] * 2000) + "]}"
    found = places(text, [f"X.a[{n}].b" for n in range(2000)])
    assert found["X.a[1999].b"] == (2000, 6)
