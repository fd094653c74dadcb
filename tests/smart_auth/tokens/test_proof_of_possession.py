"""DPoP (RFC 9449): tokens bound to a key, at the token endpoint and where they are used."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from smart_auth.clients.registry import read_client
from smart_auth.errors import BearerError, InvalidProofError, UnprovedTokenError, UseNonceError
from smart_auth.tokens.jwt import public_jwks
from smart_auth.tokens.proof_of_possession import ProvedBefore, Sent
from smart_auth.tokens.signed_proofs import verify_proof
from tests.smart_auth.conftest import (
    ASSERTION_TYPE,
    FHIR,
    REDIRECT,
    SECRET,
    TOKEN_URL,
    VERIFIER,
    Answer,
    House,
    asking,
    base64url,
    basic,
    with_mac,
)
from tests.smart_auth.proving import Prover

URL = f"{FHIR}/Patient/1"

# RFC 9449, 4.1 (the proof) and 6.1 (the thumbprint of its key)
OF_THE_RFC = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0Vj"
    "NoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5"
    "VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TV"
    "CIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8"
    "lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)


def test_the_proof_of_the_rfc_fits_its_key() -> None:
    proof = verify_proof(OF_THE_RFC)
    assert proof.thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert proof.claims["jti"] == "-BwC3ESc6acc2lTc"


async def redeem(house: House, headers: dict[str, str], code: str = "", **more: str) -> Answer:
    form = {
        "grant_type": "authorization_code",
        "code": code or await house.code(),
        "redirect_uri": REDIRECT,
        "client_id": "phone",
        "code_verifier": VERIFIER,
    }
    return await house.post_token(headers, **form | more)


async def bound(house: House, prover: Prover) -> dict[str, Any]:
    answer = await redeem(house, prover.headers())
    assert answer.status == 200
    return answer.body


async def use(house: House, token: str, proof: str, method: str = "GET", url: str = URL) -> str:
    """The name of the error with which a use of a bound token is refused."""
    try:
        await house.server.authenticate(token, house.clock.now, Sent(proof, (method,), url))
    except (BearerError, InvalidProofError, UseNonceError) as error:
        return type(error).__name__
    return ""


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "PS256", "RS256"])
async def test_a_token_asked_for_with_a_proof_is_good_with_that_key_only(
    house: House, algorithm: str
) -> None:
    prover, other = Prover.of(house, algorithm), Prover(house)
    body = await bound(house, prover)
    token = body["access_token"]
    assert body["token_type"] == "DPoP"
    assert await use(house, token, prover.proof("GET", URL, token)) == ""
    assert await use(house, token, other.proof("GET", URL, token)) == "UnprovedTokenError"
    assert await house.refused(token) == "UnprovedTokenError"


async def test_a_token_without_a_proof_stays_a_bearer_token(house: House) -> None:
    body = (await house.redeem(await house.code())).body
    assert body["token_type"] == "Bearer"
    prover = Prover(house)
    proof = prover.proof("GET", URL, body["access_token"])
    assert await use(house, body["access_token"], proof) == "UnprovedTokenError"


async def test_a_backend_service_can_bind_its_tokens_too(house: House) -> None:
    prover = Prover(house)
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": house.assertion("backend-ES384"),
    }
    body = (await house.post_token(prover.headers(), **form)).body
    assert body["token_type"] == "DPoP"
    token = body["access_token"]
    assert await use(house, token, prover.proof("GET", URL, token)) == ""


WRONG: list[dict[str, Any]] = [
    {"htm": "GET"},
    {"htm": "post"},
    {"htm": ...},
    {"htm": 5},
    {"htu": ...},
    {"htu": 5},
    {"htu": "https://evil.example/auth/token"},
    {"htu": TOKEN_URL.replace("https", "http")},
    {"htu": TOKEN_URL + "s"},
    {"htu": TOKEN_URL.replace("://", "://user@")},
    {"htu": TOKEN_URL.replace(".org", ".org:8443")},
    {"htu": "https://[::1"},
    {"htu": ""},
    {"iat": ...},
    {"iat": "now"},
    {"iat": True},
    {"iat": 0},
    {"iat": 1e300},
    {"jti": ...},
    {"jti": ""},
    {"jti": 7},
    {"jti": "j" * 256},
    {"header": {"typ": "JWT"}},
    {"header": {"typ": ...}},
    {"header": {"jwk": ...}},
    {"header": {"jwk": {}}},
    {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
    {"header": {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}},
]


@pytest.mark.parametrize("changed", WRONG)
async def test_item_36_a_wrong_proof_gets_no_token_and_spends_no_code(
    house: House, changed: dict[str, Any]
) -> None:
    code = await house.code()
    answer = await redeem(house, Prover(house).headers(**changed), code)
    assert answer.error == (400, "invalid_dpop_proof")
    assert (await house.redeem(code)).status == 200


@pytest.mark.parametrize("seconds", [-61, -3600, 11, 3600])
async def test_a_proof_of_another_minute_is_refused(house: House, seconds: int) -> None:
    at = int(house.clock.now.timestamp()) + seconds
    answer = await redeem(house, Prover(house).headers(iat=at))
    assert answer.error == (400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "proof", ["x", "..", "a.b.c", "e30.e30.", "ü.ü.ü", "A" * 20_000, "[.[.[", "null.null.null"]
)
async def test_what_is_no_proof_is_refused(house: House, proof: str) -> None:
    answer = await redeem(house, {"dpop": proof})
    assert answer.error == (400, "invalid_dpop_proof")


async def test_two_proofs_in_one_request_are_refused(house: House) -> None:
    prover = Prover(house)
    answer = await redeem(house, {"dpop": f"{prover.proof()}, {prover.proof()}"})
    assert answer.error == (400, "invalid_dpop_proof")


def test_an_rsa_key_that_takes_long_to_check_is_not_looked_at(house: House) -> None:
    number = {"kty": "RSA", "e": "AQAB"}
    slow = base64url(b"\xff" * 1024)
    strange = [{**number, "n": base64url(b"\xff" * 2049)}, {"kty": "RSA", "n": slow, "e": slow}]
    for member in strange:
        head = base64url(json.dumps({"typ": "dpop+jwt", "alg": "PS256", "jwk": member}).encode())
        with pytest.raises(InvalidProofError):
            verify_proof(f"{head}.e30.AAAA")


async def test_keys_that_prove_nothing_are_refused(house: House) -> None:
    prover = Prover(house)
    private = prover.key.as_dict(private=True)
    public = prover.key.as_dict(private=False)
    secret = with_mac("HS256", {"typ": "dpop+jwt", "jwk": public}, {}, b"secret")
    other = Prover(house).key.as_dict(private=False)
    unsigned = prover.proof().rpartition(".")[0] + "."
    strange = [Prover.of(house, algorithm).proof() for algorithm in ("RS384", "ES512")]
    proofs = [
        prover.proof(header={"jwk": private}),
        prover.proof(header={"jwk": other}),
        prover.proof(header={"alg": "ES256", "crit": ["b64"], "b64": True}),
        secret,
        unsigned,
        with_mac("ES256", {"typ": "dpop+jwt", "jwk": "key"}, {}, b""),
        *strange,
    ]
    for proof in proofs:
        assert (await redeem(house, {"dpop": proof})).error == (400, "invalid_dpop_proof")


async def test_a_proof_is_taken_once_also_by_requests_at_the_same_moment(house: House) -> None:
    prover = Prover(house)
    token = (await bound(house, prover))["access_token"]
    proof = prover.proof("GET", URL, token)
    uses = await asyncio.gather(*(use(house, token, proof) for _ in range(16)))
    assert sorted(uses) == [""] + ["InvalidProofError"] * 15
    assert await use(house, token, proof) == "InvalidProofError"
    house.clock.pass_(seconds=59)
    assert await use(house, token, proof) == "InvalidProofError"
    house.clock.pass_(seconds=5)
    assert await use(house, token, proof) == "InvalidProofError"


async def test_a_proof_for_one_token_or_request_is_none_for_another(house: House) -> None:
    prover = Prover(house)
    token = (await bound(house, prover))["access_token"]
    other = (await bound(house, prover))["access_token"]
    for proof in (
        prover.proof("GET", URL),
        prover.proof("GET", URL, other),
        prover.proof("GET", f"{FHIR}/Patient/2", token),
        prover.proof("GET", FHIR, token),
        prover.proof("GET", f"{FHIR}/Patient/1/_history", token),
        prover.proof("PUT", URL, token),
        prover.proof(token=token),
        "",
    ):
        assert await use(house, token, proof) == "InvalidProofError"


@pytest.mark.parametrize(
    "spelling",
    [
        URL,
        URL + "?_format=json",
        URL + "#x",
        URL.replace("auth.example.org", "AUTH.Example.org"),
        URL.replace("auth.example.org", "auth.example.org:443"),
        URL.replace("https", "HTTPS"),
        URL.replace("Patient", "%50atient"),
    ],
)
async def test_the_url_is_compared_as_it_is_meant(house: House, spelling: str) -> None:
    prover = Prover(house)
    token = (await bound(house, prover))["access_token"]
    assert await use(house, token, prover.proof("GET", spelling, token)) == ""


async def test_a_key_that_was_proved_for_the_whole_counts_for_its_parts(house: House) -> None:
    prover, now = Prover(house), house.clock.now
    token = (await bound(house, prover))["access_token"]
    caller = await house.server.authenticate(token, now, ProvedBefore(prover.thumbprint))
    assert caller.key == prover.thumbprint
    for thumbprint in ("", Prover(house).thumbprint):
        with pytest.raises(UnprovedTokenError):
            await house.server.authenticate(token, now, ProvedBefore(thumbprint))


async def test_a_public_clients_refresh_token_is_good_with_its_key_only(house: House) -> None:
    prover = Prover(house)
    first = await bound(house, prover)
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    for headers in ({}, Prover(house).headers()):
        assert (await house.post_token(headers, **form)).error == (400, "invalid_grant")
    second = await house.post_token(prover.headers(), **form)
    assert (second.status, second.body["token_type"]) == (200, "DPoP")
    form["refresh_token"] = second.body["refresh_token"]
    assert (await house.post_token({}, **form)).error == (400, "invalid_grant")
    assert (await house.post_token(prover.headers(), **form)).status == 200


async def test_a_confidential_client_may_change_its_key(house: House) -> None:
    code = await house.code(client_id="web")
    more = {"client_id": "web", "client_secret": SECRET}
    first = (await redeem(house, Prover(house).headers(), code, **more)).body
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    answer = await house.post_token(Prover(house).headers() | basic(), **form)
    assert (answer.status, answer.body["token_type"]) == (200, "DPoP")


async def test_a_code_asked_for_with_a_key_is_redeemed_with_that_key_only(house: House) -> None:
    prover = Prover(house)
    for headers in ({}, Prover(house).headers()):
        code = await house.code(dpop_jkt=prover.thumbprint)
        assert (await redeem(house, headers, code)).error == (400, "invalid_grant")
    code = await house.code(dpop_jkt=prover.thumbprint)
    assert (await redeem(house, prover.headers(), code)).status == 200


async def test_a_wrong_dpop_jkt_goes_back_to_the_app(house: House) -> None:
    browser = await house.browser().get(asking(dpop_jkt="short"))
    assert browser.error == "invalid_request"


async def test_introspection_tells_the_key(house: House) -> None:
    prover = Prover(house)
    more = {"client_id": "web", "client_secret": SECRET}
    body = (await redeem(house, prover.headers(), await house.code(client_id="web"), **more)).body
    told = (await house.post("introspect", basic(), token=body["access_token"])).body
    assert told["token_type"] == "DPoP"
    assert told["cnf"] == {"jkt": prover.thumbprint}


async def test_a_nonce_that_is_given_must_be_one_of_ours_and_not_old(house: House) -> None:
    prover = Prover(house)
    answer = await redeem(house, prover.headers())
    nonce = answer.headers["DPoP-Nonce"]
    assert (await redeem(house, prover.headers(nonce=nonce))).status == 200
    house.clock.pass_(minutes=4)
    assert (await redeem(house, prover.headers(nonce=nonce))).status == 200
    house.clock.pass_(minutes=1)
    for wrong in (nonce, "", "x", 5, None, "\ud800", nonce + "="):
        answer = await redeem(house, prover.headers(nonce=wrong))
        if wrong is None:
            continue
        assert answer.error == (400, "use_dpop_nonce")
        assert answer.headers["DPoP-Nonce"] != nonce
    fresh = answer.headers["DPoP-Nonce"]
    assert (await redeem(house, prover.headers(nonce=fresh))).status == 200


async def test_where_tokens_must_be_bound_none_is_given_without_a_proof(
    house: House, client_keys: Any
) -> None:
    bound_ = {
        "client_id": "bound",
        "name": "Bound",
        "kind": "confidential-asymmetric",
        "jwks": public_jwks(client_keys["ES384"]),
        "grant_types": ["client_credentials"],
        "scope": "system/Patient.rs",
        "bound": True,
    }
    house.server._clients.renew([read_client(bound_)], ())

    def form() -> dict[str, str]:
        return {
            "grant_type": "client_credentials",
            "scope": "system/Patient.rs",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": house.assertion("bound"),
        }

    assert (await house.post_token({}, **form())).error == (400, "invalid_dpop_proof")
    assert (await house.post_token(Prover(house).headers(), **form())).status == 200


def test_the_metadata_name_the_algorithms_of_proofs(house: House) -> None:
    document: Any = house.server.smart_configuration()
    assert document["dpop_signing_alg_values_supported"] == ["ES256", "ES384", "PS256", "RS256"]
