"""Items 40 to 42 of the checklist: introspection and revocation, over HTTP (g10 9.20, 9.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.app_site import SECRET

from .conftest import EHR_SCOPES, App, claims_of


@pytest.fixture
def web_app(app_of: Callable[..., App]) -> App:
    """An app with a secret, in the hands of a clinician."""
    return app_of("py-web-app", "helena")


def introspected(app: App, token: str) -> dict[str, Any]:
    answer = httpx2.post(
        f"{app.issuer}/introspect", data={"token": token}, auth=("py-web-app", SECRET)
    )
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_item_40_an_active_token_is_told_with_its_context(web_app: App) -> None:
    body = web_app.granted(EHR_SCOPES, launch=web_app.ehr_launch()["launch"])
    told, identity = introspected(web_app, body["access_token"]), claims_of(body["id_token"])
    assert told["active"] is True
    assert set(told["scope"].split()) == set(body["scope"].split())
    assert told["client_id"] == "py-web-app"
    assert isinstance(told["exp"], int)
    assert (told["patient"], told["encounter"]) == (body["patient"], body["encounter"])
    assert (told["iss"], told["sub"]) == (identity["iss"], identity["sub"])
    assert told["fhirUser"] == identity["fhirUser"]


@pytest.mark.parametrize("token", ["invalid", "a.b.c", "A" * 43, "x" * 50_000])
def test_item_41_of_an_invalid_token_nothing_is_told(web_app: App, token: str) -> None:
    assert introspected(web_app, token) == {"active": False}


def test_item_41_of_another_apps_token_nothing_is_told(web_app: App, app: App) -> None:
    assert introspected(web_app, app.granted()["access_token"]) == {"active": False}


def test_item_42_what_the_user_revokes_is_over_for_reading_and_refreshing(app: App) -> None:
    body = app.granted()
    assert app.get(app.play.patient, body["access_token"]).status_code == 200
    app.page = app.browser.get(f"{app.issuer}/apps")
    app.submit("revoke", client_id="py-app")
    for _ in range(8):  # whichever worker answers
        assert app.get(app.play.patient, body["access_token"]).status_code == 401
    assert app.refresh(body["refresh_token"]).status_code in (400, 401)


def test_item_42_what_the_app_gives_back_is_over(web_app: App) -> None:
    body = web_app.granted(EHR_SCOPES, launch=web_app.ehr_launch()["launch"])
    httpx2.post(
        f"{web_app.issuer}/revoke",
        data={"token": body["refresh_token"]},
        auth=("py-web-app", SECRET),
    ).raise_for_status()
    for _ in range(8):
        assert web_app.get(web_app.play.patient, body["access_token"]).status_code == 401
    assert web_app.refresh(body["refresh_token"]).status_code in (400, 401)
