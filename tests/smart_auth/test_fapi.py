"""FAPI 2.0 Security Profile as the policy of one client: pushed, signed, bound, and nothing less."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from joserfc import jwt

from smart_auth.clients.registry import read_client
from smart_auth.exchange import HttpRequest
from smart_auth.tokens.jwt import generate_client_key, public_jwks
from tests.smart_auth.conftest import (
    APP_SCOPE,
    ASSERTION_TYPE,
    FHIR,
    ISSUER,
    REDIRECT,
    TOKEN_URL,
    VERIFIER,
    Answer,
    House,
    asking,
)
from tests.smart_auth.proving import Prover, imported

PAR = f"{ISSUER}/par"


class Bank:
    """A client under FAPI 2.0."""

    def __init__(self, house: House, key: dict[str, object], alg: str = "ES256") -> None:
        self.house, self.key, self.alg, self.prover = house, key, alg, Prover(house)
        client = {
            "client_id": "bank",
            "name": "Bank",
            "kind": "confidential-asymmetric",
            "jwks": public_jwks(key),
            "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
            "scope": APP_SCOPE + " system/Patient.rs",
            "purposes": ["TREAT", "PATRQT"],
            "fapi": True,
        }
        house.server._clients.renew([read_client(client)], ())

    def proof(self, audience: object = ISSUER, alg: str = "") -> dict[str, str]:
        claims = {
            "iss": "bank",
            "sub": "bank",
            "aud": audience,
            "exp": int(self.house.clock.now.timestamp()) + 60,
            "jti": secrets.token_urlsafe(12),
        }
        header = {"alg": alg or self.alg, "kid": self.key["kid"]}
        signed = jwt.encode(header, claims, imported(self.key), algorithms=[alg or self.alg])
        return {"client_assertion": signed, "client_assertion_type": ASSERTION_TYPE}

    async def push(self, headers: Any = None, **changed: str) -> Answer:
        form = dict(asking(client_id="bank", **changed)) | self.proof()
        asked = HttpRequest("POST", PAR, "/auth/par", headers or {}, (), tuple(form.items()))
        return Answer(await self.house.server.push(asked))

    async def code(self, headers: Any = None) -> str:
        pushed = await self.push(headers)
        assert pushed.status == 201, pushed.body
        uri = pushed.body["request_uri"]
        browser = self.house.browser()
        await browser.get((("client_id", "bank"), ("request_uri", uri)))
        await browser.sign_in("anna")
        await browser.allow()
        assert browser.answer["iss"] == ISSUER
        return browser.answer["code"]

    async def token(self, headers: dict[str, str], **form: str) -> Answer:
        return await self.house.post_token(headers, **self.proof() | form)

    async def redeem(self, code: str, headers: dict[str, str]) -> Answer:
        more = {"code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        return await self.token(headers, grant_type="authorization_code", **more)

    async def nonce(self) -> str:
        refused = await self.token(self.prover.headers(), grant_type="client_credentials")
        assert refused.error == (400, "use_dpop_nonce")
        return refused.headers["DPoP-Nonce"]

    async def proved(self) -> dict[str, str]:
        return self.prover.headers(nonce=await self.nonce())


@pytest.fixture(scope="module")
def key() -> dict[str, object]:
    return generate_client_key("ES256")


@pytest.fixture
def bank(house: House, key: dict[str, object]) -> Bank:
    return Bank(house, key)


async def test_the_whole_way(bank: Bank, house: House) -> None:
    answer = await bank.redeem(await bank.code(), await bank.proved())
    assert (answer.status, answer.body["token_type"]) == (200, "DPoP")
    assert answer.headers["DPoP-Nonce"]
    assert await house.refused(answer.body["access_token"]) == "UnprovedTokenError"


async def test_without_pushing_there_is_no_page_and_no_redirect(bank: Bank, house: House) -> None:
    browser = await house.browser().get(asking(client_id="bank"))
    assert (browser.status, "Location" in browser.headers) == (400, False)


async def test_without_a_proof_or_nonce_the_code_is_not_spent(bank: Bank) -> None:
    code = await bank.code()
    assert (await bank.redeem(code, {})).error == (400, "invalid_dpop_proof")
    assert (await bank.redeem(code, bank.prover.headers())).error == (400, "use_dpop_nonce")
    assert (await bank.redeem(code, await bank.proved())).status == 200


async def test_a_backend_token_is_bound_too(bank: Bank) -> None:
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs"}
    assert (await bank.token({}, **form)).error == (400, "invalid_dpop_proof")
    answer = await bank.token(await bank.proved(), **form)
    assert answer.body["token_type"] == "DPoP"


@pytest.mark.parametrize("audience", [TOKEN_URL, [ISSUER], [ISSUER, TOKEN_URL], FHIR, None, PAR])
async def test_an_assertion_is_for_the_issuer_alone(bank: Bank, audience: object) -> None:
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs"}
    answer = await bank.house.post_token(await bank.proved(), **bank.proof(audience), **form)
    assert answer.error == (401, "invalid_client")


async def test_rsa_with_pkcs1_is_refused_and_pss_is_not(house: House) -> None:
    bank = Bank(house, generate_client_key("PS256"), "PS256")
    del bank.key["alg"]
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs"}
    for alg in ("RS384", "RS256"):
        proof = bank.proof(alg=alg)
        answer = await house.post_token(bank.prover.headers(), **proof, **form)
        assert answer.error == (401, "invalid_client")
    assert (await bank.token(await bank.proved(), **form)).status == 200
    prover = Prover.of(house, "RS256")
    nonce = await bank.nonce()
    answer = await bank.token(prover.headers(nonce=nonce), **form)
    assert answer.error == (400, "invalid_dpop_proof")


async def test_a_secret_or_a_bare_id_does_not_do(bank: Bank, house: House) -> None:
    for more in ({"client_id": "bank"}, {"client_id": "bank", "client_secret": "x"}):
        answer = await house.post_token(grant_type="client_credentials", **more)
        assert answer.error == (401, "invalid_client")


async def test_a_key_that_pushed_is_the_only_one_to_redeem(bank: Bank, house: House) -> None:
    nonce = await bank.nonce()
    proof = bank.prover.headers(url=PAR, nonce=nonce)
    code = await bank.code(proof)
    other = Prover(house)
    assert (await bank.redeem(code, other.headers(nonce=nonce))).error == (400, "invalid_grant")
    code = await bank.code(bank.prover.headers(url=PAR, nonce=nonce))
    assert (await bank.redeem(code, await bank.proved())).status == 200


async def test_a_pushed_key_must_be_that_of_the_proof(bank: Bank, house: House) -> None:
    proof = bank.prover.headers(url=PAR, nonce=await bank.nonce())
    answer = await bank.push(proof, dpop_jkt=Prover(house).thumbprint)
    assert answer.error == (400, "invalid_dpop_proof")
    answer = await bank.push(bank.prover.headers(url=PAR))
    assert answer.error == (400, "use_dpop_nonce")


async def test_refresh_tokens_are_not_rotated(bank: Bank, house: House) -> None:
    first = (await bank.redeem(await bank.code(), await bank.proved())).body
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    for days in (0, 60, 60):
        house.clock.pass_(days=days)
        answer = await bank.token(await bank.proved(), **form)
        assert (answer.status, answer.body["token_type"]) == (200, "DPoP")
        assert answer.body["refresh_token"] == first["refresh_token"]
    assert (await bank.token({}, **form)).error == (400, "invalid_dpop_proof")
    house.clock.pass_(days=101)
    assert (await bank.token(await bank.proved(), **form)).error == (400, "invalid_grant")
