"""Items 9 to 24 of the checklist: both launches with every kind of client (g10 1.9, 2.3, 2.4, 3.8, 9.16, 9.19)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from .conftest import EHR_SCOPES, ORIGIN, PATIENT_SCOPES, App

CLIENTS = ["py-app", "py-web-app", "jwt-app"]
US_CORE = (
    *("AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device"),
    *("DiagnosticReport", "DocumentReference", "Encounter", "Goal", "Immunization"),
    *("MedicationDispense", "MedicationRequest", "Observation", "Patient", "Procedure"),
    *("QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Specimen"),
)


@pytest.fixture
def clinician(app_of: Callable[..., App]) -> App:
    """An app in the hands of a clinician."""
    return app_of("py-app", "helena")


def require_token_body(body: dict[str, Any]) -> None:
    """Item 12: members and their types."""
    assert body["token_type"].lower() == "bearer"
    assert isinstance(body["expires_in"], int)
    for name in ("access_token", "scope", "patient", "encounter", "id_token", "refresh_token"):
        assert isinstance(body.get(name, ""), str)
    for entry in body.get("fhirContext", []):
        assert entry.keys() & {"reference", "canonical", "identifier"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_item_09_authorize_by_get_and_by_post(app: App, method: str) -> None:
    assert app.redeem(app.code(method=method)).status_code == 200


def test_item_10_the_redirect_has_the_code_and_the_exact_state(app: App) -> None:
    app.state = "a b+c%26&d=ü"
    app.open(app.asked())
    brought = app.allow()
    assert brought["code"]
    assert brought["state"] == app.state
    assert "error" not in brought


@pytest.mark.parametrize("client_id", CLIENTS)
def test_item_11_every_kind_of_client_exchanges_its_code(
    app_of: Callable[..., App], client_id: str
) -> None:
    assert app_of(client_id).granted()["access_token"]


@pytest.mark.parametrize("client_id", CLIENTS)
def test_item_12_the_token_answer_is_typed(app_of: Callable[..., App], client_id: str) -> None:
    require_token_body(app_of(client_id).granted())


def test_item_13_no_cache_keeps_a_token(app: App) -> None:
    headers = app.redeem(app.code()).headers
    assert headers["cache-control"] == "no-store"
    assert headers["pragma"] == "no-cache"


def test_item_14_the_token_endpoint_answers_other_origins(app: App) -> None:
    answer = app.redeem(app.code())
    assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN["Origin"])


def test_item_15_every_type_of_us_core_is_granted_if_asked_for(app: App) -> None:
    asked = " ".join(f"patient/{type_}.rs" for type_ in US_CORE)
    body = app.granted(f"launch/patient openid fhirUser offline_access {asked}")
    assert set(body["scope"].split()) == {
        *("launch/patient", "openid", "fhirUser", "offline_access"),
        *(f"patient/{type_}.rs" for type_ in US_CORE),
    }
    for type_ in US_CORE:
        assert app.get(f"{type_}?_count=1", body["access_token"]).status_code == 200


def test_item_16_without_a_token_it_is_401(app: App) -> None:
    answer = httpx2.get(f"{app.play.server.fhir}/{app.play.patient}")
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]


def test_item_17_the_patient_of_the_launch_can_be_read(app: App) -> None:
    body = app.granted()
    assert f"Patient/{body['patient']}" == app.play.patient
    assert (
        app.get(f"Patient/{body['patient']}", body["access_token"]).json()["id"] == body["patient"]
    )


def test_item_18_what_the_user_denies_is_not_granted_and_not_answered(app: App) -> None:
    asked = "launch/patient openid fhirUser patient/Patient.rs patient/Condition.rs patient/Observation.rs"
    app.open(app.asked(asked))
    body = app.redeem(app.allow("patient/Patient.rs", "patient/Condition.rs")["code"]).json()
    granted = set(body["scope"].split())
    assert {"patient/Patient.rs", "patient/Condition.rs"} <= granted
    assert not any("Observation" in scope for scope in granted)
    token = body["access_token"]
    assert app.get("Condition?_count=1", token).status_code == 200
    for path in (
        "Observation",
        f"Observation?{app.play.about}",
        "Observation/x",
        "Observation/_history",
    ):
        assert app.get(path, token).status_code == 403, path


def test_item_18_the_user_picks_types_where_all_were_asked_for(app: App) -> None:
    app.open(app.asked(PATIENT_SCOPES))
    body = app.redeem(app.allow("patient/Patient.rs", "patient/Goal.rs")["code"]).json()
    granted = {scope for scope in body["scope"].split() if "/" in scope}
    assert granted == {"launch/patient", "patient/Patient.rs", "patient/Goal.rs"}
    assert "refresh_token" not in body
    assert app.get("Goal", body["access_token"]).status_code == 200
    assert app.get("Condition", body["access_token"]).status_code == 403


@pytest.mark.parametrize("client_id", CLIENTS)
def test_item_19_every_client_gets_an_id_token(app_of: Callable[..., App], client_id: str) -> None:
    assert app_of(client_id).granted()["id_token"].count(".") == 2


def test_item_20_the_launch_url_is_called_with_iss_and_launch(clinician: App) -> None:
    called = clinician.ehr_launch()
    assert called["iss"] == clinician.play.server.fhir
    assert called["launch"]
    clinician.open(clinician.asked(EHR_SCOPES, launch=called["launch"], aud=called["iss"]))
    assert clinician.allow()["code"]


@pytest.mark.parametrize("client_id", CLIENTS)
def test_item_21_an_ehr_launch_with_every_kind_of_client(
    app_of: Callable[..., App], client_id: str
) -> None:
    app = app_of(client_id, "helena")
    body = app.granted(EHR_SCOPES, launch=app.ehr_launch()["launch"])
    require_token_body(body)
    assert set(body["scope"].split()) == set(EHR_SCOPES.split())


def test_item_22_patient_and_encounter_can_be_read(clinician: App) -> None:
    body = clinician.granted(EHR_SCOPES, launch=clinician.ehr_launch()["launch"])
    for path in (f"Patient/{body['patient']}", f"Encounter/{body['encounter']}"):
        assert clinician.get(path, body["access_token"]).status_code == 200


def test_item_23_style_and_banner_are_told(clinician: App) -> None:
    launch = clinician.ehr_launch(need_patient_banner=False)["launch"]
    body = clinician.granted(EHR_SCOPES, launch=launch)
    assert body["need_patient_banner"] is False
    style = httpx2.get(body["smart_style_url"], headers=ORIGIN)
    assert style.status_code == 200
    assert isinstance(style.json(), dict)


def test_item_23_intent_and_fhir_context_are_told(clinician: App) -> None:
    context = [{"reference": "ImagingStudy/8", "type": "ImagingStudy"}]
    launch = clinician.ehr_launch(intent="summary", fhirContext=context)["launch"]
    body = clinician.granted(EHR_SCOPES, launch=launch)
    assert (body["intent"], body["fhirContext"]) == ("summary", context)


def test_item_24_an_ehr_launch_with_patient_scopes(clinician: App) -> None:
    asked = "launch openid fhirUser offline_access patient/Patient.rs"
    body = clinician.granted(asked, launch=clinician.ehr_launch()["launch"])
    assert "patient/Patient.rs" in body["scope"].split()
    assert clinician.get(f"Patient/{body['patient']}", body["access_token"]).status_code == 200
