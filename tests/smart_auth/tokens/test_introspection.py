"""Introspection and revocation (RFC 7662, 7009): who may ask, and what is told."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from smart_auth.clients.registry import read_client
from tests.smart_auth.conftest import (
    APP_SCOPE,
    ASSERTION_TYPE,
    CHEAP,
    FHIR,
    ISSUER,
    REDIRECT,
    SECRET,
    House,
    basic,
    hash_password,
)
from tests.smart_auth.proving import Prover

INTROSPECT = f"{ISSUER}/introspect"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def of_web(house: House, **changed: str) -> dict[str, Any]:
    code = await house.code(client_id="web", **changed)
    return (await house.redeem(code, client_id="web", client_secret=SECRET)).body


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


async def test_item_40_an_active_token_is_told_with_its_context(house: House) -> None:
    body = await of_web(house)
    told = (await house.post("introspect", basic(), token=body["access_token"])).body
    access, identity = claims(body["access_token"]), claims(body["id_token"])
    assert told["active"] is True
    assert set(told["scope"].split()) == set(body["scope"].split())
    assert told["client_id"] == "web"
    assert told["exp"] == access["exp"]
    assert told["patient"] == body["patient"]
    assert (told["iss"], told["sub"]) == (identity["iss"], identity["sub"])
    assert told["fhirUser"] == identity["fhirUser"]
    assert told["aud"] == FHIR
    assert "cnf" not in told


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "ü", "e30.e30.", "A" * 20_000, "[" * 9000, "null", "..."]
)
async def test_item_41_an_invalid_token_is_inactive_and_nothing_else(
    house: House, token: str
) -> None:
    answer = await house.post("introspect", basic(), token=token)
    assert (answer.status, answer.body) == (200, {"active": False})


async def test_item_41_an_expired_revoked_or_foreign_token_is_inactive_and_nothing_else(
    house: House,
) -> None:
    foreign = (await house.redeem(await house.code())).body["access_token"]
    revoked = (await of_web(house))["access_token"]
    await house.post("revoke", basic(), token=revoked)
    expired = (await of_web(house))["access_token"]
    house.clock.pass_(minutes=31)
    for token in (foreign, revoked, expired):
        answer = await house.post("introspect", basic(), token=token)
        assert (answer.status, answer.body) == (200, {"active": False})


async def test_item_42_after_a_revocation_neither_token_is_good(house: House) -> None:
    for which in ("access_token", "refresh_token"):
        body = await of_web(house)
        answer = await house.post("revoke", basic(), token=body[which])
        assert (answer.status, answer.body) == (200, {})
        assert await house.refused(body["access_token"]) == "RevokedTokenError"
        form = {"client_id": "web", "client_secret": SECRET}
        assert (await house.refresh(body["refresh_token"], **form)).error == (400, "invalid_grant")


async def test_revoking_an_unknown_token_succeeds_and_a_foreign_one_does_not(house: House) -> None:
    for token in ("x", "a.b.c", "ü", "A" * 20_000):
        assert (await house.post("revoke", basic(), token=token)).status == 200
    foreign = (await house.redeem(await house.code())).body
    for which in ("access_token", "refresh_token"):
        answer = await house.post("revoke", basic(), token=foreign[which])
        assert answer.error == (400, "invalid_grant")
    assert await house.refused(foreign["access_token"]) == ""
    assert (await house.refresh(foreign["refresh_token"])).status == 200


@pytest.mark.parametrize("endpoint", ["introspect", "revoke"])
@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense", "x\u00fc"])
async def test_a_hint_changes_nothing(house: House, endpoint: str, hint: str) -> None:
    body = await of_web(house)
    answer = await house.post(endpoint, basic(), token=body["refresh_token"], token_type_hint=hint)
    assert answer.status == 200
    assert answer.body.get("active", True) is True


@pytest.mark.parametrize("endpoint", ["introspect", "revoke"])
async def test_without_a_token_or_proof_nothing_is_told(house: House, endpoint: str) -> None:
    token = (await of_web(house))["access_token"]
    assert (await house.post(endpoint, basic())).error == (400, "invalid_request")
    assert (await house.post(endpoint, basic(), token="")).error == (400, "invalid_request")
    for headers in ({}, basic(secret="x"), basic("nobody"), {"authorization": "Basic"}):
        assert (await house.post(endpoint, headers, token=token)).error == (401, "invalid_client")
    assert await house.refused(token) == ""


async def test_a_resource_server_and_the_custodians_system_look_at_all(house: House) -> None:
    resource_server = {
        "client_id": "records",
        "name": "Another resource server",
        "kind": "confidential-symmetric",
        "secret_hash": hash_password("r", CHEAP),
        "redirect_uris": [REDIRECT],
        "scope": APP_SCOPE,
        "introspects": True,
    }
    house.server._clients.renew([read_client(resource_server)], ())
    token = (await of_web(house))["access_token"]
    system = house.server.system_token("system/*.rs", house.clock.now)
    for headers in (basic("records", "r"), bearer(system)):
        answer = await house.post("introspect", headers, token=token)
        assert (answer.body["active"], answer.body["client_id"]) == (True, "web")
        answer = await house.post("introspect", headers, token="x")
        assert answer.body == {"active": False}
    assert (await house.post("revoke", basic("records", "r"), token=token)).status == 400


async def test_a_backend_service_may_come_with_its_own_token_for_its_own_tokens(
    house: House,
) -> None:
    own = (await house.backend()).body["access_token"]
    answer = await house.post("introspect", bearer(own), token=own)
    assert (answer.body["active"], answer.body["client_id"]) == (True, "backend-ES384")
    foreign = (await of_web(house))["access_token"]
    answer = await house.post("introspect", bearer(own), token=foreign)
    assert answer.body == {"active": False}


async def test_a_token_of_a_person_or_none_does_not_introspect(house: House) -> None:
    person = (await of_web(house))["access_token"]
    own = (await house.backend()).body["access_token"]
    await house.server.revoke_backend("backend-ES384")
    for token in (person, own, "x", "", "ü"):
        answer = await house.post("introspect", bearer(token), token=person)
        assert answer.error == (401, "invalid_client")
        assert (await house.post("revoke", bearer(token), token=person)).status == 401


async def test_a_bound_token_introspects_with_its_proof_only(house: House) -> None:
    prover = Prover(house)
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": house.assertion("backend-ES384"),
    }
    token = (await house.post_token(prover.headers(), **form)).body["access_token"]
    dpop = {"authorization": f"DPoP {token}"}
    good = dpop | prover.headers(url=INTROSPECT, token=token)
    answer = await house.post("introspect", good, token=token)
    assert answer.body["cnf"] == {"jkt": prover.thumbprint}
    for headers in (
        bearer(token),
        dpop,
        good,
        dpop | Prover(house).headers(url=INTROSPECT, token=token),
        bearer(token) | prover.headers(url=INTROSPECT, token=token),
    ):
        assert (await house.post("introspect", headers, token=token)).status in (400, 401)


async def test_a_get_is_refused(house: House) -> None:
    from smart_auth.exchange import HttpRequest

    for call in (house.server.introspect, house.server.revoke):
        response = await call(HttpRequest("GET", INTROSPECT, "/x", basic(), (("token", "x"),), ()))
        assert response.status == 400
