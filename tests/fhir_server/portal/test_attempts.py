"""AuditEvents of what was tried at the authorization server: an auditor finds them, neither patient nor clinician does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.portal.attempts import AuditedAttempts, attempt_event
from fhir_server.settings import Settings
from smart_auth.attempts import Attempt, Party
from tests.fhir_server.clinic import Clinic, patient

LOGINS = "AuditEvent?type=http://dicom.nema.org/resources/ontology/DCM|110114"
PHONE, ANNA = Party("phone", proved=True), Party("0123456789abcdef", proved=True)
REFUSED = Attempt(
    *("token", PHONE, None, "authorization_code", "192.0.2.7", 400),
    why="invalid_grant: the code is unknown",
    trace="one",
)
SIGNED_IN = Attempt("sign-in", None, ANNA, "sign-in", "192.0.2.7", 303, "", "two")


async def test_an_auditor_finds_them_and_neither_patient_nor_clinician_does(
    clinic: Clinic,
) -> None:
    await clinic.put(patient("a"))
    attempts = AuditedAttempts(clinic.vault, Settings(data=clinic.path.parent), lambda: clinic.now)
    await attempts.note(REFUSED)
    await attempts.note(SIGNED_IN)
    person = {"user": "Practitioner/1", "scope": "user/AuditEvent.rs"}
    clinic.caller("officer", purposes=("HOPERAT",), **person)
    clinic.caller("clinician", purposes=("TREAT",), **person)
    own = {"user": "Patient/a", "patient": "Patient/a", "organization": ""}
    clinic.caller("anna", "patient/*.rs user/AuditEvent.rs", purposes=("PATRQT",), **own)
    found = await clinic.get("officer", f"{LOGINS}&outcome=4")
    assert [each["outcomeDesc"] for each in found.resources] == [REFUSED.why]
    for who in ("anna", "clinician"):
        assert (await clinic.get(who, LOGINS)).resources == [], who
    seen = await clinic.get("anna", "Patient/a/$access-log")
    assert seen.status == 200
    assert b"110114" not in seen.body


async def test_an_auditor_finds_what_one_person_tried(clinic: Clinic) -> None:
    settings = Settings(data=clinic.path.parent)
    attempts = AuditedAttempts(clinic.vault, settings, lambda: clinic.now)
    for each in (REFUSED, SIGNED_IN, replace(SIGNED_IN, person=Party("other", proved=True))):
        await attempts.note(each)
    clinic.caller("officer", "user/AuditEvent.rs", purposes=("HOPERAT",), user="Practitioner/1")
    asked = f"AuditEvent?agent:identifier={settings.public_url}/auth|{ANNA.id}"
    (found,) = (await clinic.get("officer", asked)).resources
    assert found["subtype"][0]["code"] == "110122"


def agents(attempt: Attempt, settings: Settings) -> list[Any]:
    event: Any = attempt_event(attempt, 1_777_896_000_000, settings)
    return [
        (each["who"].get("identifier", {}).get("value"), each["who"].get("display"))
        for each in event["agent"]
        if each["requestor"]
    ]


def test_who_asks_is_the_person_before_the_browser_else_the_app(clinic: Clinic) -> None:
    settings = Settings(data=clinic.path.parent)
    assert agents(REFUSED, settings) == [("phone", None)]
    assert agents(replace(REFUSED, client=Party("x", proved=False)), settings) == [
        ("x", "not authenticated")
    ]
    assert agents(SIGNED_IN, settings) == [(ANNA.id, None)]
    assert agents(replace(SIGNED_IN, client=PHONE), settings) == [(ANNA.id, None)]
    assert agents(replace(SIGNED_IN, person=None), settings) == [(None, "not authenticated")]


async def test_what_is_recorded_is_valid_r4(clinic: Clinic) -> None:
    settings = Settings(data=clinic.path.parent)
    nobody = Attempt("token", None, None, "", "", 503, "server_error", "three")
    for attempt in (REFUSED, SIGNED_IN, replace(SIGNED_IN, client=PHONE, step=""), nobody):
        event = attempt_event(attempt, 1_777_896_000_000, settings)
        problems = clinic.pipeline.tools.validator.review(event)
        assert [each for each in problems if each.severity == "error"] == []
