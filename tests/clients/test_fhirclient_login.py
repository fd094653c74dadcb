"""fhirclient (PyPI) logs people in: it learns where from the CapabilityStatement, the pages are ours."""

from __future__ import annotations

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient

from fhir_server.commands.story.apps import Granted, ehr_launch
from fhir_server.commands.story.pages import sign_in_and_allow
from fhir_server.commands.story.play import Play
from fhir_server.sample import people
from tests.app_site import CALLBACK, SECRET

_SCOPE = "openid fhirUser launch/patient offline_access patient/*.rs"


@pytest.mark.parametrize(("app_id", "secret"), [("py-app", None), ("py-web-app", SECRET)])
def test_a_patient_logs_in_reads_and_stays_logged_in(
    journey: Play, app_id: str, secret: str | None
) -> None:
    client = _client(journey, app_id, secret, _SCOPE)
    _log_in(client, journey, journey.user)
    assert client.ready
    assert client.patient_id == journey.patient.partition("/")[2]
    assert client.patient.name[0].family
    before = client.server.auth.access_token
    assert client.reauthorize()
    assert client.server.auth.access_token != before
    assert Patient.read(client.patient_id, client.server).id == client.patient_id
    found = Observation.where({"patient": client.patient_id}).perform_resources(client.server)
    assert found


def test_a_clinician_logs_in_by_a_launch_from_the_ehr(journey: Play) -> None:
    ehr = Granted(journey.ehr().token, "", "", "")
    handle = ehr_launch(
        journey.server.url,
        ehr,
        "py-app",
        "helena",
        journey.patient,
        journey.of("Encounter")[0].reference,
    )
    client = _client(journey, "py-app", None, "openid fhirUser launch patient/*.rs", handle)
    _log_in(client, journey, "helena")
    assert f"Patient/{client.patient_id}" == journey.patient
    assert client.patient.id == client.patient_id
    assert client.server.request_json(people.CLINICIAN)["id"]


def _client(
    play: Play, app_id: str, secret: str | None, scope: str, launch: str = ""
) -> FHIRClient:
    settings = {
        "app_id": app_id,
        "api_base": play.server.fhir,
        "redirect_uri": CALLBACK,
        "scope": scope,
        **({"app_secret": secret} if secret else {}),
        **({"launch_token": launch} if launch else {}),
    }
    return FHIRClient(settings=settings)


def _log_in(client: FHIRClient, play: Play, username: str) -> None:
    assert client.prepare() is False
    person = play.cast.people[username]
    client.handle_callback(sign_in_and_allow(str(client.authorize_url), person))
