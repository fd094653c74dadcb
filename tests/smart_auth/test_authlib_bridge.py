"""The token, introspection and revocation endpoints, mostly with wrong input."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from smart_auth.exchange import HttpRequest
from tests.smart_auth.conftest import (
    CHALLENGE,
    FHIR,
    ISSUER,
    REDIRECT,
    SECRET,
    TOKEN_URL,
    VERIFIER,
    Answer,
    House,
    basic,
)


def parts(token: str) -> list[dict[str, Any]]:
    """Read the header and the claims of a JWT."""
    return [json.loads(urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


@pytest.mark.parametrize("grant_type", ["", "password", "implicit", '"\\ü', "authorization_code "])
async def test_another_grant_type_is_refused_with_400(house: House, grant_type: str) -> None:
    answer = await house.backend(grant_type=grant_type)
    assert answer.error == (400, "unsupported_grant_type")


async def test_a_missing_grant_type_is_refused_with_400(house: House) -> None:
    assert (await house.post_token(client_id="phone")).status == 400


async def test_a_get_is_refused(house: House) -> None:
    request = HttpRequest("GET", TOKEN_URL, "/auth/token", {}, (), ())
    answer = Answer(await house.server.token(request))
    assert answer.error == (400, "invalid_request")


@pytest.mark.parametrize("name", ["client_secret", "client_assertion"])
async def test_a_secret_in_the_url_is_refused(house: House, name: str) -> None:
    request = HttpRequest("POST", TOKEN_URL, "/auth/token", {}, ((name, "x"),), ())
    assert Answer(await house.server.token(request)).error == (400, "invalid_request")


async def test_a_repeated_parameter_is_refused(house: House) -> None:
    form = (("grant_type", "authorization_code"), ("code", "a"), ("code", "b"))
    request = HttpRequest("POST", TOKEN_URL, "/auth/token", {}, (), form)
    assert Answer(await house.server.token(request)).error == (400, "invalid_request")


async def test_every_answer_forbids_caching(house: House) -> None:
    for answer in (await house.backend(), await house.backend(grant_type="x")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Pragma"] == "no-cache"
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("alg", ["ES384", "RS384"])
async def test_a_backend_service_gets_a_token_for_five_minutes(house: House, alg: str) -> None:
    answer = await house.backend(alg)
    assert answer.status == 200
    assert answer.body["expires_in"] == 300
    assert answer.body["scope"] == "system/Patient.rs"
    assert "refresh_token" not in answer.body
    header, claims = parts(answer.body["access_token"])
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES384")
    assert (claims["aud"], claims["iss"]) == (FHIR, ISSUER)


@pytest.mark.parametrize(
    "scope",
    ["", "openid", "user/*.rs", "patient/*.rs", "system/Condition.rs", "system/Patient.d", "x"],
)
async def test_a_backend_service_gets_nothing_it_is_not_registered_for(
    house: House, scope: str
) -> None:
    assert (await house.backend(scope=scope)).error == (400, "invalid_scope")


async def test_a_backend_service_gets_no_more_than_it_is_registered_for(house: House) -> None:
    answer = await house.backend(scope="system/*.cruds openid")
    assert answer.body["scope"] == "system/Patient.rs system/Observation.cruds"


async def test_an_app_cannot_use_client_credentials(house: House) -> None:
    answer = await house.backend(client_assertion=house.assertion("chart"))
    assert answer.error == (400, "unauthorized_client")


async def test_a_backend_service_cannot_redeem_codes(house: House) -> None:
    code = await house.code()
    answer = await house.redeem(code, client_id="backend-ES384")
    assert answer.error == (401, "invalid_client")


async def test_a_code_gives_token_context_and_id_token(house: House) -> None:
    answer = await house.redeem(await house.code(nonce="n-0S6_WzA2Mj"))
    body = answer.body
    assert answer.status == 200
    assert body["token_type"] == "Bearer"
    assert body["patient"] == "1"
    assert body["need_patient_banner"] is True
    assert body["smart_style_url"] == f"{ISSUER}/smart-style.json"
    assert 0 < body["expires_in"] <= 3600
    header, claims = parts(body["id_token"])
    assert header["alg"] == "RS256"
    assert claims["aud"] == "phone"
    assert claims["nonce"] == "n-0S6_WzA2Mj"
    assert claims["fhirUser"] == f"{FHIR}/Patient/1"
    assert claims["sub"] == parts(body["access_token"])[1]["sub"]
    assert "anna" not in json.dumps(parts(body["access_token"]))


async def test_an_access_token_says_nothing_of_consent_or_names(house: House) -> None:
    claims = parts((await house.redeem(await house.code())).body["access_token"])[1]
    assert set(claims) == {
        *("iss", "sub", "aud", "client_id", "iat", "nbf", "exp", "scope", "jti", "grant"),
        *("acr", "amr", "auth_time"),
        "patient",
    }


async def test_without_openid_there_is_no_id_token(house: House) -> None:
    answer = await house.redeem(await house.code(scope="launch/patient patient/*.rs"))
    assert "id_token" not in answer.body
    assert "refresh_token" not in answer.body


async def test_confidential_clients_redeem_with_their_own_proof(house: House) -> None:
    code = await house.code(client_id="web")
    web = await house.redeem(code, client_id="web", client_secret=SECRET)
    code = await house.code(client_id="web")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    by_basic = await house.post_token(basic(), **form, code_verifier=VERIFIER)
    code = await house.code(client_id="chart")
    chart = await house.redeem(
        code,
        client_id="-",
        client_assertion=house.assertion("chart"),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )
    assert [web.status, by_basic.status, chart.status] == [200, 200, 200]


@pytest.mark.parametrize("code", ["", "unknown", "ü", "a" * 5000])
async def test_a_bad_code_is_400(house: House, code: str) -> None:
    answer = await house.redeem(code)
    assert answer.status == 400
    assert answer.body["error"] in ("invalid_grant", "invalid_request")


@pytest.mark.parametrize(
    "verifier", ["-", "", "x", "A" * 43, CHALLENGE, VERIFIER + "x", VERIFIER[:-1], "ü" * 43]
)
async def test_a_wrong_or_missing_verifier_is_refused(house: House, verifier: str) -> None:
    answer = await house.redeem(await house.code(), code_verifier=verifier)
    assert answer.status == 400
    assert "access_token" not in answer.body


@pytest.mark.parametrize("verifier", ["-", "", CHALLENGE])
async def test_a_client_secret_does_not_replace_the_verifier(house: House, verifier: str) -> None:
    code = await house.code(client_id="web")
    answer = await house.redeem(code, client_id="web", client_secret=SECRET, code_verifier=verifier)
    assert answer.status == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "-"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": REDIRECT + "/"},
        {"client_id": "other-phone"},
    ],
)
async def test_a_code_is_bound_to_client_and_redirect_uri(
    house: House, changed: dict[str, str]
) -> None:
    answer = await house.redeem(await house.code(), **changed)
    assert answer.error == (400, "invalid_grant")


@pytest.mark.parametrize("client_id", ["-", "", "nobody", "web", "chart", "consentry-system"])
async def test_a_client_that_does_not_prove_itself_is_401(house: House, client_id: str) -> None:
    answer = await house.redeem(await house.code(), client_id=client_id)
    assert answer.error == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_a_code_expires_after_a_minute(house: House) -> None:
    code = await house.code()
    house.clock.pass_(seconds=61)
    assert (await house.redeem(code)).error == (400, "invalid_grant")


async def test_a_replayed_code_revokes_what_it_gave(house: House) -> None:
    code = await house.code()
    first = (await house.redeem(code)).body
    assert await house.refused(first["access_token"]) == ""
    assert (await house.redeem(code)).error == (400, "invalid_grant")
    assert await house.refused(first["access_token"]) == "RevokedTokenError"
    assert (await house.refresh(first["refresh_token"])).error == (400, "invalid_grant")


async def test_32_parallel_redemptions_give_one_token(house: House) -> None:
    code = await house.code()
    answers = await asyncio.gather(*(house.redeem(code) for _ in range(32)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 31


async def test_a_refresh_rotates_the_token_and_keeps_the_context(house: House) -> None:
    first = (await house.redeem(await house.code())).body
    second = await house.refresh(first["refresh_token"])
    assert second.status == 200
    assert second.body["patient"] == "1"
    assert second.body["scope"] == first["scope"]
    assert second.body["refresh_token"] != first["refresh_token"]
    assert "nonce" not in parts(second.body["id_token"])[1]
    third = await house.refresh(second.body["refresh_token"])
    assert third.status == 200


async def test_a_reused_refresh_token_kills_the_family(house: House) -> None:
    first = (await house.redeem(await house.code())).body
    second = (await house.refresh(first["refresh_token"])).body
    assert (await house.refresh(first["refresh_token"])).error == (400, "invalid_grant")
    assert (await house.refresh(second["refresh_token"])).error == (400, "invalid_grant")
    for token in (first["access_token"], second["access_token"]):
        assert await house.refused(token) == "RevokedTokenError"


async def test_parallel_uses_of_one_refresh_token_kill_the_family(house: House) -> None:
    first = (await house.redeem(await house.code())).body
    answers = await asyncio.gather(*(house.refresh(first["refresh_token"]) for _ in range(8)))
    given = [answer.body for answer in answers if answer.status == 200]
    assert len(given) <= 1
    assert await house.refused(first["access_token"]) == "RevokedTokenError"


async def test_a_refresh_can_ask_for_less_but_not_for_more(house: House) -> None:
    token = (await house.redeem(await house.code())).body["refresh_token"]
    for scope in ("user/*.rs", "patient/*.cruds", "system/*.rs", "patient/Patient.sr", "x"):
        assert (await house.refresh(token, scope=scope)).error == (400, "invalid_scope")
    less = await house.refresh(token, scope="patient/Observation.r")
    assert less.body["scope"] == "patient/Observation.r"
    again = await house.refresh(less.body["refresh_token"])
    assert "patient/*.rs" in again.body["scope"]


@pytest.mark.parametrize("token", ["", "unknown", "ü", "a" * 5000])
async def test_an_unknown_refresh_token_is_refused(house: House, token: str) -> None:
    assert (await house.refresh(token)).error == (400, "invalid_grant")


async def test_another_client_cannot_refresh(house: House) -> None:
    token = (await house.redeem(await house.code())).body["refresh_token"]
    answer = await house.refresh(token, client_id="other-phone")
    assert answer.error == (400, "invalid_grant")


async def test_a_public_client_may_refresh_without_client_id(house: House) -> None:
    token = (await house.redeem(await house.code())).body["refresh_token"]
    answer = await house.post_token(grant_type="refresh_token", refresh_token=token)
    assert answer.status == 200


async def test_a_confidential_client_may_not_refresh_without_proof(house: House) -> None:
    code = await house.code(client_id="web")
    body = (await house.redeem(code, client_id="web", client_secret=SECRET)).body
    for more in ({}, {"client_id": "web"}, {"client_id": "web", "client_secret": "wrong"}):
        form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"], **more}
        assert (await house.post_token(**form)).error == (401, "invalid_client")
    assert await house.refresh(body["refresh_token"], client_id="web", client_secret=SECRET)


async def test_a_refresh_token_lives_longer_than_three_months_and_not_for_ever(
    house: House,
) -> None:
    token = (await house.redeem(await house.code())).body["refresh_token"]
    house.clock.pass_(days=92)
    token = (await house.refresh(token)).body["refresh_token"]
    house.clock.pass_(days=101)
    assert (await house.refresh(token)).error == (400, "invalid_grant")


async def test_online_access_ends_with_the_session(house: House) -> None:
    code = await house.code(scope="launch/patient online_access patient/*.rs")
    token = (await house.redeem(code)).body["refresh_token"]
    house.clock.pass_(hours=7)
    token = (await house.refresh(token)).body["refresh_token"]
    house.clock.pass_(hours=2)
    assert (await house.refresh(token)).error == (400, "invalid_grant")


async def test_introspection_tells_a_client_of_its_own_tokens_only(house: House) -> None:
    code = await house.code(client_id="web")
    body = (await house.redeem(code, client_id="web", client_secret=SECRET)).body
    own = (await house.post("introspect", basic(), token=body["access_token"])).body
    claims = parts(body["id_token"])[1]
    assert own["active"] is True
    assert own["scope"] == body["scope"]
    assert own["client_id"] == "web"
    assert own["patient"] == "1"
    assert (own["iss"], own["sub"]) == (claims["iss"], claims["sub"])
    assert own["fhirUser"] == f"{FHIR}/Patient/1"
    refresh = (await house.post("introspect", basic(), token=body["refresh_token"])).body
    assert refresh["active"] is True
    other = (await house.redeem(await house.code())).body["access_token"]
    assert (await house.post("introspect", basic(), token=other)).body == {"active": False}


@pytest.mark.parametrize("token", ["x", "a.b.c", "ü"])
async def test_introspecting_nonsense_says_inactive_and_nothing_else(
    house: House, token: str
) -> None:
    assert (await house.post("introspect", basic(), token=token)).body == {"active": False}


async def test_introspection_needs_a_client_that_proves_itself(house: House) -> None:
    token = (await house.redeem(await house.code())).body["access_token"]
    assert (await house.post("introspect", {}, token=token)).status == 401
    own = await house.post("introspect", {}, token=token, client_id="phone")
    assert own.body == {"active": False}
    assert (await house.post("introspect", basic(secret="x"), token=token)).status == 401
    assert (await house.post("introspect", basic())).error == (400, "invalid_request")


async def test_an_expired_token_is_inactive(house: House) -> None:
    code = await house.code(client_id="web")
    body = (await house.redeem(code, client_id="web", client_secret=SECRET)).body
    house.clock.pass_(minutes=31)
    answer = await house.post("introspect", basic(), token=body["access_token"])
    assert answer.body == {"active": False}


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_the_grant_at_once(house: House, which: str) -> None:
    body = (await house.redeem(await house.code())).body
    assert await house.refused(body["access_token"]) == ""
    answer = await house.post("revoke", {}, token=body[which], client_id="phone")
    assert answer.status == 200
    assert await house.refused(body["access_token"]) == "RevokedTokenError"
    assert (await house.refresh(body["refresh_token"])).error == (400, "invalid_grant")


async def test_a_client_cannot_revoke_the_tokens_of_another(house: House) -> None:
    body = (await house.redeem(await house.code())).body
    answer = await house.post("revoke", basic(), token=body["access_token"])
    assert answer.error == (400, "invalid_grant")
    assert await house.refused(body["access_token"]) == ""
    assert (await house.post("revoke", {}, token=body["access_token"])).status == 401


async def test_revoking_an_unknown_token_is_200(house: House) -> None:
    answer = await house.post("revoke", {}, token="unknown", client_id="phone")
    assert answer.status == 200


async def test_a_revoked_backend_token_is_refused(house: House) -> None:
    token = (await house.backend()).body["access_token"]
    await house.post(
        "revoke",
        {},
        token=token,
        client_assertion=house.assertion("backend-ES384"),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )
    assert await house.refused(token) == "RevokedTokenError"


async def test_no_log_holds_a_token(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code = await house.code()
    body = (await house.redeem(code)).body
    await house.refresh(body["refresh_token"])
    for secret in (code, body["access_token"], body["refresh_token"], body["id_token"]):
        assert secret not in caplog.text
