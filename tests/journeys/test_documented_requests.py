"""The requests of the pages on consents, on who has seen a record and on decisions, run by a shell as they stand there."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fhir_server.commands.story.asking import Caller
from fhir_server.commands.story.play import Play
from fhir_server.commands.token import system_token

DOCS = Path(__file__).resolve().parents[2] / "docs"
pytestmark = pytest.mark.skipif(
    not shutil.which("curl") or not shutil.which("bash"), reason="curl or bash is not here"
)


def lines(page: str) -> list[str]:
    """The requests of a page, each a whole curl command."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.S)
    return [
        found for block in blocks for found in re.findall(r"curl .*?(?=\ncurl |\Z)", block, re.S)
    ]


def request(page: str, word: str) -> str:
    (found,) = [line for line in lines(page) if word in line]
    return found


def run(play: Play, caller: Caller, command: str, id_: str = "") -> tuple[int, Any]:
    """Status and body, with this server, this caller and the patient of the test instead of the page's."""
    own = command.replace("Patient/1", play.patient).replace("Patient/anna", play.patient)
    own = own.replace("patient=1", f"patient={play.patient}")
    body = play.folder / "answer"
    named = (
        f"curl() {{ command curl -sS -o '{body}' -w '%{{http_code}}' \"$@\"; }}\n"
        f"T='{caller.token}'; TOKEN=$T; F='{play.server.fhir}'; BASE=$F; SERVER='{play.server.url}'; ID='{id_}'\n"
    )
    ran = subprocess.run(
        ["bash", "-euc", named + own],
        env={"PATH": os.environ["PATH"], "HOME": str(play.folder)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    text = body.read_text()
    return int(ran.stdout), json.loads(text) if text.startswith("{") else text


def test_a_consent_is_filed_and_revoked(journey: Play) -> None:
    patient = journey.person(journey.user)
    status, filed = run(journey, patient, request("consent.md", "$file-consent"))
    assert (status, filed["resourceType"]) == (201, "Consent")
    status, revoked = run(journey, patient, request("consent.md", "$revoke-consent"), filed["id"])
    assert (status, revoked["status"]) == (200, "inactive")
    found = patient.get(f"Provenance?target=Consent/{filed['id']}")
    assert len(found.resources) == 2
    stranger = journey.person("bertram")
    status, _ = run(journey, stranger, request("consent.md", "$file-consent"))
    assert status in (403, 404)


def test_access_is_asked_for_narrowed_and_denied(journey: Play) -> None:
    patient, provider = journey.person(journey.user), journey.ehr()
    ask, state = request("consent.md", "$request-access"), request("consent.md", "$access-status")
    approve, narrow = [line for line in lines("consent.md") if "$approve-access" in line]
    deny = request("consent.md", "$deny-access")
    for answer, told in ((approve, "completed"), (narrow, "completed"), (deny, "rejected")):
        status, task = run(journey, provider, ask)
        assert status in (200, 201), task
        status, _ = run(journey, patient, answer, task["id"])
        assert status == 200
        status, seen = run(journey, provider, state, task["id"])
        assert status == 200
        assert told in json.dumps(seen)
        assert "not now" not in json.dumps(seen)


def test_a_disclosure_made_elsewhere_is_put_on_record(journey: Play) -> None:
    status, event = run(journey, journey.ehr(), request("consent.md", "$record-disclosure"))
    assert (status, event["resourceType"]) == (201, "AuditEvent")
    table = request("who-has-seen.md", "accounting-of-disclosures")
    status, told = run(journey, journey.person(journey.user), table)
    assert status == 200
    assert "Department of Health" in told


def test_who_may_see_and_who_has_seen_is_told_to_the_patient_only(journey: Play) -> None:
    for line in lines("who-has-seen.md"):
        status, body = run(journey, journey.person(journey.user), line)
        assert status == (404 if "Observation/1" in line else 200), (line, body)
        status, _ = run(journey, journey.person("bertram"), line)
        assert status in (403, 404)


def test_decisions_are_given_to_systems_of_the_custodian(journey: Play) -> None:
    token = system_token(journey.server.data, "system/*.rs", journey.server.url)
    system = dataclasses.replace(journey.ehr(), token=token)
    status, answer = run(journey, system, request("decisions.md", "$decide"))
    assert (status, answer["resourceType"]) == (200, "Parameters")
    status, answer = run(journey, system, request("decisions.md", "patient-consent-consult"))
    assert status == 200
    assert answer["cards"][0]["extension"]["decision"] == "NO_CONSENT"  # nobody has that identifier
