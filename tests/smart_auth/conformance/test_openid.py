"""Items 25 to 30 of the checklist: OpenID Connect, over HTTP (g10 1.11)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from .conftest import ORIGIN, App, claims_of


def header_of(token: str) -> dict[str, Any]:
    part = token.partition(".")[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return header


def test_item_25_the_id_token_decodes_and_its_issuer_tells_of_itself(app: App) -> None:
    claims = claims_of(app.granted()["id_token"])
    answer = httpx2.get(f"{claims['iss']}/.well-known/openid-configuration")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["issuer"] == claims["iss"]


def test_item_26_the_openid_configuration_has_its_fields(app: App) -> None:
    found = httpx2.get(f"{app.issuer}/.well-known/openid-configuration").json()
    for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert found[name].startswith(app.play.server.url)
    assert "code" in found["response_types_supported"]
    assert found["subject_types_supported"]
    assert "RS256" in found["id_token_signing_alg_values_supported"]


def test_item_27_there_is_an_rsa_key(app: App) -> None:
    found = httpx2.get(f"{app.issuer}/.well-known/openid-configuration").json()
    keys = httpx2.get(found["jwks_uri"]).json()["keys"]
    rsa = [key for key in keys if key["kty"] == "RSA"]
    assert rsa
    assert all(key["n"] and key["e"] and "d" not in key for key in rsa)


def test_item_28_the_id_token_is_signed_with_rs256_by_a_key_that_is_named(app: App) -> None:
    header = header_of(app.granted()["id_token"])
    assert header["alg"] == "RS256"
    keys = httpx2.get(f"{app.issuer}/jwks").json()["keys"]
    assert header["kid"] in [key["kid"] for key in keys if key["kty"] == "RSA"]


def test_item_29_the_claims_of_the_id_token_and_its_signature(app: App) -> None:
    token = app.granted(nonce="n-0S6_WzA2Mj")["id_token"]
    claims = claims_of(token)
    now = datetime.now(UTC).timestamp()
    assert (claims["iss"], claims["aud"]) == (app.issuer, "py-app")
    assert claims["iat"] <= now + 1 < claims["exp"]
    assert 0 < len(claims["sub"]) <= 255
    assert claims["nonce"] == "n-0S6_WzA2Mj"
    keys = httpx2.get(f"{app.issuer}/jwks").json()
    assert signature_holds(token, keys)
    head, body, signature = token.split(".")
    other = signature[:-8] + ("A" * 8 if signature[-8:] != "A" * 8 else "B" * 8)
    assert not signature_holds(f"{head}.{body}.{other}", keys)


def signature_holds(token: str, keys: dict[str, Any]) -> bool:
    """Check the signature with nothing but the published keys."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    def number(text: str) -> int:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")

    kid = header_of(token)["kid"]
    jwk = next(key for key in keys["keys"] if key["kid"] == kid)
    signed, _, signature = token.rpartition(".")
    public = rsa.RSAPublicNumbers(number(jwk["e"]), number(jwk["n"])).public_key()
    try:
        made = base64.urlsafe_b64decode(signature + "==")
        public.verify(made, signed.encode(), padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("username", ["", "helena"])
def test_item_30_the_fhir_user_can_be_read(app_of: Callable[..., App], username: str) -> None:
    app = app_of("py-app", username)
    scope = "openid fhirUser patient/*.rs user/*.rs launch/patient"
    launch = {}
    if username:
        scope, launch = f"{scope} launch", {"launch": app.ehr_launch()["launch"]}
    body = app.granted(scope, **launch)
    user = claims_of(body["id_token"])["fhirUser"]
    base = app.play.server.fhir
    assert user.startswith(f"{base}/")
    type_ = user.removeprefix(f"{base}/").partition("/")[0]
    assert type_ == ("Practitioner" if username else "Patient")
    answer = app.get(user.removeprefix(f"{base}/"), body["access_token"])
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN["Origin"])
