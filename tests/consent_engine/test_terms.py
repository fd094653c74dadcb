"""The derived tables against the code systems that they were derived from."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from consent_engine import terms


@pytest.fixture(scope="session")
def systems(examples: Path) -> dict[str, Any]:
    with gzip.open(examples / "r4-definitions" / "codesystems.json.gz", "rt") as text:
        entries = json.load(text)["entry"]
    return {each["resource"].get("url"): each["resource"] for each in entries}


def below(concepts: list[Any], code: str, inside: bool = False) -> set[str]:
    """The code and its descendants."""
    found: set[str] = set()
    for each in concepts:
        here = inside or each["code"] == code
        found |= {each["code"]} if here else set()
        found |= below(each.get("concept", []), code, here)
    return found


def test_purposes_are_those_of_r4(systems: dict[str, Any]) -> None:
    concepts = systems[terms.ACT_REASON]["concept"]
    for code in below(concepts, "PurposeOfUse"):
        expected = {(terms.ACT_REASON, each) for each in below(concepts, code)}
        assert terms.purposes_covered(terms.ACT_REASON, code) == expected


def test_sensitivities_are_those_of_r4_except_that_eth_and_sud_are_one(
    systems: dict[str, Any],
) -> None:
    concepts = systems[terms.ACT_CODE]["concept"]
    substance = below(concepts, "SUD") | {"ETH"}
    for code in below(concepts, "_InformationSensitivityPolicy"):
        expected = below(concepts, code)
        expected |= substance if expected & {"SUD", "ETH"} else set()
        assert terms.labels_covered(terms.ACT_CODE, code) == {
            (terms.ACT_CODE, each) for each in expected
        }
        assert terms.is_sensitivity(terms.ACT_CODE, code)


def test_refrain_codes_are_those_of_r4_and_make_no_record_sensitive(
    systems: dict[str, Any],
) -> None:
    concepts = systems[terms.ACT_CODE]["concept"]
    assert below(concepts, "RefrainPolicy") - {"RefrainPolicy"} == terms.REFRAIN_CODES
    policies = below(concepts, "_ActPolicyType") - below(concepts, "_InformationSensitivityPolicy")
    labels = {each for each in policies if not each.startswith("_")}
    trust = {each for each in labels if each.startswith(("TRST", "ActTrust"))} | {"COVPOL"}
    assert {each for each in labels if terms.is_sensitivity(terms.ACT_CODE, each)} == trust


def test_confidentiality_rises_from_u_to_v() -> None:
    assert sorted(terms.RANKS, key=lambda code: terms.RANKS[code]) == list("ULMNRV")


def test_a_code_of_another_system_covers_and_touches_itself_only() -> None:
    only = {("urn:x", "TREAT")}
    assert terms.purposes_covered("urn:x", "TREAT") == only
    assert terms.labels_covered("urn:x", "TREAT") == terms.labels_touched("urn:x", "TREAT") == only
    assert not terms.is_sensitivity("urn:x", "PSY")
    assert terms.labels_touched(terms.ACT_CODE, "new") == {(terms.ACT_CODE, "new")}
