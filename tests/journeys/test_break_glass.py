"""Another hospital's journey: nothing, until it breaks the glass for a reason that the patient gets to read."""

from __future__ import annotations

import json
from datetime import date
from urllib.parse import quote

import pytest

from fhir_server import sample
from fhir_server.commands.story import steps
from fhir_server.commands.story.apps import app_token
from fhir_server.commands.story.asking import Caller
from fhir_server.commands.story.cast import EMERGENCY
from fhir_server.commands.story.expecting import require_exactly, require_status
from fhir_server.commands.story.play import Play
from fhir_server.commands.story.why import details, traces
from fhir_server.sample import people

BTG = {"X-Purpose-Of-Use": "BTG"}


def test_it_gets_nothing_then_breaks_the_glass_and_the_patient_sees_it(consented: Play) -> None:
    steps.break_glass(consented)


@pytest.mark.parametrize("reason", ["", "%20", "%20%20", "%0A"])
def test_without_a_reason_the_glass_does_not_break(consented: Play, reason: str) -> None:
    hospital, condition = consented.person("mirela"), consented.of("Condition")[0]
    refused = hospital.send(
        "GET", condition.reference, more={**BTG, "X-Break-Glass-Reason": reason}
    )
    assert refused.status == 400
    assert hospital.send("GET", condition.reference, more=BTG).status == 400


def test_a_reason_without_the_purpose_opens_nothing(consented: Play) -> None:
    hospital, condition = consented.person("mirela"), consented.of("Condition")[0]
    asked = hospital.send("GET", condition.reference, more={"X-Break-Glass-Reason": "emergency"})
    assert asked.status == 404


def test_whoever_is_not_of_the_group_gets_nothing_even_for_that_purpose(consented: Play) -> None:
    imposter = _imposter(consented)
    require_exactly(
        imposter.get(f"Condition?{consented.about}&_total=accurate", reason="curious"), ()
    )
    require_status(imposter.get(consented.of("Condition")[0].reference, reason="curious"), 404)


def _imposter(play: Play) -> Caller:
    granted = app_token(play.endpoints, EMERGENCY, play.cast.people["imposter"])
    return Caller("imposter", play.server.fhir, granted.token, (people.INSURER,), "BTG", play.http)


def test_who_signed_in_with_a_password_alone_is_asked_for_more(consented: Play) -> None:
    granted = app_token(consented.endpoints, EMERGENCY, consented.cast.people["hasty"])
    headers = {
        "Authorization": f"Bearer {granted.token}",
        **BTG,
        "X-Break-Glass-Reason": "emergency",
    }
    condition = consented.of("Condition")[0].reference
    answer = consented.http.get(f"{consented.server.fhir}/{condition}", headers=headers)
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="https://refeds.org/profile/mfa"' in challenge
    assert 'max_age="300"' in challenge
    assert condition not in answer.text


@pytest.mark.parametrize("username", ["helena", "irisa"])
def test_staff_without_the_purpose_can_not_break_it(consented: Play, username: str) -> None:
    refused = consented.person(username).get("AuditEvent?_count=1", reason="curious")
    assert refused.status == 403


def test_a_patient_who_denies_emergencies_by_name_keeps_the_glass_whole(journey: Play) -> None:
    own = sample.consent(date(2099, 1, 1)) | {"patient": {"reference": journey.patient}}
    reason = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
    own["provision"] = {"type": "deny", "purpose": [{"system": reason, "code": "BTG"}]}
    require_status(journey.person(journey.user).post("Consent", json.dumps(own).encode()), 201)
    hospital = journey.person("mirela")
    require_exactly(
        hospital.get(f"Condition?{journey.about}&_total=accurate", reason="emergency"), ()
    )


def test_the_reason_is_kept_as_it_was_given_and_only_at_the_patients(consented: Play) -> None:
    reason = "Bewusstlos, Straßenunfall; Ärztin allein"
    broken = consented.person("mirela").get(consented.of("Condition")[0].reference, reason=reason)
    require_status(broken, 200)
    log = consented.person(consented.user).get("AuditEvent?_count=1000")
    event = next(e for e in log.resources if traces(e) == broken.request_id)
    assert details(event, "break-glass-reason") == [reason]
    others = consented.person("bertram").get("AuditEvent?_count=1000")
    assert quote(reason) not in others.body.decode()
    assert "Straßenunfall" not in others.body.decode()


def test_the_patient_is_told_at_once_and_the_review_waits(consented: Play) -> None:
    hospital, patient = consented.person("mirela"), consented.person(consented.user)
    reason = "brought in by helicopter"
    require_status(hospital.get(consented.of("Condition")[0].reference, reason=reason), 200)
    told = patient.get("Communication?category=break-glass-notice").resources
    assert any(reason in json.dumps(each["payload"]) for each in told)
    waiting = patient.get("Task?code=break-glass-review&status=requested").resources
    assert any(reason in json.dumps(each["input"]) for each in waiting)
    for type_ in ("Communication", "Task"):
        require_exactly(hospital.get(f"{type_}?_total=accurate", reason=reason), ())


def test_each_broken_glass_is_for_one_request(consented: Play) -> None:
    hospital, condition = consented.person("mirela"), consented.of("Condition")[0]
    require_status(hospital.get(condition.reference, reason="emergency"), 200)
    require_status(hospital.get(condition.reference), 404)
