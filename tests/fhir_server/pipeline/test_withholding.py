"""What is decided on its own, and what goes with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.pipeline.withholding import INLINE, names_of, parts, paths_of, taken_out

LABEL = {"url": INLINE, "valueCoding": {"system": "s", "code": "ETH"}}
EXT = {"extension": [LABEL]}


def paths(value: dict[str, Any]) -> list[tuple[str | int, ...]]:
    return [part.path for part in parts(value, json.dumps(value).encode())]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"birthDate": "2000", "_birthDate": EXT}, ("birthDate",)),
        ({"name": [{"given": ["A", "B"], "_given": [None, EXT]}]}, ("name", 0, "given", 1)),
        ({"name": [{"family": "x", **EXT}]}, ("name", 0)),
        ({"extension": [{"url": "u", **EXT}]}, ("extension", 0)),
        (EXT, ()),
        ({"contained": [{"resourceType": "Patient"}]}, ("contained", 0)),
    ],
)
def test_a_part_is_found_wherever_its_label_stands(
    more: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    assert paths({"resourceType": "Patient", **more}) == [path]


def test_an_entry_goes_with_its_url_and_a_parameter_with_its_name() -> None:
    inner = {"resource": {"resourceType": "Patient"}}
    assert paths({"resourceType": "Bundle", "entry": [inner]}) == [("entry", 0)]
    assert paths({"resourceType": "Parameters", "parameter": [inner]}) == [("parameter", 0)]


def test_labels_add_up_from_outside_to_inside() -> None:
    value = {
        "resourceType": "Bundle",
        "meta": {"security": [{"code": "1"}]},
        "entry": [
            {
                "resource": {
                    "resourceType": "Patient",
                    "meta": {"security": [{"code": "2"}]},
                    "name": [{"extension": [{"url": INLINE, "valueCoding": {"code": "3"}}]}],
                }
            }
        ],
    }
    found = [p.pseudo["meta"]["security"] for p in parts(value)]  # type: ignore[index]
    assert sorted(c["code"] for c in found[0]) == ["1", "2"]
    assert sorted(c["code"] for c in found[1]) == ["1", "2", "3"]


def test_a_label_whose_letters_are_written_as_numbers_counts() -> None:
    value = {"resourceType": "Patient", "name": [EXT]}
    text = json.dumps(value).replace("inline-sec", "\\u0069nline-sec").encode()
    assert [part.path for part in parts(value, text)] == [("name", 0)]


def test_a_label_without_a_coding_counts_as_unreadable() -> None:
    value = {"resourceType": "Patient", "name": [{"extension": [{"url": INLINE}]}]}
    (part,) = parts(value)
    assert part.pseudo["meta"] == {"security": [{}]}


@pytest.mark.parametrize("path", [(), ("id",), ("meta",), ("implicitRules",)])
def test_without_what_a_resource_needs_nothing_is_left(path: tuple[str, ...]) -> None:
    assert taken_out({"resourceType": "Patient"}, {path}) is None


def test_narratives_signatures_totals_and_references_go_along() -> None:
    value = {
        "resourceType": "Bundle",
        "total": 1,
        "signature": {"data": "eA=="},
        "entry": [
            {
                "resource": {
                    "resourceType": "List",
                    "text": {"div": "<div/>"},
                    "contained": [{"resourceType": "Patient", "id": "p"}],
                    "subject": {"reference": "#p"},
                    "note": [{"text": "stays"}],
                }
            },
            {"resource": {"resourceType": "List", "subject": {"reference": "#p"}}},
        ],
    }
    at = ("entry", 0, "resource")
    assert taken_out(value, {(*at, "contained", 0)}) == {
        (*at, "contained", 0),
        (*at, "text"),
        (*at, "subject"),
        ("total",),
        ("signature",),
    }


def test_in_another_version_all_elements_of_the_name_are_meant() -> None:
    names = names_of({("name", 1, "given", 0)})
    value = {"name": [{"given": ["A"]}, {"family": "x"}, {"given": ["B"]}]}
    assert set(paths_of(value, names)) == {("name", 0, "given"), ("name", 2, "given")}
