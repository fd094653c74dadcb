"""Launches from an outside EHR: what it may launch, for whom, and what the app is told."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import httpx2
import pytest

from fhir_server import sample
from fhir_server.commands.story.apps import Granted, app_token
from fhir_server.commands.story.cast import CHART
from fhir_server.commands.story.play import Play
from fhir_server.sample import people


def asked(play: Play, **changed: object) -> dict[str, object]:
    """A good launch, changed here and there."""
    good = {
        "client_id": CHART,
        "username": "helena",
        "patient": play.patient,
        "encounter": play.of("Encounter")[0].reference,
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def launch(play: Play, document: dict[str, object], token: str | None = None) -> httpx2.Response:
    """``POST /auth/launch`` as the clinic's EHR, or with another token."""
    bearer = play.ehr().token if token is None else token
    url, headers = f"{play.server.url}/auth/launch", {"Authorization": f"Bearer {bearer}"}
    return play.http.post(url, json=document, headers=headers)


def test_a_launch_carries_patient_and_encounter(journey: Play) -> None:
    document = asked(
        journey,
        intent="reconcile-medications",
        need_patient_banner=False,
        fhirContext=[{"reference": "ImagingStudy/8", "type": "ImagingStudy"}],
    )
    handle = launch(journey, document).json()["launch"]
    granted = app_token(journey.endpoints, CHART, journey.cast.people["helena"], handle)
    assert isinstance(granted, Granted)
    assert f"Patient/{granted.patient}" == journey.patient
    assert f"Encounter/{granted.encounter}" == document["encounter"]


def test_an_encounter_of_somebody_else_is_refused(journey: Play) -> None:
    refused = launch(journey, asked(journey, patient=people.PATIENT))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "changed",
    [
        {"patient": "Patient/there-is-none"},
        {"encounter": "Encounter/there-is-none"},
        {"encounter": people.PATIENT},
        {"username": "nobody"},
        {"client_id": "nobody"},
        {"username": "rosalind"},
        {"fhirContext": [{"reference": people.SECOND}]},
        {"more": "members"},
    ],
)
def test_a_wrong_launch_is_refused(journey: Play, changed: dict[str, Any]) -> None:
    refused = launch(journey, asked(journey, **changed))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


def test_a_patient_who_says_no_is_not_found_picked_or_launched_with(journey: Play) -> None:
    """She denies everybody: for the clinician she is not there, until she takes it back."""
    denial = sample.consent(date(2099, 1, 1)) | {
        "patient": {"reference": journey.patient},
        "provision": {"type": "deny"},
    }
    patient = journey.person(journey.user)
    filed = patient.post("Consent", json.dumps(denial).encode())
    assert filed.status == 201
    number = f"MRN-{journey.patient.partition('/')[2]}"
    refused = launch(journey, asked(journey))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert refused.json() == launch(journey, asked(journey, patient="Patient/nobody")).json()
    with open_app(journey, "helena") as page:
        assert "Achterberg" not in page("search", search=number)
        assert "no such patient" in page("patient", patient=journey.patient)
        assert "no such patient" in page("open", client_id="js-app", patient=journey.patient)
    taken_back = {**filed.value, "status": "inactive"}
    content = json.dumps(taken_back).encode()
    assert patient.put(f"Consent/{filed.value['id']}", content).status == 200
    assert launch(journey, asked(journey)).status_code == 201
    with open_app(journey, "helena") as page:
        assert "Achterberg" in page("search", search=number)


@contextmanager
def open_app(play: Play, username: str) -> Iterator[Callable[..., str]]:
    """A person before the launch page: ``page(step, **fields)`` posts a form and gives the page that follows."""
    url = f"{play.server.url}/auth/open-app"
    person = play.cast.people[username]
    with httpx2.Client(timeout=60, follow_redirects=True) as browser:
        text = browser.get(url).text
        form = {"username": person.username, "password": person.password, "step": "sign-in"}
        hidden = {n: _hidden(text, n) for n in ("request", "csrf")}
        text = browser.post(f"{play.server.url}/auth/sign-in", data={**form, **hidden}).text

        def page(step: str, **fields: str) -> str:
            sent = {"step": step, "request": "", "csrf": _hidden(text, "csrf"), **fields}
            return browser.post(url, data=sent).text

        yield page


def _hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    return html.unescape(found[1]) if found else ""


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\x00", b"[" * 100_000, b"\xff"])
def test_what_is_no_json_object_is_refused(journey: Play, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {journey.ehr().token}"}
    url = f"{journey.server.url}/auth/launch"
    refused = journey.http.post(url, content=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


def test_only_the_custodians_systems_launch(journey: Play) -> None:
    assert launch(journey, asked(journey), journey.insurer().token).status_code == 403
    assert launch(journey, asked(journey), journey.person(journey.user).token).status_code == 403
    assert launch(journey, asked(journey), "none").status_code == 401
    assert launch(journey, asked(journey), "forged").status_code == 401
