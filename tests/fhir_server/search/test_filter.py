"""The grammar of ``_filter``: what it means, and what does not follow it."""

from __future__ import annotations

import pytest

from fhir_server.errors import InvalidParameterError
from fhir_server.search.criteria import Criterion
from fhir_server.search.filter import Both, Either, Leaf, Negation, Node, filter_of
from fhir_server.search.values import Searchable
from profiles.definitions import r4

PATIENT = Searchable(r4()).of("Patient")


def parsed(text: str) -> Node:
    return filter_of(Criterion(PATIENT.parameters["_filter"], "", (text,)), PATIENT)


def shape(node: Node) -> object:
    match node:
        case Leaf(criterion, unequal):
            return f"{criterion.parameter.code}:{criterion.modifier}={criterion.values[0]}{'!' * unequal}"
        case Negation(inner):
            return ["not", shape(inner)]
        case Both(nodes) | Either(nodes):
            return ["and" if isinstance(node, Both) else "or", *map(shape, nodes)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name co "pet"', "name:contains=pet"),
        ("birthdate ge 2014-10-10", "birthdate:=ge2014-10-10"),
        ("gender ne male", "gender:=male!"),
        ("active pr true", "active:missing=false"),
        ("active pr false", "active:missing=true"),
        ('family eq "a \\"b\\" \\\\c"', 'family:equals=a "b" \\\\c'),
        ('family eq "and"', "family:equals=and"),
        ("not (active eq true)", ["not", "active:=true"]),
        ("active eq true or gender eq male and family sw a",
         ["or", "active:=true", ["and", "gender:=male", "family:starts=a"]]),
        ("(active eq true or gender eq male) and family ew a",
         ["and", ["or", "active:=true", "gender:=male"], "family:ends=a"]),
        ("birthdate po 2014", "birthdate:overlaps=2014"),
        ("organization re Organization/1", "organization:=Organization/1"),
        (" ( (active eq true) ) ", "active:=true"),
    ],
)  # fmt: skip
def test_an_expression_means_its_comparisons(text: str, expected: object) -> None:
    assert shape(parsed(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        " ", "x", "active", "active eq", "active eq true and", "and active eq true", "active eq true active eq true",
        "(active eq true", "active eq true)", "()", "not active eq true", "not", "active == true", "active co true",
        "name gt x", "name re x", "birthdate co 2014", "organization co x", "nope eq 1", "organization.name eq x",
        "link[type eq x].target re Patient/1", "active pr maybe", 'family eq "a', 'family eq ""', "_filter eq x",
        "_text eq x", "near eq 1", "not (active eq true", "active eq (true)", '"active" eq', "or", "ACTIVE eq true",
    ],
)  # fmt: skip
def test_what_does_not_follow_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterError, match="_filter"):
        parsed(text)


def test_depth_and_length_have_limits() -> None:
    assert parsed("(" * 30 + "active eq true" + ")" * 30)
    for text in (
        "(" * 31 + "active eq true" + ")" * 31,
        "not (" * 40 + "active eq true" + ")" * 40,
        " and ".join(["active eq true"] * 201),
        f'family eq "{"a" * 10_000}"',
    ):
        with pytest.raises(InvalidParameterError, match="_filter"):
            parsed(text)
