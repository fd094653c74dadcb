"""Items 31 to 33 of the checklist: refresh, over HTTP (g10 1.6, 3.6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from smart_auth.errors import ConfigurationError
from smart_auth.settings import SmartSettings

from .conftest import App

CLIENTS = ["py-app", "py-web-app", "jwt-app"]


@pytest.mark.parametrize("client_id", CLIENTS)
def test_item_31_refresh_with_and_without_scope(app_of: Callable[..., App], client_id: str) -> None:
    app = app_of(client_id)
    first = app.granted()
    second = app.refresh(first["refresh_token"]).json()
    assert set(second["scope"].split()) == set(first["scope"].split())
    narrower = "openid patient/Patient.r"
    third = app.refresh(second["refresh_token"], scope=narrower).json()
    assert third["token_type"].lower() == "bearer"
    assert isinstance(third["expires_in"], int)
    assert set(third["scope"].split()) == set(narrower.split())
    assert app.get(app.play.patient, third["access_token"]).status_code == 200
    assert app.get("Condition", third["access_token"]).status_code == 403


def test_item_31_a_refresh_cannot_ask_for_more(app: App) -> None:
    token = app.granted("launch/patient offline_access patient/Patient.rs")["refresh_token"]
    answer = app.refresh(token, scope="patient/*.rs")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


def test_item_32_no_cache_keeps_a_refreshed_token(app: App) -> None:
    headers = app.refresh(app.granted()["refresh_token"]).headers
    assert (headers["cache-control"], headers["pragma"]) == ("no-store", "no-cache")


@pytest.mark.parametrize("token", ["random", "", "A" * 43, "x" * 100_000])
def test_item_32_a_random_refresh_token_is_refused(app: App, token: str) -> None:
    assert app.refresh(token).status_code in (400, 401)


def test_item_32_a_refresh_token_that_was_used_ends_its_family(app: App) -> None:
    first = app.granted()
    second = app.refresh(first["refresh_token"]).json()
    assert app.refresh(first["refresh_token"]).status_code == 400
    assert app.refresh(second["refresh_token"]).status_code == 400
    assert app.get(app.play.patient, second["access_token"]).status_code == 401


def test_item_33_refresh_tokens_live_for_three_months_and_longer() -> None:
    issuer, base = "https://fhir.example.org/auth", "https://fhir.example.org/fhir"
    assert SmartSettings(issuer, base).refresh_lifetime >= timedelta(days=90)
    with pytest.raises(ConfigurationError, match="90 days"):
        SmartSettings(issuer, base, refresh_lifetime=timedelta(days=89))


def test_item_33_each_refresh_gives_a_new_refresh_token(app: App) -> None:
    first = app.granted()
    second = app.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] not in ("", first["refresh_token"])
