"""A Consent is filed by who may, ends by a version, and each version that an operation writes is signed."""

from __future__ import annotations

from typing import Any

import pytest

from ...answers import Json
from ...clinic import CUSTODIAN, HOUSE, OTHER, Clinic, consent, observation, patient

ANNA, BERTA, OFFICER, DOCTOR = "anna", "berta", "officer", "doctor"
SIGNED = {
    "resourceType": "Provenance",
    "target": [{"reference": "Consent/any"}],
    "recorded": "2026-05-04T12:00:00Z",
    "agent": [{"who": {"reference": "Patient/a"}}],
    "signature": [
        {
            "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
            "when": "2026-05-04T12:00:00Z",
            "who": {"reference": "Patient/a"},
            "sigFormat": "application/jose",
            "data": "ZXk=",
        }
    ],
}


@pytest.fixture
async def ward(clinic: Clinic) -> Clinic:
    """Two patients with a portal each, their privacy officer, and a doctor whose app may do everything for patients."""
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"o-{id_}", id_))
    own: dict[str, Any] = {"organization": "", "purposes": ("PATRQT",)}
    for name, id_ in ((ANNA, "a"), (BERTA, "b")):
        who = f"Patient/{id_}"
        clinic.caller(name, "patient/*.cruds", user=who, patient=who, **own)
    clinic.caller(OFFICER, "user/*.cruds", user="Practitioner/o", purposes=("HOPERAT",))
    clinic.caller(DOCTOR, "patient/*.cruds", user="Practitioner/d", patient="Patient/a")
    return clinic


def sharing(id_: str = "x", subject: str = "a", **members: Any) -> Json:
    return consent(id_, subject, "permit", actor="Organization/other", **members)


def parameters(**resources: Json) -> Json:
    sent = [{"name": name, "resource": each} for name, each in resources.items()]
    return {"resourceType": "Parameters", "parameter": sent}


async def signatures(clinic: Clinic, who: str = ANNA) -> list[Json]:
    return (await clinic.get(who, "Provenance")).resources


@pytest.mark.parametrize("who", [ANNA, OFFICER, HOUSE])
async def test_who_may_files_and_revokes(ward: Clinic, who: str) -> None:
    assert (await ward.get(OTHER, "Observation/o-a")).status == 404
    filed = await ward.ask(who, "POST", "Consent/$file-consent", parameters(consent=sharing()))
    assert filed.status == 201, filed.body
    assert (await ward.get(OTHER, "Observation/o-a")).status == 200
    target = f"Consent/{filed.json['id']}"
    revoked = await ward.ask(who, "POST", f"{target}/$revoke-consent")
    assert (revoked.status, revoked.json["status"]) == (200, "inactive")
    assert (await ward.get(OTHER, "Observation/o-a")).status == 404
    history = await ward.get(ANNA, f"{target}/_history")
    assert [each["status"] for each in history.resources] == ["inactive", "active"]
    found = {each["target"][0]["reference"] for each in await signatures(ward)}
    assert found == {f"{target}/_history/1", f"{target}/_history/2"}


@pytest.mark.parametrize("who", [DOCTOR, OTHER])
@pytest.mark.parametrize("id_", ["a", "nobody"])
async def test_nobody_permits_himself(ward: Clinic, who: str, id_: str) -> None:
    """In the same words, whether the patient is known or not."""
    await ward.put(sharing("seen"))
    ways: list[tuple[str, str, Json | None]] = [
        ("POST", "Consent", sharing(subject=id_)),
        ("PUT", "Consent/x", sharing(subject=id_)),
        ("POST", "Consent/$file-consent", parameters(consent=sharing(subject=id_))),
        ("POST", "Consent/seen/$revoke-consent", None),
        ("PUT", "Consent/seen", sharing("seen")),
    ]
    for method, url, body in ways:
        answer = await ward.ask(who, method, url, body)
        assert answer.status == 403, url
        assert b"for the patient, a proxy or a privacy officer" in answer.body
    assert len((await ward.get(ANNA, "Consent")).resources) == 1


async def test_another_patients_consent_is_not_there(ward: Clinic) -> None:
    await ward.put(sharing("of-b", "b"))
    for url in ("Consent/of-b/$revoke-consent", "Consent/none/$revoke-consent"):
        assert (await ward.ask(ANNA, "POST", url)).status == 404
    for subject in ("b", "nobody"):
        body = parameters(consent=sharing(subject=subject))
        assert (await ward.ask(ANNA, "POST", "Consent/$file-consent", body)).status == 403
    assert (await ward.get(BERTA, "Consent/of-b")).json["status"] == "active"


async def test_breaking_the_glass_writes_no_consent(ward: Clinic) -> None:
    ward.caller("glass", purposes=("BTG",))
    reason = {"x-break-glass-reason": "emergency"}
    answer = await ward.ask("glass", "PUT", "Consent/x", sharing(), reason)
    assert answer.status == 403


