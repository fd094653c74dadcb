"""The Java validator's own R4 cases (``shared/data/validator-r4``): what it calls an error, we find, or we say why not.

The figure: 47 of the 62 cases are bad, and 36 of these are found.  Of the other 11, three need a terminology server, three
the definition of a profile or extension, one a certificate: so 36 of the 40 that need none of these.  Of the 15 good cases
none is refused.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from profiles.errors import JsonError
from profiles.strict_json import read
from profiles.validation import Validator, r4_validator

FILE = (
    Path(__file__).resolve().parents[2]
    / ".."
    / "shared"
    / "data"
    / "validator-r4"
    / "cases.ndjson.gz"
)
Json = dict[str, Any]

OUTSIDE = {
    "cvx": "terminology server: a display name of CVX",
    "vs-bad-code": "terminology server: codes of SNOMED CT",
    "vs-bad-ecl-us": "terminology server: the grammar of SNOMED CT's ECL",
    "pat-dob-ext": "profile: an extension that is not known, which R4 allows",
    "obs-vs-1": "profile: an extension that is not known; the vital signs profile",
    "patient-with-turvakielto": "profile: an extension that is not known",
    "signatures-example-2": "certificate: verifies a signature",
}
NOT_FOUND = {
    "dr-example-org": "refuses urls of example.org by an option of that validator; R4 does not",
    "pat-security-bad-string": "refuses what looks like HTML in a string by an option of that validator; R4 does not",
    "allergy": "has data-absent-reason for an optional code; R4 does not say that it must not",
    "vs-params-3": "reads the FHIRPath of an Expression; we do not",
}


def _cases() -> list[Json]:
    if not FILE.is_file():
        pytest.skip("no shared data here: validator-r4")
    return [json.loads(line) for line in gzip.decompress(FILE.read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def found() -> dict[str, bool]:
    """Name of a case to whether we find an error in it."""
    validator = r4_validator()
    return {case["name"]: _is_refused(validator, case["content"]) for case in _cases()}


def _is_refused(validator: Validator, content: str) -> bool:
    try:
        value = read(content)
    except JsonError:
        return True
    assert isinstance(value, dict)
    return bool(validator.check(value))


def test_of_the_bad_cases_all_are_found_but_those_that_are_named_here(
    found: dict[str, bool],
) -> None:
    bad = [case["name"] for case in _cases() if case["errors"]]
    assert len(bad) == 47
    missed = {name for name in bad if not found[name]}
    assert missed == set(OUTSIDE) | set(NOT_FOUND)
    judged = len(bad) - len(OUTSIDE)
    assert (judged - len(NOT_FOUND), judged) == (36, 40)


def test_no_good_case_is_refused(found: dict[str, bool]) -> None:
    good = [case["name"] for case in _cases() if not case["errors"]]
    assert len(good) == 15
    assert [name for name in good if found[name]] == []


def test_where_an_invariant_or_code_is_wrong_the_element_is_the_one_that_is_named() -> None:
    validator = r4_validator()
    for name, where, rule in (
        ("risk-assessment-probability-range", "RiskAssessment.prediction[0]", "ras-2"),
        ("q-enablewhen-me-wrong", "Questionnaire.item[2]", "que-12"),
        ("mr-covid-m", "Measure.group[0].population[0].criteria", "exp-1"),
        ("ext-ccuk", "StructureDefinition.differential", "sdf-20"),
        ("obs-unit-profile", "StructureDefinition.differential.element[0]", "eld-19"),
        ("contract-binding-test", "Contract.legalState.coding[0].code", "system"),
        ("pat-security-bad-xhtml", "Patient.text.div", "narrative"),
        ("xml-bad-entities-json", "Encounter.text.div", "narrative"),
        ("bundle-duplicate-id", "Bundle.entry[0].fullUrl", "uri"),
        ("versioned-extension", "Patient.extension[1].url", "extension"),
        ("ips-htmlrefs-backwards", "Bundle.entry[2].resource.extension[0]", "extension"),
    ):
        [case] = [case for case in _cases() if case["name"] == name]
        value = read(case["content"])
        assert isinstance(value, dict)
        assert (where, rule) in {(p.expression, p.rule) for p in validator.check(value)}, name
