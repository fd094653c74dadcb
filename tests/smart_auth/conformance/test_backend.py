"""Items 43 to 46 of the checklist: backend services and asymmetric clients, over HTTP (g10 8.1, 9.21)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from fhir_server.commands.story.play import Play
from smart_auth.tokens.jwt import client_assertion, generate_client_key
from tests.app_site import AppSite

from .conftest import ASSERTION, EHR_SCOPES, App, claims_of


def ask(play: Play, assertion: str, **changed: str | None) -> httpx2.Response:
    good: dict[str, str | None] = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion,
    }
    form = {name: text for name, text in (good | changed).items() if text is not None}
    return httpx2.post(f"{play.server.url}/auth/token", data=form, timeout=60)


def signed(
    play: Play, site: AppSite, alg: str = "ES384", client_id: str = "", now: datetime | None = None
) -> str:
    """An assertion of one of the two backend services, or in another's name."""
    own = f"fetch-{alg.lower()}"
    audience, at = f"{play.server.url}/auth/token", now or datetime.now(UTC)
    return client_assertion(site.keys[own], client_id or own, audience, at, alg)


@pytest.mark.parametrize("grant_type", ["not_a_grant_type", "", "password", None])
def test_item_43_a_wrong_grant_type_is_400(
    clinic: Play, site: AppSite, grant_type: str | None
) -> None:
    assert ask(clinic, signed(clinic, site), grant_type=grant_type).status_code == 400


@pytest.mark.parametrize("type_", ["not_an_assertion_type", "", None])
def test_item_43_a_wrong_assertion_type_is_400(
    clinic: Play, site: AppSite, type_: str | None
) -> None:
    answer = ask(clinic, signed(clinic, site), client_assertion_type=type_)
    assert answer.status_code in (400, 401)


@pytest.mark.parametrize("client_id", ["not_a_client", "fetch-rs384", "py-app", "consentry-system"])
def test_item_43_a_wrong_issuer_is_refused(clinic: Play, site: AppSite, client_id: str) -> None:
    assert ask(clinic, signed(clinic, site, client_id=client_id)).status_code in (400, 401)


@pytest.mark.parametrize("alg", ["ES384", "RS384"])
def test_item_44_a_valid_assertion_gets_a_token(clinic: Play, site: AppSite, alg: str) -> None:
    answer = ask(clinic, signed(clinic, site, alg))
    assert answer.status_code == 200
    body = answer.json()
    assert body["token_type"].lower() == "bearer"
    assert body["scope"] == "system/Patient.rs"
    assert body["expires_in"] <= 300
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    assert httpx2.get(f"{clinic.server.fhir}/Patient?_count=1", headers=headers).status_code == 200


def test_item_45_an_asymmetric_launch_with_refresh_and_id_token(app_of: Callable[..., App]) -> None:
    app = app_of("jwt-app", "helena")
    body = app.granted(EHR_SCOPES, launch=app.ehr_launch()["launch"])
    assert claims_of(body["id_token"])["aud"] == "jwt-app"
    again = app.refresh(body["refresh_token"]).json()
    assert app.get(app.play.patient, again["access_token"]).status_code == 200


def test_item_46_an_assertion_is_taken_once(clinic: Play, site: AppSite) -> None:
    assertion = signed(clinic, site)
    assert ask(clinic, assertion).status_code == 200
    for _ in range(4):  # whichever worker answers
        assert ask(clinic, assertion).status_code in (400, 401)


def test_item_46_an_assertion_that_has_expired_or_lives_too_long_is_refused(
    clinic: Play, site: AppSite
) -> None:
    for minutes in (-10, 60):
        late = datetime.now(UTC) + timedelta(minutes=minutes)
        assert ask(clinic, signed(clinic, site, now=late)).status_code in (400, 401)


def test_item_46_the_signature_is_looked_at(clinic: Play, site: AppSite) -> None:
    other = client_assertion(
        generate_client_key("ES384"),
        "fetch-es384",
        f"{clinic.server.url}/auth/token",
        datetime.now(UTC),
        "ES384",
    )
    head, claims, signature = signed(clinic, site).split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    bent: dict[str, Any] = claims_of(f"{head}.{claims}.")
    bent["sub"] = bent["iss"] = "fetch-rs384"
    changed = base64.urlsafe_b64encode(json.dumps(bent).encode()).decode().rstrip("=")
    for wrong in (other, f"{none}.{claims}.", f"{head}.{changed}.{signature}", f"{head}.{claims}."):
        answer = ask(clinic, wrong)
        assert answer.status_code in (400, 401)
        assert "access_token" not in answer.text
