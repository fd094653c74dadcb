"""Client assertions and secrets: SMART "Client Authentication: Asymmetric", RFC 7523."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, JWKRegistry, RSAKey

from smart_auth.tokens.jwt import client_assertion, generate_client_key
from tests.smart_auth.conftest import ASSERTION_TYPE, ISSUER, TOKEN_URL, House, basic, with_mac

ME = "backend-ES384"


def sign(
    house: House,
    header: dict[str, Any] | None = None,
    alg: str = "ES384",
    key: Any = None,
    **changed: Any,
) -> str:
    """Sign an assertion that is good, but for what is changed (None takes a claim away)."""
    now = int(house.clock.now.timestamp())
    good = {"iss": ME, "sub": ME, "aud": TOKEN_URL, "exp": now + 60, "jti": "j-1"}
    claims = {name: value for name, value in (good | changed).items() if value is not None}
    mine = house.client_keys["ES384"]
    full = {"alg": alg, "typ": "JWT", "kid": mine["kid"], **(header or {})}
    return jws.serialize_compact(
        {name: value for name, value in full.items() if value is not None},
        json.dumps(claims).encode(),
        key or JWKRegistry.import_key(mine),
        algorithms=[alg],
    )


async def refused(house: House, assertion: str, **form: str) -> None:
    answer = await house.backend(client_assertion=assertion, **form)
    assert answer.error == (401, "invalid_client")
    assert assertion not in json.dumps(answer.body) or not assertion


async def test_the_good_assertion_of_these_tests_is_accepted(house: House) -> None:
    assert (await house.backend(client_assertion=sign(house))).status == 200


async def test_a_single_key_needs_no_kid(house: House) -> None:
    assert (await house.backend(client_assertion=sign(house, {"kid": None}))).status == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": None},
        {"iss": "somebody"},
        {"iss": "backend-RS384"},
        {"sub": None},
        {"sub": 7},
        {"sub": "nobody", "iss": "nobody"},
        {"sub": "phone", "iss": "phone"},
        {"sub": "web", "iss": "web"},
        {"sub": "consentry-system", "iss": "consentry-system"},
        {"aud": None},
        {"aud": ISSUER + "/"},
        {"aud": TOKEN_URL + "/"},
        {"aud": TOKEN_URL.upper()},
        {"aud": []},
        {"aud": {"token": TOKEN_URL}},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": [1]},
        {"jti": None},
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * 256},
    ],
)
async def test_an_assertion_with_a_wrong_claim_is_refused(
    house: House, changed: dict[str, Any]
) -> None:
    await refused(house, sign(house, **changed))


@pytest.mark.parametrize("ahead", [-6, -3600, 306, 3600, 10 * 365 * 86400])
async def test_an_assertion_lives_at_most_five_minutes(house: House, ahead: int) -> None:
    await refused(house, sign(house, exp=int(house.clock.now.timestamp()) + ahead))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_an_assertion_of_the_future_is_refused(house: House, claim: str) -> None:
    await refused(house, sign(house, **{claim: int(house.clock.now.timestamp()) + 60}))


async def test_an_audience_list_that_holds_the_token_endpoint_is_accepted(house: House) -> None:
    assertion = sign(house, aud=["https://other.example", TOKEN_URL])
    assert (await house.backend(client_assertion=assertion)).status == 200


async def test_a_replayed_assertion_is_refused_for_its_lifetime(house: House) -> None:
    assertion = sign(house)
    assert (await house.backend(client_assertion=assertion)).status == 200
    await refused(house, assertion)
    house.clock.pass_(seconds=64)
    await refused(house, assertion)
    await refused(house, sign(house, exp=int(house.clock.now.timestamp()) + 60))


async def test_the_jti_of_another_client_is_another_jti(house: House) -> None:
    now = house.clock.now
    assert (await house.backend(client_assertion=sign(house, jti="same"))).status == 200
    key = house.client_keys["RS384"]
    claims = {"iss": "backend-RS384", "sub": "backend-RS384", "aud": TOKEN_URL, "jti": "same"}
    assertion = jwt.encode(
        {"alg": "RS384", "kid": key["kid"]},
        {**claims, "exp": int(now.timestamp()) + 60},
        RSAKey.import_key(key),  # type: ignore[arg-type]
        algorithms=["RS384"],
    )
    assert (await house.backend(client_assertion=assertion)).status == 200


async def test_a_bad_signature_is_refused(house: House) -> None:
    head, claims, signature = sign(house).split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for assertion in (
        f"{head}.{claims}.{flipped}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"{head}.{claims}.{signature}.x",
        f"{head}..{signature}",
        f".{claims}.{signature}",
    ):
        await refused(house, assertion)


async def test_another_clients_key_is_refused(house: House) -> None:
    stranger = generate_client_key("ES384")
    stranger["kid"] = house.client_keys["ES384"]["kid"]
    await refused(house, client_assertion(stranger, ME, TOKEN_URL, house.clock.now, "ES384"))
    await refused(house, house.assertion(ME, "RS384"))


async def test_alg_none_is_refused(house: House) -> None:
    _, claims, _ = sign(house).split(".")
    for alg in ("none", "None", "NONE", ""):
        head = base64.urlsafe_b64encode(json.dumps({"alg": alg}).encode()).decode().rstrip("=")
        await refused(house, f"{head}.{claims}.")


@pytest.mark.parametrize("alg", ["HS256", "HS384"])
async def test_a_mac_with_the_public_key_is_refused(house: House, alg: str) -> None:
    public = ECKey.import_key(house.client_keys["ES384"])  # type: ignore[arg-type]
    claims = json.loads(base64.urlsafe_b64decode(sign(house).split(".")[1] + "=="))
    header = {"typ": "JWT", "kid": public.kid}
    for secret in (
        public.as_pem(private=False),
        json.dumps(public.as_dict(private=False)).encode(),
    ):
        await refused(house, with_mac(alg, header, claims, secret))


@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS384"])
async def test_other_rsa_algorithms_are_refused(house: House, alg: str) -> None:
    mine = house.client_keys["RS384"]
    key = RSAKey.import_key({n: v for n, v in mine.items() if n != "alg"})  # type: ignore[misc]
    claims = {"iss": "backend-RS384", "sub": "backend-RS384"}
    await refused(house, sign(house, {"kid": mine["kid"]}, alg, key, **claims))


def _with_jwk(house: House) -> tuple[dict[str, Any], Any]:
    key = ECKey.generate_key("P-384")
    return {"jwk": key.as_dict(private=False)}, key


def _with_jku(house: House) -> tuple[dict[str, Any], Any]:
    return {"jku": "https://evil.example/jwks"}, None


def _with_x5u(house: House) -> tuple[dict[str, Any], Any]:
    return {"x5u": "https://evil.example/cert"}, None


def _with_x5c(house: House) -> tuple[dict[str, Any], Any]:
    return {"x5c": ["MIIB"]}, None


@pytest.mark.parametrize("bring", [_with_jwk, _with_jku, _with_x5u, _with_x5c])
async def test_a_key_brought_along_in_the_header_is_refused(
    house: House, bring: Callable[[House], tuple[dict[str, Any], Any]]
) -> None:
    header, key = bring(house)
    await refused(house, sign(house, header, key=key))


@pytest.mark.parametrize("header", [{"kid": "another"}, {"typ": "at+jwt"}, {"typ": 5}])
async def test_a_wrong_kid_or_typ_is_refused(house: House, header: dict[str, Any]) -> None:
    if header.get("typ") == 5:
        head = base64.urlsafe_b64encode(json.dumps({"alg": "ES384", "typ": 5}).encode()).decode()
        await refused(house, head.rstrip("=") + "." + sign(house).split(".", 1)[1])
        return
    await refused(house, sign(house, header))


@pytest.mark.parametrize(
    "assertion", ["", "x", "..", "a.b.c", "ü.ü.ü", "A" * 20_000, "W10.W10.W10", "e30.W10.AAAA"]
)
async def test_what_is_not_a_jwt_is_refused(house: House, assertion: str) -> None:
    await refused(house, assertion)


async def test_claims_nested_too_deep_are_refused(house: House) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 9000).decode().rstrip("=")
    head, _, signature = sign(house).split(".")
    await refused(house, f"{head}.{deep}.{signature}")


async def test_another_assertion_type_is_refused(house: House) -> None:
    saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
    for type_ in (saml, "", "jwt-bearer"):
        await refused(house, sign(house), client_assertion_type=type_)


async def test_client_id_must_agree_with_the_assertion(house: House) -> None:
    await refused(house, sign(house), client_id="backend-RS384")


async def test_two_ways_at_once_are_refused(house: House) -> None:
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE}
    both = await house.post_token(basic(), client_assertion=sign(house), **form)
    assert both.error == (400, "invalid_request")
    both = await house.post_token(basic(), client_secret="x", grant_type="refresh_token")
    assert both.error == (400, "invalid_request")


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic d2Vi",
        "Basic /w==",
        "Bearer x",
        "Basic " + base64.b64encode(b"web:wrong").decode(),
        "Basic " + base64.b64encode(b"phone:x").decode(),
        "Basic " + base64.b64encode(b"nobody:x").decode(),
        "Basic " + base64.b64encode(b":").decode(),
    ],
)
async def test_wrong_basic_credentials_are_refused(house: House, header: str) -> None:
    answer = await house.post_token(
        {"authorization": header}, grant_type="refresh_token", refresh_token="x"
    )
    assert answer.error == (401, "invalid_client")


async def test_an_asymmetric_client_cannot_come_with_a_secret(house: House) -> None:
    answer = await house.post_token(
        grant_type="client_credentials", client_id=ME, client_secret="x", scope="system/*.rs"
    )
    assert answer.error == (401, "invalid_client")
