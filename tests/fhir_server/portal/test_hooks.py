"""CDS Hooks: ``patient-consent-consult`` asks as the caller, and tells nobody of hidden patients."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from fhir_server.portal.hooks import HookRoutes
from tests.fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    OVERSEER,
    Clinic,
    consent,
    patient,
    sharing,
)
from tests.fhir_server.conftest import clinic, folder

__all__ = ["clinic", "folder"]
URL = "/cds-services/patient-consent-consult"
NUMBER = {"system": "urn:mrn", "value": "7"}


@pytest.fixture
async def two(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a", identifier=[NUMBER]))
    await clinic.put(patient("b", identifier=[{"system": "urn:mrn", "value": "8"}]))
    await clinic.put(sharing("a"))
    await clinic.put(consent("no", "b", "deny", "Organization/custodian"))
    return clinic


async def call(clinic: Clinic, who: str, content: Any, **context: Any) -> httpx2.Response:
    app = FastAPI()
    app.include_router(HookRoutes(lambda: clinic.pipeline, lambda: clinic.now, "http://x").router)
    body = (
        content if content is not None else {"hook": "patient-consent-consult", "context": context}
    )
    headers = {"authorization": f"Bearer {who}"} if who else {}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://x"
    ) as client:
        if isinstance(body, bytes):
            return await client.post(URL, content=body, headers=headers)
        return await client.post(URL, json=body, headers=headers)


async def decision(clinic: Clinic, **context: Any) -> str:
    answer = await call(clinic, OVERSEER, None, **context)
    assert answer.status_code == 200, answer.text
    [card] = answer.json()["cards"]
    assert card["summary"] == card["extension"]["decision"]
    assert card["indicator"] in ("info", "critical")
    return str(card["summary"])


ASKED: dict[str, Any] = {
    "patientId": [NUMBER],
    "scope": "patient-privacy",
    "purposeOfUse": "TREAT",
    "actor": [{"reference": "Organization/other"}],
}
TYPES = "http://hl7.org/fhir/resource-types"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"class": [{"system": TYPES, "code": "Observation"}]}, "CONSENT_PERMIT"),
        ({"securityLabel": ETH["security"]}, "CONSENT_DENY"),
        ({}, "CONSENT_DENY"),
        ({"actor": ["Organization/insurer"]}, "NO_CONSENT"),
        ({"scope": "treatment"}, "NO_CONSENT"),
        ({"patientId": [{"system": "urn:mrn", "value": "9"}]}, "NO_CONSENT"),
        ({"patientId": "a", "securityLabel": ETH["security"]}, "CONSENT_DENY"),
        ({"patientId": "nobody"}, "NO_CONSENT"),
    ],
)
async def test_a_hook_is_answered_by_a_card(
    two: Clinic, more: dict[str, Any], expected: str
) -> None:
    assert await decision(two, **{**ASKED, **more}) == expected


@pytest.mark.parametrize("named", ["b", [{"system": "urn:mrn", "value": "8"}]])
async def test_a_hidden_patient_is_as_an_unknown_one(two: Clinic, named: object) -> None:
    hidden = await call(two, OVERSEER, None, **{**ASKED, "patientId": named})
    unknown = await call(two, OVERSEER, None, **{**ASKED, "patientId": "nobody"})
    [one], [other] = hidden.json()["cards"], unknown.json()["cards"]
    one["extension"].pop("dateTime"), other["extension"].pop("dateTime")
    assert one == other


async def test_what_is_not_for_the_caller_is_refused(two: Clinic) -> None:
    assert (await call(two, "", None, **ASKED)).status_code == 401
    assert (await call(two, "stranger", None, **ASKED)).status_code == 401
    for who in (HOUSE, OTHER):
        assert (await call(two, who, None, **ASKED)).status_code == 403
    two.caller("narrow", "system/Patient.rs", purposes=("HOPERAT",))
    assert (await call(two, "narrow", None, **ASKED)).status_code == 403


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"", b'"x"', {"context": []}, {"context": {"patientId": 7}}, {}],
)
async def test_what_is_no_hook_is_refused_on_record(two: Clinic, body: Any) -> None:
    start = two.log_size()
    answer = await call(two, OVERSEER, body)
    assert 400 <= answer.status_code < 500
    assert two.log_size() == start + 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor": [{"reference": 7}, None, 3]},
        {"purposeOfUse": {"a": "b"}},
        {"class": ["x"], "securityLabel": [{"system": 7}]},
        {"actor": "Organization/other"},
    ],
)
async def test_wrong_facts_never_permit(two: Clinic, wrong: dict[str, Any]) -> None:
    answer = await call(two, OVERSEER, None, **{**ASKED, **wrong})
    assert answer.status_code in (200, 400)
    assert "CONSENT_PERMIT" not in answer.text


async def test_each_answer_is_on_record(two: Clinic) -> None:
    start = two.log_size()
    await decision(two, **ASKED)
    events = await two.audits(start)
    assert [e["subtype"][0]["code"] for e in events] == ["search-type", "operation"]
    assert all(e["entity"][0]["what"]["reference"] == "Patient/a" for e in events)


async def test_a_hook_that_is_too_large_is_not_read(two: Clinic) -> None:
    assert (await call(two, OVERSEER, b"[" * 70_000)).status_code == 413