@pytest.mark.parametrize("who", [ANNA, HOUSE, OFFICER, DOCTOR])
@pytest.mark.parametrize("url", ["Consent/x", "Consent?patient=a"])
async def test_a_consent_is_never_deleted(ward: Clinic, who: str, url: str) -> None:
    await ward.put(sharing())
    refused = await ward.ask(who, "DELETE", url)
    assert refused.status == 405
    assert b"$revoke-consent" in refused.body
    assert (await ward.get(ANNA, "Consent/x")).json["status"] == "active"


async def test_the_capability_statement_says_so(ward: Clinic) -> None:
    [rest] = (await ward.get(HOUSE, "metadata")).json["rest"]
    [described] = [each for each in rest["resource"] if each["type"] == "Consent"]
    assert "delete" not in [each["code"] for each in described["interaction"]]
    assert described["conditionalDelete"] == "not-supported"
    assert {"file-consent", "revoke-consent"} <= {each["name"] for each in described["operation"]}


async def test_a_document_and_a_signature_come_with_it(ward: Clinic) -> None:
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/a"},
        "content": [{"attachment": {"contentType": "text/plain", "data": "c2lnbmVk"}}],
    }
    body = parameters(consent=sharing(), document=document, provenance=SIGNED)
    filed = await ward.ask(ANNA, "POST", "Consent/$file-consent", body)
    assert filed.status == 201, filed.body
    source = filed.json["sourceReference"]["reference"]
    assert (await ward.get(ANNA, source)).json["content"] == document["content"]
    [signed] = await signatures(ward)
    assert signed["signature"] == SIGNED["signature"]
    assert signed["agent"] == [{"who": {"reference": "Patient/a"}}]


@pytest.mark.parametrize("name", ["document", "provenance", "consent"])
async def test_what_is_not_right_is_refused_with_all_of_it(ward: Clinic, name: str) -> None:
    foreign = {
        "document": {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": "Patient/b"},
            "content": [{"attachment": {"data": "eA=="}}],
        },
        "provenance": {
            **SIGNED,
            "signature": [{**SIGNED["signature"][0], "who": {"reference": "Patient/b"}}],  # type: ignore[index]
        },
        "consent": {**sharing(), "status": "wrong"},
    }[name]
    body = parameters(**{"consent": sharing(), name: foreign})
    refused = await ward.ask(ANNA, "POST", "Consent/$file-consent", body)
    assert refused.status == 422, refused.body
    for type_ in ("Consent", "Provenance", "DocumentReference"):
        for who in (ANNA, BERTA):
            assert (await ward.get(who, type_)).resources == []


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"resourceType": "Parameters"},
        parameters(consent=patient("a")),
        parameters(other=sharing()),
        {"resourceType": "Parameters", "parameter": [{"name": "consent", "valueString": "x"}]},
    ],
)
async def test_without_a_consent_there_is_nothing_to_file(ward: Clinic, body: Json | None) -> None:
    answer = await ward.ask(ANNA, "POST", "Consent/$file-consent", body)
    assert answer.status in (400, 422)


async def test_revoking_twice_is_one_revocation(ward: Clinic) -> None:
    await ward.put(sharing())
    url = "Consent/$revoke-consent?consent=Consent/x&patient=Patient/a&reason=moved"
    for _ in range(2):
        assert (await ward.ask(ANNA, "POST", url)).json["meta"]["versionId"] == "2"
    [signed] = await signatures(ward)
    assert signed["reason"] == [{"text": "moved"}]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("consent=Consent/x&patient=Patient/b", 400),
        ("consent=Patient/a", 400),
        ("consent=https://elsewhere.example/fhir/Consent/x", 400),
        ("patient=Patient/a", 400),
        ("consent=Consent/x&other=1", 400),
        ("consent=Consent/none", 404),
    ],
)
async def test_a_revocation_names_what_it_ends(ward: Clinic, query: str, status: int) -> None:
    await ward.put(sharing())
    answer = await ward.ask(ANNA, "POST", f"Consent/$revoke-consent?{query}")
    assert answer.status == status
    assert (await ward.get(ANNA, "Consent/x")).json["status"] == "active"


async def test_a_policy_for_everybody_makes_nobody_a_proxy(ward: Clinic) -> None:
    ward.caller("nephew", "user/*.cruds", CUSTODIAN, user="RelatedPerson/n")
    assert (await ward.get("nephew", "Observation/o-a")).status == 200  # by the policy
    body = parameters(consent=sharing())
    assert (await ward.ask("nephew", "POST", "Consent/$file-consent", body)).status == 403
    await ward.put(consent("for-nephew", "a", "permit", actor="RelatedPerson/n"))
    assert (await ward.ask("nephew", "POST", "Consent/$file-consent", body)).status == 201


@pytest.mark.parametrize("who", [HOUSE, ANNA, OFFICER])
async def test_a_signature_is_not_changed_or_made_by_hand(ward: Clinic, who: str) -> None:
    await ward.ask(ANNA, "POST", "Consent/$file-consent", parameters(consent=sharing()))
    [signed] = await signatures(ward)
    target = f"Provenance/{signed['id']}"
    assert (await ward.ask(who, "DELETE", target)).status == 409
    assert (await ward.ask(who, "PUT", target, {**signed, "recorded": "2020"})).status in (409, 422)
    assert (await ward.ask(who, "POST", "Provenance", signed)).status == 409
    assert await signatures(ward) == [signed]
