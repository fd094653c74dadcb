"""Pushed authorization requests (RFC 9126): pushed by a client that proves itself, used once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smart_auth.clients.registry import read_client
from smart_auth.exchange import HttpRequest
from smart_auth.tokens.jwt import public_jwks
from tests.smart_auth.conftest import (
    APP_SCOPE,
    ASSERTION_TYPE,
    ISSUER,
    REDIRECT,
    SECRET,
    Answer,
    House,
    asking,
    basic,
)


async def push(house: House, headers: Any = None, **changed: str) -> Answer:
    form = dict(asking(**changed))
    return await push_form(house, {n: v for n, v in form.items() if v != "-"}, headers)


async def push_form(house: House, form: dict[str, str], headers: Any = None) -> Answer:
    request = HttpRequest(
        "POST", f"{ISSUER}/par", "/auth/par", headers or {}, (), tuple(form.items())
    )
    return Answer(await house.server.push(request))


def pointing(answer: Answer, client_id: str = "phone") -> tuple[tuple[str, str], ...]:
    return (("client_id", client_id), ("request_uri", answer.body["request_uri"]))


async def test_a_pushed_request_is_what_the_person_sees_and_gives_a_code(house: House) -> None:
    pushed = await push(house, client_id="web", client_secret=SECRET, state="kept")
    assert pushed.status == 201
    assert pushed.body["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert 5 <= pushed.body["expires_in"] < 600
    assert pushed.headers["Cache-Control"] == "no-store"
    browser = await house.browser().get(pointing(pushed, "web"))
    await (await browser.sign_in()).allow()
    assert browser.answer["state"] == "kept"
    code = browser.answer["code"]
    assert (await house.redeem(code, client_id="web", client_secret=SECRET)).status == 200


async def test_what_the_browser_brings_beside_the_reference_counts_for_nothing(
    house: House,
) -> None:
    pushed = await push(house, scope="launch/patient patient/Observation.r")
    more = (("scope", "patient/*.cruds"), ("state", "other"), ("redirect_uri", "https://evil"))
    browser = await house.browser().get((*pointing(pushed), *more))
    await browser.sign_in()
    await browser.allow()
    body = (await house.redeem(browser.answer["code"])).body
    assert body["scope"] == "launch/patient patient/Observation.r"
    assert browser.answer["state"] == "af0ifjsldkj"


async def test_a_reference_is_good_once(house: House) -> None:
    pushed = await push(house)
    assert (await house.browser().get(pointing(pushed))).status == 200
    assert (await house.browser().get(pointing(pushed))).status == 400
    pushed = await push(house)
    browsers = await asyncio.gather(*(house.browser().get(pointing(pushed)) for _ in range(8)))
    assert sorted(browser.status for browser in browsers) == [200] + [400] * 7


async def test_a_reference_is_good_for_90_seconds(house: House) -> None:
    pushed = await push(house)
    house.clock.pass_(seconds=91)
    assert (await house.browser().get(pointing(pushed))).status == 400


@pytest.mark.parametrize("client_id", ["other-phone", "web", "", "nobody"])
async def test_a_reference_is_good_for_the_client_that_pushed(house: House, client_id: str) -> None:
    pushed = await push(house)
    browser = await house.browser().get(pointing(pushed, client_id))
    assert (browser.status, "Location" in browser.headers) == (400, False)
    assert (await house.browser().get(pointing(pushed))).status == 200


@pytest.mark.parametrize(
    "uri",
    [
        "urn:ietf:params:oauth:request_uri:",
        "urn:ietf:params:oauth:request_uri:unknown",
        "urn:ietf:params:oauth:request_uri:" + "x" * 8000,
        "urn:ietf:params:oauth:request_uri:\ud800",
        "urn:ietf:params:oauth:request_uri:\x00",
    ],
)
async def test_an_unknown_reference_is_a_page_without_redirect(house: House, uri: str) -> None:
    browser = await house.browser().get(
        (("client_id", "phone"), ("request_uri", uri), ("redirect_uri", REDIRECT))
    )
    assert (browser.status, "Location" in browser.headers) == (400, False)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"redirect_uri": "https://evil.example"}, "invalid_request"),
        ({"redirect_uri": REDIRECT.upper()}, "invalid_request"),
        ({"redirect_uri": "-"}, "invalid_request"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "-"}, "invalid_request"),
        ({"aud": "https://evil.example/fhir"}, "invalid_request"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"state": "x\r\ny"}, "invalid_request"),
        ({"state": "s" * 9000}, "invalid_request"),
    ],
)
async def test_a_wrong_request_is_refused_when_it_is_pushed(
    house: House, changed: dict[str, str], error: str
) -> None:
    assert (await push(house, **changed)).error == (400, error)


async def test_a_request_of_more_than_64_kb_is_413(house: House) -> None:
    many = {f"p{number}": "x" * 8000 for number in range(9)}
    answer = await push(house, **many)
    assert answer.error == (413, "invalid_request")


@pytest.mark.parametrize("client_id", ["web", "chart", "nobody", "-"])
async def test_whoever_pushes_must_prove_to_be_the_client(house: House, client_id: str) -> None:
    assert (await push(house, client_id=client_id)).error == (401, "invalid_client")


async def test_a_backend_service_has_nothing_to_push(house: House) -> None:
    proof = {
        "client_assertion": house.assertion("backend-ES384"),
        "client_assertion_type": ASSERTION_TYPE,
    }
    answer = await push(house, client_id="backend-ES384", **proof)
    assert answer.error == (400, "unauthorized_client")


async def test_no_proof_of_the_client_is_kept(house: House) -> None:
    assertion = house.assertion("chart")
    answer = await push(
        house,
        client_id="chart",
        client_assertion=assertion,
        client_assertion_type=ASSERTION_TYPE,
    )
    assert answer.status == 201
    await push(house, basic(), client_id="web")
    kept = b"".join(value for value, _ in house.store.entries.values())
    assert assertion.encode() not in kept
    assert SECRET.encode() not in kept


async def test_an_assertion_that_pushed_is_spent(house: House) -> None:
    proof = {
        "client_assertion": house.assertion("chart"),
        "client_assertion_type": ASSERTION_TYPE,
    }
    assert (await push(house, client_id="chart", **proof)).status == 201
    assert (await push(house, client_id="chart", **proof)).error == (401, "invalid_client")


async def test_a_client_that_must_push_gets_no_page_and_no_redirect_otherwise(
    house: House, client_keys: Any
) -> None:
    careful = {
        "client_id": "careful",
        "name": "Careful app",
        "kind": "confidential-asymmetric",
        "jwks": public_jwks(client_keys["ES384"]),
        "redirect_uris": [REDIRECT],
        "scope": APP_SCOPE,
        "pushes": True,
    }
    house.server._clients.renew([read_client(careful)], ())
    browser = await house.browser().get(asking(client_id="careful"))
    assert (browser.status, "Location" in browser.headers) == (400, False)
    proof = {
        "client_assertion": house.assertion("careful"),
        "client_assertion_type": ASSERTION_TYPE,
    }
    pushed = await push(house, client_id="careful", **proof)
    assert (await house.browser().get(pointing(pushed, "careful"))).status == 200


def test_the_metadata_name_the_endpoint(house: House) -> None:
    document: Any = house.server.smart_configuration()
    assert document["pushed_authorization_request_endpoint"] == f"{ISSUER}/par"
    assert document["require_pushed_authorization_requests"] is False
