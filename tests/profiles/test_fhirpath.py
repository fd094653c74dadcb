"""Search expressions compiled, held against fhirpathpy as the oracle and against each other."""

# ruff: noqa: E501  (one case a line)

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models

from profiles.definitions import r4
from profiles.errors import FhirPathError
from profiles.fhirpath import compile_expression

EXAMPLES = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "r4-examples"
Json = dict[str, Any]


def _examples() -> list[Json]:
    if not EXAMPLES.is_dir():
        pytest.skip("no shared data here: r4-examples")
    return [
        json.loads(line)
        for file in sorted(EXAMPLES.glob("*.ndjson.gz"))
        for line in gzip.decompress(file.read_bytes()).splitlines()
    ]


def found(expression: str, resource: Json) -> list[object]:
    branches = compile_expression(expression, resource["resourceType"], r4())
    return [value for branch in branches for value in branch.find(resource)]


def test_every_search_parameter_of_r4_compiles_for_each_of_its_types() -> None:
    compiled = 0
    for type_, parameters in r4().parameters.items():
        for parameter in parameters.values():
            if parameter.expression:
                branches = compile_expression(parameter.expression, type_, r4())
                compiled += 1
                computed = parameter.code.startswith("_") or type_ not in parameter.expression
                assert branches or computed, (type_, parameter.code)
    assert compiled > 2000


def _canonical(values: list[object]) -> list[str]:
    return sorted({json.dumps(v, sort_keys=True, default=float) for v in values})


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _oracle(expression: str, resource: Json) -> list[object] | None:
    try:
        return [_plain(v) for v in fhirpathpy.evaluate(resource, expression, {}, models["r4"])]
    except Exception:
        return None


def _own_part(expression: str, type_: str) -> str | None:
    """The alternatives that speak of one type, where they can be told apart; None where fhirpathpy cannot follow."""
    if (
        "resolve()" in expression
        or " as " in expression
        or ".as(" in expression
        or "ofType" in expression
    ):
        return None
    if "(" in expression.replace(".where(", "") and "|" in expression:
        return None
    parts = [p.strip() for p in expression.split("|")]
    own = [p for p in parts if p == type_ or p.startswith((f"{type_}.", "Resource."))]
    return " | ".join(own) if own else None


def test_compiled_expressions_agree_with_fhirpathpy_on_the_r4_examples() -> None:
    compared, seen = 0, dict[str, int]()
    for resource in _examples():
        type_ = resource["resourceType"]
        seen[type_] = seen.get(type_, 0) + 1
        if seen[type_] > 2:
            continue
        for parameter in r4().parameters[type_].values():
            own = _own_part(parameter.expression, type_)
            if (
                own is None or "exists()" in own
            ):  # a test finds true or nothing here: search knows it is false then
                continue
            expected = _oracle(own.replace("Resource.", f"{type_}."), resource)
            if expected is None:
                continue
            assert _canonical(found(parameter.expression, resource)) == _canonical(expected), (
                type_,
                parameter.code,
            )
            compared += 1
    assert compared > 1500


@pytest.mark.parametrize(
    ("expression", "resource", "expected"),
    [
        ("Patient.deceased.exists() and Patient.deceased != false", {"resourceType": "Patient"}, []),
        ("Patient.deceased.exists() and Patient.deceased != false", {"resourceType": "Patient", "deceasedBoolean": False}, []),
        ("Patient.deceased.exists() and Patient.deceased != false", {"resourceType": "Patient", "deceasedBoolean": True}, [True]),
        ("Patient.deceased.exists() and Patient.deceased != false", {"resourceType": "Patient", "deceasedDateTime": "2020"}, [True]),
        ("(Observation.value as string)", {"resourceType": "Observation", "valueString": "x"}, ["x"]),
        ("(Observation.value as string)", {"resourceType": "Observation", "valueBoolean": True}, []),
        ("Observation.value.ofType(string)", {"resourceType": "Observation", "valueString": "x"}, ["x"]),
        ("Observation.subject.where(resolve() is Patient)",
         {"resourceType": "Observation", "subject": {"reference": "Patient/1/_history/2"}}, [{"reference": "Patient/1/_history/2"}]),
        ("Observation.subject.where(resolve() is Patient)", {"resourceType": "Observation", "subject": {"reference": "Group/1"}}, []),
        ("Observation.subject.where(resolve() is Patient)",
         {"resourceType": "Observation", "subject": {"type": "Patient", "identifier": {}}}, [{"type": "Patient", "identifier": {}}]),
        ("Observation.subject.where(resolve() is Patient)",
         {"resourceType": "Observation", "subject": {"reference": "#p"}, "contained": [{"resourceType": "Patient", "id": "p"}]},
         [{"reference": "#p"}]),
        ("Patient.telecom.where(system='phone')",
         {"resourceType": "Patient", "telecom": [{"system": "phone", "value": "1"}, {"system": "fax"}]},
         [{"system": "phone", "value": "1"}]),
        ("Patient.name[1].family", {"resourceType": "Patient", "name": [{"family": "a"}, {"family": "b"}]}, ["b"]),
        ("Patient.name.given", {"resourceType": "Patient", "name": [{"given": [None, "a"]}, {}, {"given": ["b"]}]}, ["a", "b"]),
        ("Patient.name.given", {"resourceType": "Patient", "name": "nonsense"}, []),
        ("Patient.nonsense", {"resourceType": "Patient", "nonsense": 1}, []),
        ("Group.name", {"resourceType": "Patient", "name": [{"family": "a"}]}, []),
    ],
)  # fmt: skip
def test_an_expression_finds_what_it_names(
    expression: str, resource: Json, expected: list[object]
) -> None:
    assert found(expression, resource) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "", "Patient.", "Patient.name.", "(Patient.name", "Patient.name)", "Patient.name.first()", "Patient.name | ", "| Patient.name",
        "Patient.name + 1", "Patient.name.where(x > 1)", "Patient.name.where()", "Patient.name[", "Patient.name[]", "Patient.name[x]",
        "Patient.name as", "Patient.extension(1)", "Patient.name 'x'", "Patient.name; drop", "%resource", "Patient.name.where(a='b)",
        "Patient.name and Patient.x",
    ],
)  # fmt: skip
def test_what_is_not_covered_is_refused_not_left_out(expression: str) -> None:
    with pytest.raises(FhirPathError):
        compile_expression(expression, "Patient", r4())
