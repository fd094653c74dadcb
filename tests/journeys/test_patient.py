"""A patient's journey: her own record, her Consent, her access log, and nobody else's."""

from __future__ import annotations

import json
from datetime import date

from fhir_server import sample
from fhir_server.commands.story.expecting import require_exactly, require_status
from fhir_server.commands.story.play import Play
from fhir_server.sample import people


def test_she_reads_all_of_her_record_labelled_or_not(consented: Play) -> None:
    patient = consented.person(consented.user)
    for type_ in ("Condition", "Observation", "DocumentReference", "Claim"):
        every = [*consented.of(type_), *consented.of(type_, labelled=True)]
        require_exactly(patient.get(f"{type_}?_total=accurate"), every)


def test_she_reads_nobody_elses(consented: Play) -> None:
    patient = consented.person(consented.user)
    require_status(patient.get(people.SECOND), 404)
    require_exactly(patient.get(f"Condition?patient={people.SECOND}&_total=accurate"), ())
    log = require_status(patient.get("AuditEvent?_count=1000"), 200)
    assert log.resources
    for event in log.resources:
        named = json.dumps(event)
        assert consented.patient in named
        assert people.SECOND not in named


def test_she_can_not_consent_for_somebody_else(journey: Play) -> None:
    patient = journey.person(journey.user)
    foreign = sample.consent(date(2099, 1, 1)) | {"patient": {"reference": people.SECOND}}
    refused = patient.post("Consent", json.dumps(foreign).encode())
    assert refused.status in (403, 404)
    require_exactly(journey.insurer().get(f"Claim?patient={people.SECOND}&_total=accurate"), ())


def test_nobody_else_changes_her_consent(consented: Play) -> None:
    target = f"Consent/{consented.consent['id']}"
    wider = json.dumps({**consented.consent, "provision": {"type": "permit"}}).encode()
    for caller in (consented.insurer(), consented.person("mirela"), consented.person("helena")):
        assert caller.put(target, wider).status in (403, 404)
        assert caller.send("DELETE", target).status == 405
        assert caller.post(f"{target}/$revoke-consent", b"").status in (403, 404)
    bertram = consented.person("bertram")
    assert bertram.put(target, wider).status in (403, 404)
    moved = json.dumps({**consented.consent, "patient": {"reference": people.SECOND}}).encode()
    assert consented.person(consented.user).put(target, moved).status in (403, 404)
    require_exactly(consented.insurer().get(f"Claim?{consented.about}"), consented.of("Claim"))


def test_a_revocation_of_an_older_version_changes_nothing(consented: Play) -> None:
    patient = consented.person(consented.user)
    target = f"Consent/{consented.consent['id']}"
    inactive = json.dumps({**consented.consent, "status": "inactive"}).encode()
    require_status(patient.put(target, inactive, 'W/"7"'), 412)
    require_exactly(consented.insurer().get(f"Claim?{consented.about}"), consented.of("Claim"))


def test_a_consent_is_revoked_not_deleted(consented: Play) -> None:
    patient = consented.person(consented.user)
    target = f"Consent/{consented.consent['id']}"
    assert patient.send("DELETE", target).status == 405
    require_exactly(consented.insurer().get(f"Claim?{consented.about}"), consented.of("Claim"))
    require_status(patient.post(f"{target}/$revoke-consent", b""), 200)
    require_exactly(consented.insurer().get(f"Claim?{consented.about}&_total=accurate"), ())


def test_a_malformed_consent_is_refused_and_leaves_the_old_one(consented: Play) -> None:
    patient = consented.person(consented.user)
    for broken in (b"{", b'{"resourceType":"Consent"}', b'{"resourceType":"Patient"}'):
        assert patient.post("Consent", broken).status in (400, 422)
    require_exactly(consented.insurer().get(f"Claim?{consented.about}"), consented.of("Claim"))


def test_her_access_log_names_who_was_refused_as_well(consented: Play) -> None:
    consented.insurer().get(consented.of("Condition")[0].reference)
    log = require_status(consented.person(consented.user).get("AuditEvent?_count=1000"), 200)
    refused = [e for e in log.resources if e["outcome"] == "4"]
    assert any("Meridian claims" in json.dumps(event) for event in refused)
