"""``$record-disclosure``: what was disclosed elsewhere is on record here, for the patient and in her accounting."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import urlencode

import pytest

from ...answers import Answer
from ...clinic import HOUSE, OTHER, Clinic, consent, patient

ANNA, OFFICER, DOCTOR = "anna", "officer", "doctor"
TOLD = {
    "patient": "Patient/a",
    "date": "2026-05-01",
    "recipient": "Department of Health",
    "address": "1 Main Street",
    "description": "a notifiable disease",
    "purpose": "PUBHLTH",
}


@pytest.fixture
async def ward(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    own: dict[str, Any] = {"organization": "", "purposes": ("PATRQT",)}
    clinic.caller(ANNA, "patient/*.cruds", user="Patient/a", patient="Patient/a", **own)
    clinic.caller(OFFICER, "user/*.cruds", user="Practitioner/o", purposes=("HOPERAT",))
    clinic.caller(DOCTOR, "user/*.cruds", user="Practitioner/d")
    return clinic


async def tell(clinic: Clinic, who: str, **changed: str) -> Answer:
    query = urlencode({k: v for k, v in {**TOLD, **changed}.items() if v})
    return await clinic.ask(who, "POST", f"Consent/$record-disclosure?{query}")


async def accounting(clinic: Clinic) -> list[dict[str, str]]:
    url = "Patient/a/$accounting-of-disclosures"
    answer = await clinic.ask(ANNA, "GET", url, headers={"accept": "text/csv"})
    assert answer.status == 200, answer.body
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


@pytest.mark.parametrize("who", [HOUSE, OFFICER])
async def test_it_is_in_her_accounting_and_in_the_log(ward: Clinic, who: str) -> None:
    before = ward.log_size()
    made = await tell(ward, who, consent="Consent/x")
    assert made.status == 201, made.body
    assert ward.log_size() == before + 2  # the disclosure, and that it was recorded
    [line] = await accounting(ward)
    assert line["recipient"] == "Department of Health, 1 Main Street"
    assert line["description"] == "a notifiable disease"
    assert (line["first"], line["purpose"]) == ("2026-05-01", "PUBHLTH")
    assert (await ward.get(ANNA, f"AuditEvent/{made.json['id']}")).status == 200
    assert made.json["agent"][0]["policy"] == ["Consent/x"]


async def test_what_an_agency_has_suspended_is_not_told(ward: Clinic) -> None:
    assert (await tell(ward, HOUSE, **{"accounting-suspended-until": "2026-06-01"})).status == 201
    assert await accounting(ward) == []


@pytest.mark.parametrize("who", [ANNA, DOCTOR, OTHER])
@pytest.mark.parametrize("id_", ["Patient/a", "Patient/unknown"])
async def test_nobody_else_records_one(ward: Clinic, who: str, id_: str) -> None:
    assert (await tell(ward, who, patient=id_)).status == 403


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        *((name, "", 400) for name in ("patient", "date", "recipient", "description", "purpose")),
        ("date", "tomorrow", 400),
        ("date", "2026-05-05", 400),
        ("date", "2026-05-01T12:00", 422),
        ("patient", "Group/a", 400),
        ("patient", "https://elsewhere.example/fhir/Patient/a", 400),
        ("patient", "Patient/unknown", 404),
        ("purpose", "https://elsewhere.example|PUBHLTH", 400),
        ("consent", "Patient/a", 400),
        ("accounting-suspended-until", "soon", 400),
        ("other", "1", 400),
    ],
)
async def test_what_is_wrong_or_missing_is_refused(
    ward: Clinic, name: str, value: str, status: int
) -> None:
    assert (await tell(ward, HOUSE, **{name: value})).status == status
    assert await accounting(ward) == []


async def test_a_scope_for_consents_alone_is_not_enough(ward: Clinic) -> None:
    ward.caller("consents", "system/Consent.c")
    assert (await tell(ward, "consents")).status == 403


async def test_a_patient_who_shuts_the_custodian_out_is_not_there(ward: Clinic) -> None:
    await ward.put(consent("no", "a", "deny", actor="Organization/custodian"))
    hidden, unknown = await tell(ward, HOUSE), await tell(ward, HOUSE, patient="Patient/unknown")
    assert (hidden.status, hidden.body) == (404, unknown.body)
