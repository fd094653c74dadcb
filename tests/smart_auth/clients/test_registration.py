"""Clients that register themselves (RFC 7591, 7592): within the terms of their initial token, by the rules of all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smart_auth.tokens.jwt import client_assertion, generate_client_key, public_jwks
from tests.smart_auth.conftest import (
    ASSERTION_TYPE,
    ISSUER,
    REDIRECT,
    TOKEN_URL,
    Answer,
    House,
    basic,
)
from tests.smart_auth.registering import APP, BACKEND, TERMS, initial, joined, manage, register


async def test_an_app_registers_and_is_known_at_once(house: House) -> None:
    client = await joined(house)
    assert client["registration_client_uri"] == f"{ISSUER}/register/{client['client_id']}"
    assert client["client_id_issued_at"] == int(house.clock.now.timestamp())
    assert "client_secret" not in client
    assert client["scope"] == TERMS.scope
    code = await house.code(client_id=client["client_id"])
    answer = await house.redeem(code, client_id=client["client_id"])
    assert answer.status == 200
    caller = await house.server.authenticate(answer.body["access_token"], house.clock.now)
    assert (caller.organization, caller.purposes) == (None, ("PATRQT",))


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", ...])
async def test_a_client_with_a_secret_gets_one_and_it_is_kept_as_a_hash(
    house: House, method: Any
) -> None:
    client = await joined(house, token_endpoint_auth_method=method)
    secret, id_ = client["client_secret"], client["client_id"]
    assert client["client_secret_expires_at"] == 0
    assert len(secret) >= 43
    answer = await house.post("introspect", basic(id_, secret), token="x")
    assert answer.body == {"active": False}
    assert (await house.post("introspect", basic(id_, "wrong"), token="x")).status == 401
    kept = b"".join(entry.value for entry in house.register.entries.values())
    assert secret.encode() not in kept
    assert client["registration_access_token"].encode() not in kept


async def test_a_backend_service_registers_its_keys(house: House) -> None:
    key = generate_client_key("ES384")
    token = await initial(house, BACKEND)
    metadata = {
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "jwks": public_jwks(key),
        "scope": "system/*.cruds openid",
    }
    client = (await register(house, token, metadata)).body
    assert client["scope"] == "system/Patient.rs system/Observation.rs"
    assertion = client_assertion(key, client["client_id"], TOKEN_URL, house.clock.now, "ES384")
    answer = await house.backend(client_assertion=assertion, client_assertion_type=ASSERTION_TYPE)
    caller = await house.server.authenticate(answer.body["access_token"], house.clock.now)
    assert caller.organization == "Organization/insurer"
    assert caller.purposes == ("HPAYMT",)
    assert not caller.system


@pytest.mark.parametrize(
    "stolen",
    [
        {"organization": "Organization/custodian"},
        {"purposes": ["TREAT", "HOPERAT", "BTG"]},
        {"system": True},
        {"introspects": True},
        {"kind": "confidential-asymmetric"},
        {"secret_hash": "$argon2id$v=19$m=8,t=1,p=1$x$y"},
        {"client_id": "phone"},
        {"bound": False},
        {"scope": "user/*.cruds patient/*.cruds system/*.cruds openid"},
        {"name": "Consentry"},
    ],
)
async def test_nothing_can_be_had_beyond_the_terms(house: House, stolen: dict[str, Any]) -> None:
    client = await joined(house, **stolen)
    ours = house.server.registered.registry.find(client["client_id"])
    assert ours is not None
    assert ours.client_id != "phone"
    assert (ours.organization, ours.purposes) == (None, ("PATRQT",))
    assert not ours.system
    assert not ours.introspects
    assert ours.kind == "public"
    assert {scope.level for scope in ours.scope.resources} <= {"patient"}
    assert all(scope.letters in ("r", "s", "rs") for scope in ours.scope.resources)
    assert ours.name == "New app"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"redirect_uris": ...}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://app.example.org/"}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example.org/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://user@app.example.org/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example.org/#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example.org/\r\nx"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example.org/\ud800"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [REDIRECT, 5]}, "invalid_redirect_uri"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": ["none"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"jwks": {"keys": []}}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"grant_types": "authorization_code"}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"client_name": ""}, "invalid_client_metadata"),
        ({"client_name": 5}, "invalid_client_metadata"),
        ({"client_name": "a" * 101}, "invalid_client_metadata"),
        ({"client_name": "x\x00y"}, "invalid_client_metadata"),
        ({"client_name": "x\u202ey"}, "invalid_client_metadata"),
        ({"client_name": "\ud800"}, "invalid_client_metadata"),
        ({"scope": "system/*.rs"}, "invalid_client_metadata"),
        ({"scope": "patient/*.sr"}, "invalid_client_metadata"),
        ({"scope": 5}, "invalid_client_metadata"),
        ({"scope": ""}, "invalid_client_metadata"),
        ({"fapi": True}, "invalid_client_metadata"),
        ({"fapi": "yes"}, "invalid_client_metadata"),
        ({"dpop_bound_access_tokens": 1}, "invalid_client_metadata"),
        ({"software_statement": "e30.e30."}, "unapproved_software_statement"),
    ],
)
async def test_wrong_metadata_are_refused_and_use_up_nothing(
    house: House, changed: dict[str, Any], error: str
) -> None:
    token = await initial(house)
    metadata = {name: v for name, v in (APP | changed).items() if v is not ...}
    assert (await register(house, token, metadata)).error == (400, error)
    assert (await register(house, token, APP)).status == 201


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"5", b"null", b'{"a":1,"a":2}', b"\xff\xfe", b"[" * 60_000, b'{"a":NaN}'],
)
async def test_what_is_no_json_object_is_refused(house: House, body: bytes) -> None:
    answer = await register(house, await initial(house), body)
    assert answer.error == (400, "invalid_client_metadata")


async def test_deep_json_in_keys_is_refused(house: House) -> None:
    deep = b'{"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":' + b"[" * 500
    body = deep + b"]" * 500 + b'},"redirect_uris":["https://a.example/"]}'
    answer = await register(house, await initial(house), body)
    assert answer.error == (400, "invalid_client_metadata")


@pytest.mark.parametrize("token", [None, "", "x", "ü", "a" * 5000])
async def test_without_an_initial_token_nobody_registers(house: House, token: Any) -> None:
    answer = await register(house, token, APP)
    assert answer.error == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_an_initial_token_ends_with_its_uses_and_its_time(house: House) -> None:
    token = await initial(house, uses=3)
    answers = await asyncio.gather(*(register(house, token, APP) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [401] * 9
    token = await initial(house, uses=3)
    house.clock.pass_(days=1)
    assert (await register(house, token, APP)).error == (401, "invalid_token")


async def test_an_initial_token_opens_nothing_else(house: House) -> None:
    token = await initial(house)
    client = await joined(house)
    assert await house.refused(token) != ""
    assert await house.refused(client["registration_access_token"]) != ""
    assert (await manage(house, "GET", client, token=token)).status == 401
    assert (await register(house, client["registration_access_token"], APP)).status == 401


async def test_a_client_reads_changes_and_ends_its_registration(house: House) -> None:
    client = await joined(house)
    read = Answer(await manage(house, "GET", client))
    assert read.body == client
    wanted = {**APP, "client_id": client["client_id"], "client_name": "Newer"}
    changed = Answer(await manage(house, "PUT", client, {**wanted, "scope": "patient/Patient.r"}))
    assert (changed.body["client_name"], changed.body["scope"]) == ("Newer", "patient/Patient.r")
    ours = house.server.registered.registry.find(client["client_id"])
    assert ours is not None
    assert str(ours.scope) == "patient/Patient.r"
    gone = await manage(house, "DELETE", client)
    assert (gone.status, gone.body) == (204, b"")
    assert (await manage(house, "GET", client)).status == 401
    assert house.server.registered.registry.find(client["client_id"]) is None


async def test_what_a_client_was_granted_ends_with_its_registration(house: House) -> None:
    client = await joined(house)
    id_ = client["client_id"]
    body = (await house.redeem(await house.code(client_id=id_), client_id=id_)).body
    assert await house.refused(body["access_token"]) == ""
    await manage(house, "DELETE", client)
    assert await house.refused(body["access_token"]) == "UnknownCallerError"
    refresh = await house.refresh(body["refresh_token"], client_id=id_)
    assert refresh.error == (401, "invalid_client")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_client_manages_itself_only(house: House, method: str) -> None:
    mine, other = await joined(house), await joined(house)
    own = mine["registration_access_token"]
    wanted = {**APP, "client_id": other["client_id"]}
    assert (await manage(house, method, other, wanted, token=own)).status == 401
    nobody = {**mine, "client_id": "nobody"}
    assert (await manage(house, method, nobody, wanted)).status == 401
    phone = {**mine, "client_id": "phone"}
    assert (await manage(house, method, phone, wanted)).status == 401
    assert (await manage(house, "GET", other)).status == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "phone"},
        {"client_id": ...},
        {"registration_access_token": "x"},
        {"registration_client_uri": "https://evil.example"},
        {"client_secret_expires_at": 0},
        {"client_id_issued_at": 0},
        {"client_secret": "guessed"},
        {"client_secret": 5},
        {"client_secret": "\ud800"},
    ],
)
async def test_a_change_cannot_say_what_is_the_servers_to_say(
    house: House, changed: dict[str, Any]
) -> None:
    client = await joined(house)
    wanted = {**APP, "client_id": client["client_id"], **changed}
    wanted = {name: value for name, value in wanted.items() if value is not ...}
    answer = Answer(await manage(house, "PUT", client, wanted))
    assert answer.error == (400, "invalid_client_metadata")


async def test_a_change_stays_within_the_terms(house: House) -> None:
    client = await joined(house, scope="patient/Patient.r")
    wanted = {**APP, "client_id": client["client_id"], "scope": "user/*.cruds"}
    assert Answer(await manage(house, "PUT", client, wanted)).status == 400
    wanted["scope"] = "patient/*.cruds"
    assert Answer(await manage(house, "PUT", client, wanted)).body["scope"] == "patient/*.rs"


async def test_a_secret_lasts_until_the_client_needs_none(house: House) -> None:
    client = await joined(house, token_endpoint_auth_method="client_secret_post")
    id_, secret = client["client_id"], client["client_secret"]
    with_secret = {**APP, "client_id": id_, "token_endpoint_auth_method": "client_secret_post"}
    same = Answer(await manage(house, "PUT", client, {**with_secret, "client_secret": secret}))
    assert "client_secret" not in same.body
    assert (await house.post("introspect", basic(id_, secret), token="x")).status == 200
    await manage(house, "PUT", client, {**APP, "client_id": id_})
    assert (await house.post("introspect", basic(id_, secret), token="x")).status == 401
    new = Answer(await manage(house, "PUT", client, with_secret)).body["client_secret"]
    assert new != secret
    assert (await house.post("introspect", basic(id_, new), token="x")).status == 200


async def test_a_refresh_gives_no_more_than_the_client_is_registered_for_now(house: House) -> None:
    client = await joined(house)
    id_ = client["client_id"]
    body = (await house.redeem(await house.code(client_id=id_), client_id=id_)).body
    less = {**APP, "client_id": id_, "scope": "offline_access patient/Observation.r"}
    assert (await manage(house, "PUT", client, less)).status == 200
    answer = await house.refresh(body["refresh_token"], client_id=id_)
    assert answer.body["scope"] == "offline_access patient/Observation.r"


async def test_metadata_of_other_standards_bind_a_client(house: House) -> None:
    more = {"dpop_bound_access_tokens": True, "require_pushed_authorization_requests": True}
    client = await joined(house, **more)
    assert client | more == client
    ours = house.server.registered.registry.find(client["client_id"])
    assert ours is not None
    assert (ours.bound, ours.pushes) == (True, True)


async def test_the_metadata_name_the_endpoint(house: House) -> None:
    document: Any = house.server.openid_configuration()
    assert document["registration_endpoint"] == f"{ISSUER}/register"
