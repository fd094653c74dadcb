"""The AuditEvents of requests to the token endpoint: an auditor finds them, neither patient nor clinician does."""

from __future__ import annotations

from fhir_server.portal.token_attempts import AuditedAttempts, attempt_event
from fhir_server.settings import Settings
from smart_auth.tokens.attempts import TokenAttempt
from tests.fhir_server.clinic import Clinic, patient

LOGINS = "AuditEvent?type=http://dicom.nema.org/resources/ontology/DCM|110114"
REFUSED = TokenAttempt(
    "phone", True, "authorization_code", "192.0.2.7", 400, "invalid_grant: the code is unknown"
)


async def test_an_auditor_finds_them_and_neither_patient_nor_clinician_does(
    clinic: Clinic,
) -> None:
    await clinic.put(patient("a"))
    attempts = AuditedAttempts(clinic.vault, Settings(data=clinic.path.parent), lambda: clinic.now)
    await attempts.note(REFUSED)
    await attempts.note(TokenAttempt("phone", True, "", "", 200, ""))
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


async def test_what_is_recorded_is_valid_r4(clinic: Clinic) -> None:
    settings = Settings(data=clinic.path.parent)
    for attempt in (REFUSED, TokenAttempt("", False, "", "", 503, "server_error")):
        event = attempt_event(attempt, 1_777_896_000_000, settings)
        problems = clinic.pipeline.tools.validator.review(event)
        assert [each for each in problems if each.severity == "error"] == []
