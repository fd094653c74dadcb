"""What the committed terminology table knows, and that it says so where it does not."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from importlib import resources
from pathlib import Path

import pytest

from profiles.definitions import r4
from profiles.derive import derive_terminology, read_package
from profiles.terminology import Terminology, r4_terminology

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
PACKAGE = "CONSENTRY_R4_PACKAGE"


def _table() -> bytes:
    return gzip.decompress(resources.files("profiles").joinpath("terminology.json.gz").read_bytes())


def test_the_table_is_the_one_that_its_source_page_names() -> None:
    page = resources.files("profiles").joinpath("SOURCE.md").read_text()
    hashes = re.findall(r"\| terminology, uncompressed \| `([0-9a-f]{64})` \|", page)
    assert hashes == [hashlib.sha256(_table()).hexdigest()]


def test_the_official_package_gives_the_committed_table() -> None:
    name = os.environ.get(PACKAGE, "")
    if not name:
        pytest.skip(f"{PACKAGE} does not name hl7.fhir.r4.core.tgz: the table is not derived again")
    table = derive_terminology(read_package(Path(name).read_bytes()))
    assert json.dumps(table, separators=(",", ":")).encode() == _table()


def test_every_required_binding_of_a_code_implies_its_system_or_several() -> None:
    bound = {e.codes for t in r4().elements.values() for e in t.values() if e.codes}
    known = r4_terminology()
    implied = [url for url in bound if known.implied(url, "")]
    assert len(implied) > 0.95 * len(bound)
    assert known.implied("http://hl7.org/fhir/ValueSet/administrative-gender", "male") == (
        "http://hl7.org/fhir/administrative-gender"
    )
    assert known.implied("http://nowhere", "male") == ""


def test_hierarchies_go_both_ways() -> None:
    known = r4_terminology()
    below, above = known.below(ACT, "IMP"), known.above(ACT, "ACUTE")
    assert below is not None
    assert above is not None
    assert below == {"IMP", "ACUTE", "NONAC"}
    assert {"ACUTE", "IMP", "_ActEncounterCode"} <= above


@pytest.mark.parametrize("pair", [(ACT, "nope"), ("http://loinc.org", "8867-4"), ("", "")])
def test_what_is_not_known_is_none(pair: tuple[str, str]) -> None:
    assert r4_terminology().below(*pair) is None
    assert r4_terminology().above(*pair) is None
    assert r4_terminology().members(pair[0]) is None


SMALL = Terminology(
    {"s": {"a": "", "b": "a", "c": "b", "x": ""}},
    {"all": {"include": [{"system": "s"}]}, "loop": {"include": [{"valueSet": ["loop"]}]}},
)


@pytest.mark.parametrize(
    ("compose", "codes"),
    [
        ({"include": [{"system": "s"}]}, "abcx"),
        (
            {
                "include": [{"system": "s"}],
                "exclude": [{"system": "s", "concept": [{"code": "b"}]}],
            },
            "acx",
        ),
        (
            {
                "include": [
                    {"system": "s", "filter": [{"property": "concept", "op": "is-a", "value": "b"}]}
                ]
            },
            "bc",
        ),
        (
            {
                "include": [
                    {
                        "system": "s",
                        "filter": [{"property": "concept", "op": "descendent-of", "value": "a"}],
                    }
                ]
            },
            "bc",
        ),
        ({"include": [{"system": "s", "concept": [{"code": "a"}], "valueSet": ["all|1"]}]}, "a"),
        (
            {
                "include": [
                    {
                        "system": "s",
                        "filter": [{"property": "concept", "op": "regex", "value": "(a+)+"}],
                    }
                ]
            },
            None,
        ),
        ({"include": [{"system": "other"}]}, None),
        ({"include": [{"system": "s"}, {"system": "other"}]}, None),
        ({"include": [{"system": "s"}], "exclude": [{"system": "other"}]}, None),
        ({"include": [{"valueSet": ["nowhere"]}]}, None),
        ({"include": [{"valueSet": ["loop"]}]}, None),
        ({"include": "nonsense"}, ""),
        ({}, None),
    ],
)
def test_a_value_set_is_listed_or_not_known(compose: dict[str, object], codes: str | None) -> None:
    found = SMALL.enumerate({"resourceType": "ValueSet", "compose": compose})
    assert found == (None if codes is None else {("s", code) for code in codes})


def test_an_expansion_counts_before_the_compose() -> None:
    contains = [
        {"system": "s", "code": "a", "contains": [{"system": "s", "code": "n"}]},
        {"abstract": True, "code": "q"},
    ]
    assert SMALL.enumerate({"expansion": {"contains": contains}, "compose": {}}) == {
        ("s", "a"),
        ("s", "n"),
    }
