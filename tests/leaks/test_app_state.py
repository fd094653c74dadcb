"""App state (SMART "smart-app-state"): kept, changed only by who knows it, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from ..fhir_server.answers import BASE
from ..fhir_server.clinic import CUSTODIAN, HOUSE, Clinic, patient

OWN = {"system": "https://app.example", "code": "preferences"}
OTHERS = {"system": "https://other.example", "code": "preferences"}
SCOPE = "user/Basic.cruds?code=https://app.example|preferences"


def state(subject: str = "", coding: dict[str, str] = OWN, value: str = "{}") -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Basic",
        "code": {"coding": [coding]},
        "extension": [{"url": "https://app.example/preferences-v1", "valueString": value}],
    }
    return {**made, "subject": {"reference": f"{BASE}/{subject}"}} if subject else made


@pytest.fixture
async def app(clinic: Clinic) -> Clinic:
    """An app in the hands of two clinicians and of a patient."""
    await clinic.put(patient("a"))
    for name in ("one", "two"):
        clinic.caller(name, SCOPE, CUSTODIAN, user=f"Practitioner/{name}")
    clinic.caller("hers", SCOPE, "", purposes=("PATRQT",), user="Patient/a", patient="Patient/a")
    return clinic


@pytest.mark.parametrize(
    ("who", "subject"), [("one", "Practitioner/one"), ("hers", "Patient/a"), ("one", "")]
)
async def test_state_is_kept_found_changed_and_deleted(app: Clinic, who: str, subject: str) -> None:
    made = await app.ask(who, "POST", "Basic", state(subject))
    assert (made.status, made.headers["ETag"]) == (201, 'W/"1"')
    about = f"subject={BASE}/{subject}" if subject else "subject:missing=true"
    query = f"Basic?code=https://app.example|preferences&{about}"
    assert (await app.get(who, query)).references == [f"Basic/{made.id_}"]
    target = f"Basic/{made.id_}"
    new = {**state(subject, value='{"view":2}'), "id": made.id_}
    changed = await app.ask(who, "PUT", target, new, {"if-match": 'W/"1"'})
    assert (changed.status, changed.headers["ETag"]) == (200, 'W/"2"')
    assert changed.json["extension"] == new["extension"]
    assert (await app.ask(who, "DELETE", target, headers={"if-match": 'W/"2"'})).status == 204
    again = await app.ask(who, "PUT", target, new, {"if-match": 'W/"2"'})
    assert again.status == 412
    assert (await app.ask(who, "DELETE", target, headers={"if-match": 'W/"2"'})).status == 412


async def test_without_if_match_or_with_a_former_one_nothing_changes(app: Clinic) -> None:
    made = await app.ask("one", "POST", "Basic", state("Practitioner/one"))
    target, new = f"Basic/{made.id_}", {**state("Practitioner/one", value="x"), "id": made.id_}
    patch = [{"op": "replace", "path": "/extension/0/valueString", "value": "x"}]
    kind = {"content-type": "application/json-patch+json"}
    for headers in ({}, {"if-match": 'W/"7"'}):
        assert (await app.ask("one", "PUT", target, new, headers)).status == 412
        assert (await app.ask("one", "PATCH", target, patch, {**kind, **headers})).status == 412
        assert (await app.ask("one", "DELETE", target, None, headers)).status == 412
    assert (await app.get("one", target)).json["meta"]["versionId"] == "1"


@pytest.mark.parametrize(
    "other",
    [
        state("Practitioner/one", {"system": "https://app.example", "code": "other"}),
        state("Patient/a"),
        state(),
    ],
)
async def test_subject_and_code_stay_as_they_are(app: Clinic, other: dict[str, Any]) -> None:
    app.caller("wide", "user/Basic.cruds", CUSTODIAN, user="Practitioner/one")
    made = await app.ask("wide", "POST", "Basic", state("Practitioner/one"))
    target, held = f"Basic/{made.id_}", {"if-match": 'W/"1"'}
    assert (await app.ask("wide", "PUT", target, {**other, "id": made.id_}, held)).status == 412


async def test_the_state_of_another_user_is_not_there(app: Clinic) -> None:
    made = await app.ask("one", "POST", "Basic", state("Practitioner/one"))
    target = f"Basic/{made.id_}"
    for url in (target, f"{target}/_history", f"{target}/_history/1"):
        assert (await app.get("two", url)).status == 404
    for who in ("two", "hers"):
        found = await app.get(who, "Basic?code=https://app.example|preferences")
        assert found.references == []
    new = {**state("Practitioner/one"), "id": made.id_}
    assert (await app.ask("two", "PUT", target, new, {"if-match": 'W/"1"'})).status == 404
    assert (await app.ask("two", "DELETE", target, headers={"if-match": 'W/"1"'})).status == 404
    assert (await app.ask("two", "POST", "Basic", state("Practitioner/one"))).status == 403


async def test_the_state_of_another_app_is_not_there(app: Clinic) -> None:
    app.caller("other", "user/Basic.cruds?code=https://other.example|preferences", CUSTODIAN,
               user="Practitioner/one")  # fmt: skip
    made = await app.ask("one", "POST", "Basic", state("Practitioner/one"))
    assert (await app.get("other", f"Basic/{made.id_}")).status == 404
    assert (await app.get("other", "Basic")).references == []
    assert (await app.ask("other", "POST", "Basic", state("Practitioner/one"))).status == 403
    own = await app.ask("other", "POST", "Basic", state("Practitioner/one", OTHERS))
    assert own.status == 201


async def test_a_patients_state_is_hers_and_her_consent_decides_for_others(app: Clinic) -> None:
    app.caller("outsider", SCOPE, "Organization/other", user="Practitioner/x")
    made = await app.ask("hers", "POST", "Basic", state("Patient/a"))
    assert (await app.get("outsider", f"Basic/{made.id_}")).status == 404
    assert (await app.get("one", f"Basic/{made.id_}")).status == 200


async def test_basics_of_r4_and_those_of_systems_are_as_ever(app: Clinic) -> None:
    standard = {"system": "http://terminology.hl7.org/CodeSystem/basic-resource-type"}
    app.caller("wide", "user/Basic.cruds", CUSTODIAN, user="Practitioner/one")
    referral = {**state("Patient/a", {**standard, "code": "referral"}), "id": "r"}
    for _ in range(2):
        assert (await app.ask("wide", "PUT", "Basic/r", referral)).status in (200, 201)
    own = {**state("Practitioner/one"), "id": "s"}
    for _ in range(2):
        assert (await app.ask(HOUSE, "PUT", "Basic/s", own)).status in (200, 201)
