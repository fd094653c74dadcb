"""Records get the labels that their codes ask for, with every version; what somebody has set stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from consent_engine import LabelRules, builtin_rules
from fhir_server.interactions.labelling import RULE, Labelling
from fhir_server.resource_text import read_resource

from ..clinic import (
    HOUSE,
    OTHER,
    SECURITY,
    Clinic,
    entry,
    observation,
    patient,
    sharing,
    transaction,
)

AUDIT_C = "75626-2"
HIV_LOAD = "20447-9"


def labels(resource: Any) -> list[tuple[str, bool]]:
    """(code, whether a rule asked for it)."""
    found = resource.get("meta", {}).get("security", [])
    return [
        (label["code"], any(e["url"] == RULE for e in label.get("extension", ())))
        for label in found
    ]


@pytest.fixture
async def clinic_with_rules(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    return clinic


async def stored(clinic: Clinic, id_: str = "o") -> Any:
    return (await clinic.get(HOUSE, f"Observation/{id_}")).json


async def test_what_is_written_is_labelled_by_its_codes(clinic_with_rules: Clinic) -> None:
    clinic = clinic_with_rules
    await clinic.put(observation("o", "a", AUDIT_C))
    await clinic.put(observation("p", "a"))
    assert labels(await stored(clinic)) == [("ETHUD", True), ("R", True)]
    assert "security" not in (await stored(clinic, "p"))["meta"]
    [label, _] = (await stored(clinic))["meta"]["security"]
    told = {e["url"].rpartition("/")[2]: e for e in label["extension"]}
    assert told["extension-sec-label-basis"]["valueCoding"]["code"] == "42CFRPart2"
    assert told["extension-sec-label-classifier"]["valueReference"]["reference"] == (
        "Organization/custodian"
    )


async def test_a_label_goes_with_the_code_and_comes_back_with_it(clinic_with_rules: Clinic) -> None:
    clinic = clinic_with_rules
    await clinic.put(observation("o", "a", AUDIT_C))
    again = await stored(clinic)
    answer = await clinic.put(again)
    assert answer.json["meta"]["versionId"] == "1", "it says what is stored already"
    again["code"]["coding"][0]["code"] = HIV_LOAD
    assert labels((await clinic.put(again)).json) == [("HIV", True), ("R", True)]
    patch = [{"op": "replace", "path": "/code/coding/0/code", "value": "8867-4"}]
    kind = {"content-type": "application/json-patch+json"}
    patched = await clinic.ask(HOUSE, "PATCH", "Observation/o", patch, kind)
    assert labels(patched.json) == []


async def test_what_somebody_has_set_is_never_taken_away(clinic_with_rules: Clinic) -> None:
    clinic = clinic_with_rules
    own = [{"system": SECURITY, "code": code} for code in ("ETHUD", "HIV")]
    await clinic.put(observation("o", "a", AUDIT_C, meta={"security": own}))
    assert labels(await stored(clinic)) == [("ETHUD", False), ("HIV", False), ("R", True)]
    await clinic.put(observation("o", "a", meta={"security": own}))
    assert labels(await stored(clinic)) == [("ETHUD", False), ("HIV", False)]


async def test_a_label_that_a_rule_asked_for_cannot_be_taken_off(clinic_with_rules: Clinic) -> None:
    clinic = clinic_with_rules
    await clinic.put(observation("o", "a", AUDIT_C))
    meta = {"security": [{"system": SECURITY, "code": "ETHUD"}]}
    sent = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}
    assert (await clinic.ask(HOUSE, "POST", "Observation/o/$meta-delete", sent)).status == 200
    assert labels(await stored(clinic)) == [("ETHUD", True), ("R", True)]
    await clinic.put(observation("o", "a", AUDIT_C, meta={"tag": [{"code": "x"}]}))
    assert labels(await stored(clinic)) == [("ETHUD", True), ("R", True)]


async def test_consent_decides_by_the_labels_that_rules_set(clinic_with_rules: Clinic) -> None:
    """OTHER may see everything but what is about substance use; nobody has labelled anything."""
    clinic = clinic_with_rules
    await clinic.put(sharing("a"))
    sent = transaction(
        entry("POST", "Observation", {**observation("x", "a", AUDIT_C)}),
        entry("POST", "Observation", {**observation("x", "a")}),
    )
    assert (await clinic.ask(HOUSE, "POST", "", sent)).status == 200
    found = (await clinic.get(OTHER, "Observation?patient=a&_total=accurate")).json
    assert found["total"] == 1
    assert [e["resource"]["code"]["coding"][0]["code"] for e in found["entry"]] == ["8867-4"]
    assert (await clinic.get(HOUSE, "Observation?_security=ETHUD")).json["entry"]


async def test_who_may_not_see_it_then_may_not_write_it_either(clinic_with_rules: Clinic) -> None:
    clinic = clinic_with_rules
    await clinic.put(sharing("a"))
    plain = await clinic.ask(OTHER, "POST", "Observation", {**observation("x", "a")})
    hidden = await clinic.ask(OTHER, "POST", "Observation", {**observation("x", "a", AUDIT_C)})
    assert (plain.status, hidden.status) == (201, 404)


async def test_bytes_that_are_not_the_label_s_stay_as_they_were_sent(
    clinic_with_rules: Clinic,
) -> None:
    sent = (
        b'{ "resourceType":"Observation","id":"o", "meta": {"tag":[{"code":"t"}]},"status":"final",'
        b'"code":{"coding":[{"system":"http://loinc.org","code":"75626-2"}]},'
        b'"subject":{"reference":"Patient/a"},"valueQuantity":{"value":1.00} }'
    )
    answer = await clinic_with_rules.ask(HOUSE, "PUT", "Observation/o", sent)
    assert b'"valueQuantity":{"value":1.00}' in answer.body
    assert answer.json["meta"]["tag"] == [{"code": "t"}]
    assert labels(answer.json) == [("ETHUD", True), ("R", True)]


@pytest.mark.parametrize("type_", ["Consent", "AuditEvent", "Organization", "ValueSet"])
def test_what_tells_of_nobody_s_health_gets_no_label(type_: str) -> None:
    rules = LabelRules()
    rules.add(builtin_rules(), str)
    labelling = Labelling(rules, "Organization/x", frozenset({"Organization", "ValueSet"}))
    coding = {"system": "http://loinc.org", "code": AUDIT_C}
    text = json.dumps({"resourceType": type_, "code": {"coding": [coding]}})
    resource = read_resource(text.encode())
    assert labelling.labelled(resource) is resource
    condition = read_resource(text.replace(type_, "Condition").encode())
    assert labels(labelling.labelled(condition).value) == [("ETHUD", True), ("R", True)]


@pytest.mark.parametrize(
    "security",
    [
        "x",
        5,
        None,
        [5],
        [None],
        [{"extension": "x"}],
        [{"extension": [5]}],
        [{"extension": [{"url": RULE}]}],
    ],
)
def test_labels_of_any_shape_are_read_without_a_fault(security: Any) -> None:
    rules = LabelRules()
    rules.add(builtin_rules(), str)
    labelling = Labelling(rules, "Organization/x", frozenset())
    coding = {"system": "http://loinc.org", "code": AUDIT_C}
    value = {
        "resourceType": "Condition",
        "meta": {"security": security},
        "code": {"coding": [coding]},
    }
    made = labelling.labelled(read_resource(json.dumps(value).encode()))
    assert made.value["meta"]["security"][-2]["code"] == "ETHUD"  # type: ignore[index]


async def test_a_confidentiality_that_somebody_has_set_stays_alone(
    clinic_with_rules: Clinic,
) -> None:
    system = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
    own = {"security": [{"system": system, "code": "V"}]}
    await clinic_with_rules.put(observation("o", "a", AUDIT_C, meta=own))
    assert labels(await stored(clinic_with_rules)) == [("V", False), ("ETHUD", True)]
