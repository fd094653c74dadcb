"""The audit log tells each patient of herself only, and nobody of what they may not know."""

import base64

import pytest

from ..fhir_server.clinic import HOUSE, OTHER, Clinic, consent, observation, patient, sharing


@pytest.fixture
async def watched(clinic: Clinic) -> Clinic:
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"of-{id_}", id_))
    await clinic.put(sharing("a"))
    clinic.caller("anna", "patient/*.rs", "", ("PATRQT",), user="Patient/a", patient="Patient/a")
    await clinic.get(OTHER, "Observation/of-a")
    await clinic.get(OTHER, "Observation/of-b")
    return clinic


async def test_a_patient_sees_her_own_audit_records_only(watched: Clinic) -> None:
    found = await watched.all_pages("anna", "AuditEvent")
    assert found
    for event in found:
        named = [e["what"].get("reference", "") for e in event["entity"] if "what" in e]
        assert "Patient/a" in named
        assert not [r for r in named if r.endswith(("/b", "of-b", "of-b/_history/1"))]


async def test_anothers_audit_record_and_its_receipt_equal_missing_ones(watched: Clinic) -> None:
    start = watched.log_size()
    await watched.get(OTHER, "Observation/of-b")
    [event] = await watched.audits(start)
    for who in ("anna", OTHER):
        for suffix in ("", "/_history", "/_history/1", "/$receipt"):
            denied = await watched.get(who, f"AuditEvent/{event['id']}{suffix}")
            missing = await watched.get(who, f"AuditEvent/nothing{suffix}")
            assert (denied.status, denied.body) == (404, missing.body), suffix


async def test_a_receipt_needs_the_scope_to_read_audit_records(watched: Clinic) -> None:
    watched.caller("narrow", "system/Observation.cruds")
    start = watched.log_size()
    await watched.get(HOUSE, "Patient/a")
    [event] = await watched.audits(start)
    assert (await watched.get("narrow", f"AuditEvent/{event['id']}/$receipt")).status == 403
    assert (await watched.get("anna", f"AuditEvent/{event['id']}/$receipt")).status == 409


async def test_an_audit_record_is_never_changed_or_deleted(watched: Clinic) -> None:
    start = watched.log_size()
    await watched.get(HOUSE, "Patient/a")
    [event] = await watched.audits(start)
    target = f"AuditEvent/{event['id']}"
    assert (await watched.ask(HOUSE, "PUT", target, event)).status == 405
    assert (await watched.ask(HOUSE, "DELETE", target)).status == 405
    assert (await watched.get("anna", target)).json == event


async def test_whoever_treats_does_not_see_who_else_has_read(watched: Clinic) -> None:
    start = watched.log_size()
    await watched.get(HOUSE, "Patient/a")
    [event] = await watched.audits(start)
    assert (await watched.get(HOUSE, f"AuditEvent/{event['id']}")).status == 404
    assert (await watched.get(HOUSE, "AuditEvent?patient=Patient/a")).resources == []
    watched.caller("overseer", purposes=("HOPERAT",))
    assert (await watched.get("overseer", f"AuditEvent/{event['id']}")).json == event


async def test_one_search_over_two_patients_makes_one_record_for_each(watched: Clinic) -> None:
    start = watched.log_size()
    await watched.get(HOUSE, "Observation?code=8867-4")
    events = await watched.audits(start)
    assert len(events) == 2
    for event, own, other in zip(events, ("a", "b"), ("b", "a"), strict=True):
        named = [
            e["what"]["reference"] for e in event["entity"] if "reference" in e.get("what", {})
        ]
        assert named == [f"Patient/{own}", f"Observation/of-{own}/_history/1"]
        assert f"of-{other}" not in str(event)


async def test_the_search_of_one_patient_is_not_told_to_another(watched: Clinic) -> None:
    start = watched.log_size()
    await watched.get(HOUSE, "Observation?subject=Patient/a,Patient/b")
    for event in await watched.audits(start):
        about = next(e["what"]["reference"] for e in event["entity"] if "what" in e)
        other = {"Patient/a": b"Patient/b", "Patient/b": b"Patient/a"}[about]
        for entity in event["entity"]:
            told = base64.b64decode(entity.get("query", ""))
            assert other not in told.replace(b"%2F", b"/")


async def test_whoever_is_refused_cannot_learn_from_the_log_that_something_is_there(
    watched: Clinic,
) -> None:
    """The other hospital may read nobody's audit records."""
    await watched.get(OTHER, "Observation/of-b")
    await watched.get(OTHER, "Observation/missing")
    found = await watched.all_pages(OTHER, "AuditEvent")
    assert all("of-b" not in str(event) for event in found)


async def test_a_denied_patients_audit_records_are_denied_as_well(watched: Clinic) -> None:
    await watched.put(consent("no", "b", "deny", actor="Organization/custodian"))
    for event in await watched.all_pages(HOUSE, "AuditEvent"):
        assert "Patient/b" not in str(event)


async def test_every_answer_and_every_refusal_leaves_exactly_one_record_with_its_leaf(
    watched: Clinic,
) -> None:
    for who, method, url, body in [
        (HOUSE, "GET", "Patient/a", None),
        (HOUSE, "GET", "Patient/nobody", None),
        (OTHER, "GET", "Patient/b", None),
        ("stranger", "GET", "Patient/a", None),
        (None, "GET", "Patient/a", None),
        (None, "GET", "metadata", None),
        (HOUSE, "POST", "Patient", b"{"),
        (HOUSE, "POST", "Patient", {"resourceType": "Patient", "x": 1}),
        (HOUSE, "DELETE", "Patient/nobody", None),
        (HOUSE, "PATCH", "Patient/a", None),
        (HOUSE, "GET", "Nonsense", None),
        (HOUSE, "GET", "Patient?_count=x", None),
    ]:
        start = watched.log_size()
        answer = await watched.ask(who, method, url, body)
        assert watched.log_size() == start + 1, (method, url)
        [event] = await watched.audits(start)
        assert event["outcome"] == ("0" if answer.status < 400 else "4")
        assert answer.recorded.log_numbers == (start,)
        assert watched.pipeline.tools.validator.check(event) == ()
