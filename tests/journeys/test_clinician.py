"""A clinician's journey: a SMART app, launched from the EHR, shows the chart without what is labelled."""

from __future__ import annotations

import base64
import dataclasses
import json

import httpx2
import pytest

from fhir_server.commands.story import apps, steps
from fhir_server.commands.story.apps import Granted, app_token, ehr_launch
from fhir_server.commands.story.asking import Caller
from fhir_server.commands.story.cast import CALLBACK, CHART, PORTAL
from fhir_server.commands.story.errors import StepError
from fhir_server.commands.story.expecting import require_exactly, require_status
from fhir_server.commands.story.play import Play
from fhir_server.sample import people


def _launch(play: Play, username: str = "helena") -> str:
    ehr = Granted(play.ehr().token, "", "", "")
    encounter = play.of("Encounter")[0].reference
    return ehr_launch(play.server.url, ehr, CHART, username, play.patient, encounter)


def test_the_chart_is_read_and_the_labelled_part_is_not_there(consented: Play) -> None:
    steps.read_chart(consented)


def test_the_story_notices_what_should_not_be_there(journey: Play) -> None:
    with pytest.raises(StepError, match="besides"):
        steps.read_chart(journey)
    with pytest.raises(StepError, match="total is 0"):
        steps.search_claims(journey)


def test_without_a_consent_the_clinics_staff_reads_the_labelled_part_too(journey: Play) -> None:
    every = [*journey.of("Condition"), *journey.of("Condition", labelled=True)]
    require_exactly(journey.person("helena").get(f"Condition?{journey.about}"), every)


def test_the_launch_tells_the_app_patient_and_encounter(journey: Play) -> None:
    granted = app_token(journey.endpoints, CHART, journey.cast.people["helena"], _launch(journey))
    assert granted.patient == journey.patient.partition("/")[2]
    assert journey.of("Encounter")[0].reference.endswith(granted.encounter)


def test_a_launch_is_good_once_for_one_person_and_one_app(journey: Play) -> None:
    helena, tobias = journey.cast.people["helena"], journey.cast.people["tobias"]
    handle = _launch(journey)
    with pytest.raises(StepError):
        app_token(journey.endpoints, CHART, tobias, handle)
    with pytest.raises(StepError):
        app_token(journey.endpoints, PORTAL, helena, handle)
    app_token(journey.endpoints, CHART, helena, handle)
    with pytest.raises(StepError):
        app_token(journey.endpoints, CHART, helena, handle)
    with pytest.raises(StepError):
        app_token(journey.endpoints, CHART, helena, "made-up")


def test_a_wrong_password_gets_no_token(journey: Play) -> None:
    person = dataclasses.replace(journey.cast.people["tobias"], password="wrong")
    with pytest.raises(StepError, match="no 'decide' form"):
        app_token(journey.endpoints, CHART, person, _launch(journey, "tobias"))


def test_a_code_without_its_verifier_is_worth_nothing(
    journey: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    query: dict[str, str] = {}
    original = apps._authorize

    def steal(endpoints: apps.Endpoints, asked: dict[str, str], person: apps.Person) -> str:
        query["code"] = original(endpoints, asked, person)
        raise StepError("stolen on the way")

    monkeypatch.setattr(apps, "_authorize", steal)
    with pytest.raises(StepError, match="stolen"):
        app_token(journey.endpoints, CHART, journey.cast.people["helena"], _launch(journey))
    form = {
        "grant_type": "authorization_code",
        "code": query["code"],
        "redirect_uri": CALLBACK,
        "client_id": CHART,
    }
    for verifier in ({}, {"code_verifier": "x" * 43}):
        answer = httpx2.post(journey.endpoints.token, data={**form, **verifier})
        assert answer.status_code == 400, answer.text


def test_a_token_with_any_changed_byte_is_refused(journey: Play) -> None:
    good = journey.person("helena")
    for part in range(3):
        pieces = good.token.split(".")
        place = len(pieces[part]) // 2
        other = "A" if pieces[part][place] != "A" else "B"
        pieces[part] = pieces[part][:place] + other + pieces[part][place + 1 :]
        refused = dataclasses.replace(good, token=".".join(pieces)).get(journey.patient)
        assert refused.status == 401
    for token in ("", "x", good.token[:-4], f"{good.token}A", _unsigned(good.token)):
        assert dataclasses.replace(good, token=token).get(journey.patient).status == 401


def _unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt"}).encode())
    return f"{header.rstrip(b'=').decode()}.{token.split('.')[1]}."


def test_the_app_reaches_only_the_patient_who_is_open(consented: Play) -> None:
    helena = consented.person("helena")
    require_status(helena.get(people.SECOND), 404)
    require_exactly(helena.get(f"Condition?patient={people.SECOND}&_total=accurate"), ())
    everything = require_status(helena.get("Condition?_total=accurate&_count=1000"), 200)
    require_exactly(everything, consented.of("Condition"))


def test_the_app_writes_nothing(consented: Play) -> None:
    helena = consented.person("helena")
    condition = consented.of("Condition")[0]
    own = json.dumps({**condition.resource, "id": condition.reference.partition("/")[2]}).encode()
    assert helena.post("Condition", own).status == 403
    assert helena.put(condition.reference, own).status == 403
    assert helena.send("DELETE", condition.reference).status == 403


def test_no_way_of_reading_shows_the_labelled_part(consented: Play) -> None:
    helena = consented.person("helena")
    for type_ in ("Condition", "Observation", "Encounter", "DocumentReference"):
        for hidden in consented.of(type_, labelled=True):
            id_ = hidden.reference.partition("/")[2]
            for path in ("", "/_history", "/_history/1"):
                require_status(helena.get(f"{hidden.reference}{path}"), 404)
            require_exactly(helena.get(f"{type_}?_id={id_}&_total=accurate"), ())
            batch = _batch([hidden.reference, f"{type_}?_id={id_}"])
            answer = require_status(helena.post("", batch), 200)
            assert id_.encode() not in answer.body.replace(f"_id={id_}".encode(), b"")


def _batch(urls: list[str]) -> bytes:
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    return json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}).encode()


def test_without_a_token_there_is_only_the_capability_statement(clinic: Play) -> None:
    nobody = Caller("nobody", clinic.server.fhir, "", (), "", clinic.http)
    assert nobody.get("metadata").status == 200
    for path in ("Patient", people.PATIENT, "Organization", "AuditEvent"):
        assert nobody.get(path).status == 401


def test_the_audit_log_does_not_tell_her_what_is_withheld(consented: Play) -> None:
    steps.read_chart(consented)
    log = require_status(consented.person("helena").get("AuditEvent?_count=1000"), 200)
    for hidden in (f for f in consented.filed if f.labelled):
        assert hidden.reference.encode() not in log.body
