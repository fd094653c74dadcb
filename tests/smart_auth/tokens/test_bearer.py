"""Bearer tokens: what is refused, what a Caller says, and revocation that holds at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from smart_auth.errors import (
    BadSignatureError,
    BearerError,
    ConfigurationError,
    ExpiredTokenError,
    MalformedTokenError,
    NotYetValidError,
    RevokedTokenError,
    UnknownCallerError,
    WrongAudienceError,
    WrongIssuerError,
)
from smart_auth.store import digest
from smart_auth.tokens.jwt import sign_access_token, sign_id_token
from tests.smart_auth.conftest import FHIR, ISSUER, House, base64url, with_mac


def claims_of(house: House, **changed: Any) -> dict[str, Any]:
    now = int(house.clock.now.timestamp())
    good = {
        "iss": ISSUER,
        "aud": FHIR,
        "sub": "backend-ES384",
        "client_id": "backend-ES384",
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "jti": "j",
        "grant": "g",
        "scope": "system/Patient.rs",
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


async def test_the_good_token_of_these_tests_is_accepted(house: House) -> None:
    token = sign_access_token(claims_of(house), house.keys)
    caller = await house.server.authenticate(token, house.clock.now)
    assert caller.organization == "Organization/insurer"
    assert caller.organizations == ("Organization/insurer",)
    assert caller.purposes == ("HPAYMT", "HOPERAT")
    assert caller.user is None
    assert caller.scopes.covers("Patient", "r")
    assert not caller.scopes.covers("Observation", "r")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"iss": "https://evil.example"}, WrongIssuerError),
        ({"iss": None}, WrongIssuerError),
        ({"aud": "backend-ES384"}, WrongAudienceError),
        ({"aud": FHIR + "/"}, WrongAudienceError),
        ({"aud": [FHIR]}, WrongAudienceError),
        ({"aud": None}, WrongAudienceError),
        ({"exp": 0}, ExpiredTokenError),
        ({"exp": None}, MalformedTokenError),
        ({"exp": "later"}, MalformedTokenError),
        ({"nbf": 99_999_999_999}, NotYetValidError),
        ({"nbf": None}, MalformedTokenError),
        ({"iat": None}, MalformedTokenError),
        ({"jti": None}, MalformedTokenError),
        ({"jti": 5}, MalformedTokenError),
        ({"grant": None}, MalformedTokenError),
        ({"scope": None}, MalformedTokenError),
        ({"scope": "system/Patient.sr"}, MalformedTokenError),
        ({"patient": 7}, MalformedTokenError),
        ({"client_id": None}, MalformedTokenError),
        ({"client_id": "nobody"}, UnknownCallerError),
        ({"sub": "nobody"}, UnknownCallerError),
        ({"sub": None}, MalformedTokenError),
    ],
)
async def test_a_token_of_ours_with_a_wrong_claim_is_refused(
    house: House, changed: dict[str, Any], error: type[BearerError]
) -> None:
    token = sign_access_token(claims_of(house, **changed), house.keys)
    with pytest.raises(error):
        await house.server.authenticate(token, house.clock.now)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "..", "ü.ü.ü", "\ud800", "A" * 20_000, "a b"])
async def test_what_is_not_a_token_is_refused(house: House, text: str) -> None:
    with pytest.raises(MalformedTokenError):
        await house.server.authenticate(text, house.clock.now)


async def test_an_id_token_is_not_an_access_token(house: House) -> None:
    with pytest.raises(MalformedTokenError):
        await house.server.authenticate(
            sign_id_token(claims_of(house), house.keys), house.clock.now
        )


async def test_a_token_signed_by_somebody_else_is_refused(house: House) -> None:
    key = ECKey.generate_key("P-384")
    payload = json.dumps(claims_of(house)).encode()
    ours = house.keys.access[0]
    for header, error in (
        ({"kid": "another"}, BadSignatureError),
        ({"kid": ours.kid}, BadSignatureError),
        ({"kid": ours.kid, "jwk": key.as_dict(private=False)}, MalformedTokenError),
        ({"kid": ours.kid, "jku": "https://evil.example"}, MalformedTokenError),
    ):
        full = {"alg": "ES384", "typ": "at+jwt", **header}
        token = jws.serialize_compact(full, payload, key, algorithms=["ES384"])
        with pytest.raises(error):
            await house.server.authenticate(token, house.clock.now)


async def test_alg_none_and_a_mac_with_our_public_key_are_refused(house: House) -> None:
    ours = house.keys.access[0]
    header = {"typ": "at+jwt", "kid": ours.kid}
    token = with_mac("HS256", header, claims_of(house), ours.as_pem(private=False))
    none = ".".join(
        base64url(json.dumps(part).encode())
        for part in ({"alg": "none", **header}, claims_of(house))
    )
    for forged in (token, f"{none}."):
        with pytest.raises(MalformedTokenError):
            await house.server.authenticate(forged, house.clock.now)


async def test_a_changed_token_is_refused(house: House) -> None:
    head, _, signature = sign_access_token(claims_of(house), house.keys).split(".")
    more = json.dumps(claims_of(house, scope="system/*.cruds")).encode()
    forged = f"{head}.{base64url(more)}.{signature}"
    with pytest.raises(BadSignatureError):
        await house.server.authenticate(forged, house.clock.now)


async def test_a_remembered_token_still_expires(house: House) -> None:
    token = sign_access_token(claims_of(house), house.keys)
    await house.server.authenticate(token, house.clock.now)
    house.clock.pass_(seconds=299)
    await house.server.authenticate(token, house.clock.now)
    house.clock.pass_(seconds=1)
    with pytest.raises(ExpiredTokenError):
        await house.server.authenticate(token, house.clock.now)


async def test_a_remembered_token_costs_no_look_into_the_store(house: House) -> None:
    token = sign_access_token(claims_of(house), house.keys)
    await house.server.authenticate(token, house.clock.now)
    asked = house.store.asked
    for _ in range(50):
        await house.server.authenticate(token, house.clock.now)
    assert house.store.asked == asked


async def test_a_revocation_by_another_process_holds_within_five_seconds(house: House) -> None:
    token = sign_access_token(claims_of(house), house.keys)
    await house.server.authenticate(token, house.clock.now)
    until = house.clock.now.replace(year=2030)
    await house.store.put("revoked", digest("g"), b"\x01", until)
    house.clock.pass_(seconds=5)
    with pytest.raises(RevokedTokenError):
        await house.server.authenticate(token, house.clock.now)


async def test_a_person_calls_with_their_organizations_and_common_purposes(house: House) -> None:
    token = (await house.redeem(await house.code("drdoe"))).body["access_token"]
    caller = await house.server.authenticate(token, house.clock.now)
    assert caller.user == "Practitioner/9"
    assert caller.organizations == ("Organization/clinic",)
    assert caller.organization is None
    assert caller.purposes == ("TREAT",)
    assert caller.patient == "Patient/2"
    assert caller.client_id == "phone"
    assert not caller.system
    assert "Dora" not in repr(caller)


async def test_the_system_token_is_the_custodians(house: House) -> None:
    token = house.server.system_token("system/*.cruds openid user/*.rs", house.clock.now)
    caller = await house.server.authenticate(token, house.clock.now)
    assert caller.client_id == "consentry-system"
    assert caller.organization == "Organization/custodian"
    assert caller.system
    assert str(caller.scopes) == "system/*.cruds"
    with pytest.raises(ConfigurationError):
        house.server.system_token("user/*.rs", house.clock.now)
