"""Items 34 to 36 of the checklist: what an authorization server must refuse, over HTTP (g10 9.4, 9.17, 9.18)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.app_site import CALLBACK

from .conftest import PATIENT_SCOPES, App

CLIENTS = ["py-app", "py-web-app", "jwt-app"]


@pytest.mark.parametrize(
    "aud",
    ["https://example.com/invalid", "", None, "x" * 10_000, "http://localhost/fhir"],
)
def test_item_34_a_wrong_aud_brings_no_code(app: App, aud: str | None) -> None:
    app.open(app.asked(PATIENT_SCOPES, aud=aud))
    assert "code" not in app.brought
    assert app.brought.get("error", "invalid_request") == "invalid_request"


def test_item_34_the_aud_is_the_base_with_or_without_a_trailing_slash(app: App) -> None:
    app.open(app.asked(aud=f"{app.play.server.fhir}/"))
    assert app.allow()["code"]


@pytest.mark.parametrize("client_id", CLIENTS)
@pytest.mark.parametrize("code", ["BAD_CODE", "", "A" * 43])
def test_item_35_a_bad_code_is_400(app_of: Callable[..., App], client_id: str, code: str) -> None:
    answer = app_of(client_id).redeem(code)
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_grant", "invalid_request")


@pytest.mark.parametrize("client_id", ["BAD_CLIENT", "", "PY-APP", "fetch-es384"])
def test_item_35_a_bad_client_gets_nothing(app: App, client_id: str) -> None:
    answer = app.redeem(app.code(), client_id=client_id)
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.text


@pytest.mark.parametrize("client_id", CLIENTS)
@pytest.mark.parametrize("verifier", [None, "", "wrong-" * 10, "the challenge"])
def test_item_36_without_the_verifier_there_is_no_token(
    app_of: Callable[..., App], client_id: str, verifier: str | None
) -> None:
    app = app_of(client_id)
    code = app.code()
    sent = app.asked()["code_challenge"] if verifier == "the challenge" else verifier
    answer = app.redeem(code, code_verifier=sent)
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.text


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None},
        {"code_challenge": ""},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
    ],
)
def test_item_36_no_code_without_a_proper_challenge(
    app: App, changed: dict[str, str | None]
) -> None:
    app.open(app.asked(PATIENT_SCOPES, **changed))
    assert app.back.startswith(f"{CALLBACK}?")
    assert app.brought["error"] == "invalid_request"
    assert app.brought["state"] == app.state
