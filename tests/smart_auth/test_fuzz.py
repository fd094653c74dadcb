"""Whatever is sent to any endpoint: no failure of the server, no redirect to where nobody registered, OAuth's own errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart_auth.clients.registry import ClientRegistry
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.people.users import UserRegistry
from smart_auth.server import SmartServer
from smart_auth.settings import SmartSettings
from smart_auth.tokens.jwt import SigningKeys
from tests.smart_auth.conftest import (
    ASSERTION_TYPE,
    CHALLENGE,
    FHIR,
    ISSUER,
    REDIRECT,
    SECRET,
    TOKEN_URL,
    VERIFIER,
    Clock,
    House,
    MemoryRegister,
    MemoryStore,
    Patients,
    asking,
    basic,
)
from tests.smart_auth.proving import Prover

NAMES = [
    *("grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier"),
    *("client_assertion", "client_assertion_type", "refresh_token", "scope", "token", "aud"),
    *("token_type_hint", "response_type", "state", "code_challenge", "code_challenge_method"),
    *("request", "request_uri", "dpop_jkt", "nonce", "launch", "max_age", "prompt", "step"),
    *("csrf", "response_mode", "acr_values", "username", "password", "decision", "patient"),
]
VALUES = [
    *("", "phone", "web", "chart", "backend-ES384", "consentry-system", "nobody", SECRET),
    *(REDIRECT, REDIRECT.upper(), REDIRECT + ".", "https://app.example.org./callback"),
    *("https://app.example.org:443/callback", "https://user@app.example.org/callback"),
    *("https://evil.example/", "javascript:alert(1)", "//evil.example", REDIRECT + "\r\nX: y"),
    *("authorization_code", "refresh_token", "client_credentials", "password", "code", "token"),
    *("S256", "plain", CHALLENGE, VERIFIER, FHIR, ISSUER, ASSERTION_TYPE, "none", "login", "0"),
    *("patient/*.rs", "openid launch/patient patient/*.rs", "system/*.cruds", "patient/*.sr"),
    *("\x00", "\ud800", "ü", "\u202e", "%00", "a.b.c", "e30.e30.", "eyJhbGciOiJub25lIn0.e30."),
    *("urn:ietf:params:oauth:request_uri:x", "x" * 100_000, "[" * 5000, "-1", "9" * 40),
    *("sign-in", "decide", "patient", "sign-out", "allow", "deny"),
]
ERRORS = {
    *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client"),
    *("unsupported_grant_type", "invalid_scope", "invalid_token", "invalid_dpop_proof"),
    *("use_dpop_nonce", "unsupported_response_type", "request_not_supported", "access_denied"),
    *("request_uri_not_supported", "login_required", "consent_required", "temporarily_unavailable"),
    *("invalid_client_metadata", "invalid_redirect_uri", "unapproved_software_statement"),
    *("unmet_authentication_requirements",),
}
ENDPOINTS = ["authorize", "token", "introspect", "revoke", "push", "register", "manage_client"]

names = st.sampled_from(NAMES) | st.text(max_size=8)
values = st.sampled_from(VALUES) | st.text(max_size=40)
pairs = st.lists(st.tuples(names, values), max_size=8).map(tuple)
dictionaries = st.dictionaries(st.text(max_size=10) | st.sampled_from(["keys", "kty"]), values)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)
METADATA = [
    *("redirect_uris", "token_endpoint_auth_method", "grant_types", "response_types", "jwks"),
    *("client_name", "scope", "jwks_uri", "launch_uri", "fapi", "client_id", "client_secret"),
    *("dpop_bound_access_tokens", "software_statement", "contacts"),
]
documents = st.dictionaries(st.sampled_from(METADATA), anything, max_size=8)
bodies = st.binary(max_size=60) | documents.map(lambda made: json.dumps(made).encode())


@pytest.fixture(scope="module")
def make(
    keys: SigningKeys, client_keys: Any, registered: tuple[ClientRegistry, UserRegistry]
) -> Any:
    def made() -> House:
        clock = Clock()
        store, register = MemoryStore(clock), MemoryRegister()
        own = SmartSettings(ISSUER, FHIR, custodian="Organization/custodian")
        server = SmartServer(own, keys, *registered, store, register, clock, Patients())
        return House(server, store, register, clock, keys, client_keys)

    return made


async def send(house: House, endpoint: str, request: HttpRequest) -> HttpResponse:
    if endpoint == "manage_client":
        return await house.server.manage_client(request, "phone")
    answer: HttpResponse = await getattr(house.server, endpoint)(request)
    return answer


def require_proper(endpoint: str, response: HttpResponse) -> None:
    """What must hold of every answer."""
    assert response.status < 500
    headers = dict(response.headers)
    assert all("\r" not in value and "\n" not in value for value in headers.values())
    where = headers.get("Location")
    if where is not None:
        assert where.startswith((f"{REDIRECT}?", f"{ISSUER}/")), where
        assert urlsplit(where).hostname in ("app.example.org", "auth.example.org")
    if headers.get("Content-Type", "").startswith("application/json"):
        told = json.loads(response.body or b"{}")
        assert response.status < 400 or told["error"] in ERRORS
        assert "access_token" not in told
    elif endpoint != "authorize":
        assert response.status in (204, 400, 401)


quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(
    endpoint=st.sampled_from(ENDPOINTS),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    query=pairs,
    form=pairs,
    body=bodies,
    authorization=st.sampled_from(["", "Basic", "Bearer x", "DPoP x", "Basic d2ViOng="]) | values,
    dpop=st.sampled_from(["", "x", "a.b.c", "e30.e30.AA"]) | values,
)
def test_no_request_breaks_an_endpoint(
    make: Any,
    endpoint: str,
    method: str,
    query: Any,
    form: Any,
    body: bytes,
    authorization: str,
    dpop: str,
) -> None:
    sent = {"authorization": authorization, "dpop": dpop}
    headers = {name: value for name, value in sent.items() if value}
    request = HttpRequest(method, ISSUER, "/auth", headers, query, form, {}, body)
    require_proper(endpoint, asyncio.run(send(make(), endpoint, request)))


@quick
@given(more=pairs, left=st.sets(st.sampled_from(NAMES), max_size=2))
def test_no_change_of_a_good_authorization_request_leads_elsewhere(
    make: Any, more: Any, left: set[str]
) -> None:
    house = make()
    good = tuple(pair for pair in asking() if pair[0] not in left)
    for endpoint in ("authorize", "push"):
        form = (*good, *more)
        request = HttpRequest("POST", ISSUER, "/auth", {}, (), form)
        require_proper(endpoint, asyncio.run(send(house, endpoint, request)))


@quick
@given(more=pairs, which=st.sampled_from(["web", "chart", "backend-ES384", "phone"]))
def test_no_change_of_a_good_token_request_breaks_it(make: Any, more: Any, which: str) -> None:
    house = make()
    prover = Prover(house)
    headers = basic() if which == "web" else {}
    form = {"grant_type": "authorization_code", "code": "x", "redirect_uri": REDIRECT}
    if which in ("chart", "backend-ES384"):
        form["client_assertion"] = house.assertion(which)
        form["client_assertion_type"] = ASSERTION_TYPE
    elif which == "phone":
        form["client_id"] = "phone"
    for proof in ({}, prover.headers(url=TOKEN_URL)):
        request = HttpRequest("POST", TOKEN_URL, "/x", headers | proof, (), (*form.items(), *more))
        require_proper("token", asyncio.run(send(house, "token", request)))


@quick
@given(metadata=documents)
def test_no_metadata_break_registration(make: Any, metadata: dict[str, Any]) -> None:
    from tests.smart_auth.registering import APP, initial, register

    async def run() -> None:
        house = make()
        answer = await register(house, await initial(house), {**APP, **metadata})
        assert answer.status in (201, 400), answer.body
        assert answer.status == 201 or answer.body["error"] in ERRORS
        if answer.status == 201:
            uris = answer.body["redirect_uris"]
            assert all(uri.partition(":")[0].lower() not in ("javascript", "data") for uri in uris)

    asyncio.run(run())
