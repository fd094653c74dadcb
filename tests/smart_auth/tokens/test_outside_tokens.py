"""id_tokens of an outside provider: whatever is not for us, of now, and signed by it is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from smart_auth.errors import BearerError
from smart_auth.tokens.outside_tokens import verify_outside_id_token

from ..conftest import with_mac

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ISSUER, CLIENT = "https://id.example.org", "consentry"
RSA = RSAKey.generate_key(2048, {"kid": "r", "alg": "RS256"})
EC = ECKey.generate_key("P-256", {"kid": "e", "alg": "ES256"})
OTHER = RSAKey.generate_key(2048, {"kid": "r", "alg": "RS256"})
JWKS = {"keys": [RSA.as_dict(private=False), EC.as_dict(private=False)]}
GOOD = {
    "iss": ISSUER,
    "aud": CLIENT,
    "sub": "someone",
    "nonce": "n",
    "exp": int(NOW.timestamp()) + 60,
    "iat": int(NOW.timestamp()),
}


def made(key: Any = RSA, alg: str = "RS256", **changed: object) -> str:
    claims = {name: value for name, value in (GOOD | changed).items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid or "r"}, claims, key, algorithms=[alg])


def verified(token: str, jwks: Any = JWKS) -> dict[str, object]:
    return verify_outside_id_token(token, jwks, ISSUER, CLIENT, "n", NOW)


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256")])
def test_what_the_provider_signed_for_us_just_now_is_read(key: Any, alg: str) -> None:
    assert verified(made(key, alg))["sub"] == "someone"
    assert verified(made(key, alg, aud=[CLIENT, "x"], azp=CLIENT))["sub"] == "someone"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://id.example.org/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": [CLIENT, "x"]},
        {"aud": None},
        {"azp": "another"},
        {"nonce": "m"},
        {"nonce": None},
        {"exp": int(NOW.timestamp()) - 61},
        {"exp": None},
        {"exp": "soon"},
        {"iat": int(NOW.timestamp()) - 601},
        {"iat": int(NOW.timestamp()) + 601},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": 5},
    ],
)
def test_another_claim_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(BearerError):
        verified(made(**changed))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "é",
        made(OTHER),
        made()[:-4] + "AAAA",
        with_mac("HS256", {"kid": "r"}, GOOD, RSA.as_pem(private=False)),
        made(OctKey.import_key("x" * 32), "HS256"),
        ".".join(["eyJhbGciOiJub25lIn0", made().split(".")[1], ""]),
    ],
)
def test_what_it_did_not_sign_is_refused(token: str) -> None:
    with pytest.raises(BearerError):
        verified(token)


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": []}, {"keys": [{"kty": "x"}]}])
def test_keys_that_are_none_verify_nothing(jwks: Any) -> None:
    with pytest.raises(BearerError):
        verified(made(), jwks)
