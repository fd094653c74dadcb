"""The official FHIRPath suite for R4 (``shared/data/fhirpath``): its cases, and whether an answer is the expected one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from profiles.definitions import r4
from profiles.strict_json import read
from profiles.xml_reading import read_xml

FOLDER = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "fhirpath"
Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One test of the suite.

    Attributes:
        invalid: Why it must be refused: syntax, semantic or execution; empty for an expression that has an answer.
        predicate: The answer is asked for as a truth: whether anything was found.
        output: (type, text) of each value expected.
    """

    name: str
    input: str
    expression: str
    invalid: str
    predicate: bool
    output: tuple[tuple[str, str], ...]


def cases() -> Iterator[Case]:
    """All cases of the suite."""
    for test in ET.parse(FOLDER / "tests-fhir-r4.xml").iter("test"):
        expression = test.find("expression")
        assert expression is not None
        yield Case(
            test.get("name", ""),
            test.get("inputfile", ""),
            (expression.text or "").strip(),
            expression.get("invalid", ""),
            test.get("predicate") == "true",
            tuple((o.get("type", ""), o.text or "") for o in test.findall("output")),
        )


@cache
def resource(name: str) -> tuple[str, Json]:
    """An input of the suite: its JSON text, and the same, read; ``{}`` where a case has none."""
    if not name:
        return '{"resourceType":"Basic"}', {"resourceType": "Basic"}
    text = (
        read_xml((FOLDER / name).read_bytes(), r4())
        if name.endswith(".xml")
        else (FOLDER / name).read_text()
    )
    value = read(text)
    assert isinstance(value, dict)
    return text, value


def is_expected(case: Case, found: Sequence[object]) -> bool:
    """Whether the values found are those that the case asks for, in order."""
    if case.predicate and case.output[:1] == (("boolean", "true"),):
        return bool(found) and found != [False]
    if case.predicate and case.output[:1] == (("boolean", "false"),):
        return not found or list(found) == [False]
    return len(found) == len(case.output) and all(map(_is, found, case.output))


def _is(value: object, expected: tuple[str, str]) -> bool:
    type_, text = expected
    if isinstance(value, bool):
        return type_ == "boolean" and text == str(value).lower()
    if isinstance(value, (int, float, Decimal)):
        try:
            return type_ in ("integer", "decimal", "Quantity") and Decimal(str(value)) == Decimal(
                text
            )
        except InvalidOperation:
            return False
    if isinstance(value, dict):
        return type_[:1].isupper()  # the suite writes complex values by their type
    return str(value) == re.sub(r"^@T?", "", text)
