"""Requests to the authorization server are on record before they are answered, with nothing they held but the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from fhir_server.errors import StoreFullError, StoreLostError
from fhir_server.portal.scope_support import SearchedScopes
from fhir_server.settings import Settings
from fhir_server.vault.vault import Writer
from smart_auth.errors import UnsupportedScopeError
from smart_auth.tokens.jwt import client_assertion, generate_client_key, public_jwks
from tests.fhir_server.clinic import CUSTODIAN
from tests.fhir_server.rest.served import Served, serving

TOKEN = "/auth/token"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LOGINS = "AuditEvent?type=http://dicom.nema.org/resources/ontology/DCM|110114"
pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = generate_client_key("ES384")
CLIENTS = [
    {
        "client_id": "backend",
        "name": "Backend",
        "kind": "confidential-asymmetric",
        "jwks": public_jwks(KEY),
        "grant_types": ["client_credentials"],
        "scope": "system/*.rs",
        "organization": "Organization/insurer",
        "purposes": ["HPAYMT"],
    },
    {
        "client_id": "phone",
        "name": "Phone app",
        "kind": "public",
        "redirect_uris": ["https://app.example.org/back"],
        "scope": "openid offline_access patient/*.rs",
        "purposes": ["PATRQT"],
    },
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _open(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server with a backend service and an app."""
    folder = tmp_path_factory.mktemp("attempts")
    (folder / "clients.json").write_text(json.dumps(CLIENTS))
    settings = Settings(data=folder, clients_file=str(folder / "clients.json"))
    async with serving(settings) as served:
        yield served


@pytest.fixture
def served(_open: Served) -> Served:
    return _open


async def ask(served: Served, **form: str) -> httpx2.Response:
    return await served.client.post(TOKEN, data=form)


async def logins(served: Served, more: str = "") -> list[dict[str, Any]]:
    """What the custodian's system finds of them, the newest first."""
    bearer = {"authorization": f"Bearer {served.token('system/AuditEvent.rs')}"}
    url = f"/fhir/{LOGINS}&_sort=-_lastUpdated&_count=200{more}"
    answer = await served.client.get(url, headers=bearer)
    assert answer.status_code == 200, answer.text
    return [each["resource"] for each in answer.json().get("entry", [])]


def traced(event: dict[str, Any]) -> str:
    return str(event["entity"][-1]["what"]["identifier"]["value"])


def assertion(client_id: str = "backend") -> str:
    at = datetime.now(UTC)
    return client_assertion(KEY, client_id, f"http://localhost:8080{TOKEN}", at, "ES384")


def backend(**changed: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": JWT_BEARER,
        "client_assertion": assertion(),
    } | changed


CODE = {
    "grant_type": "authorization_code",
    "client_id": "phone",
    "code": "c0de-that-nobody-issued",
    "redirect_uri": "https://app.example.org/back",
    "code_verifier": "v" * 43,
}
REFRESH = {"grant_type": "refresh_token", "client_id": "phone", "refresh_token": "t0ken-of-nobody"}


@pytest.mark.parametrize(
    ("form", "status", "error", "client"),
    [
        (CODE | {"client_id": "stranger"}, 401, "invalid_client", "stranger"),
        (CODE, 400, "invalid_grant", "phone"),
        (REFRESH, 400, "invalid_grant", "phone"),
        ({**REFRESH, "client_id": "stranger"}, 401, "invalid_client", "stranger"),
        ({"grant_type": "refresh_token", "refresh_token": "t0ken"}, 400, "invalid_grant", ""),
        ({"grant_type": "password", "client_id": "phone"}, 400, "unsupported_grant_type", "phone"),
        (backend(client_assertion="not.a.token"), 401, "invalid_client", ""),
        (backend(client_assertion=assertion("stranger")), 401, "invalid_client", "stranger"),
        (backend(client_assertion=assertion()[:-8] + "AAAAAAAA"), 401, "invalid_client", "backend"),
        (backend(scope="system/Observation.c"), 400, "invalid_scope", "backend"),
        (backend(scope="system/Patient.sr"), 400, "invalid_scope", "backend"),
        ({}, 400, "unsupported_grant_type", ""),
    ],
)
async def test_a_refusal_is_on_record_and_names_who_claimed_to_ask(
    served: Served, form: dict[str, str], status: int, error: str, client: str
) -> None:
    before = await logins(served)
    answer = await ask(served, **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    newest, *others = await logins(served)
    assert len(others) == len(before)
    assert newest["outcome"] == "4"
    assert newest["outcomeDesc"].startswith(f"{error}: ")
    assert newest["subtype"][0]["code"] == "110122"
    app, server = newest["agent"]
    assert app["who"].get("identifier", {}).get("value", "") == client
    assert app["network"] == {"address": "127.0.0.1", "type": "2"}
    assert (app["requestor"], server["requestor"]) == (True, False)
    assert newest["source"]["observer"]["reference"] == CUSTODIAN


@pytest.mark.parametrize("form", [CODE, REFRESH, backend(scope="system/Patient.rs?name=Meier")])
async def test_nothing_else_that_was_sent_is_on_record(
    served: Served, form: dict[str, str]
) -> None:
    assert (await ask(served, **form)).status_code >= 400 or "Meier" in form["scope"]
    told = json.dumps((await logins(served))[0])
    named = ("grant_type", "client_id")
    assert not [value for name, value in form.items() if name not in named and value in told]
    assert "Meier" not in told


async def test_a_request_is_found_by_its_id_given_or_made(served: Served) -> None:
    for given, taken in (("order-66", True), ("Anna Archer", False), ("x" * 65, False)):
        answer = await served.client.post(TOKEN, data=backend(), headers={"X-Request-Id": given})
        told = answer.headers["X-Request-Id"]
        assert (told == given) is taken
        assert traced((await logins(served))[0]) == told


async def test_a_secret_is_not_on_record(served: Served) -> None:
    sent = httpx2.BasicAuth("phone", "s3cret")
    answer = await served.client.post(TOKEN, data={"grant_type": "refresh_token"}, auth=sent)
    assert answer.status_code == 401
    newest = (await logins(served))[0]
    assert newest["agent"][0]["who"]["identifier"]["value"] == "phone"
    assert "s3cret" not in json.dumps(newest)


async def test_a_token_is_on_record(served: Served) -> None:
    before = await logins(served, "&outcome=0")
    answer = await ask(served, **backend())
    assert answer.status_code == 200
    newest, *others = await logins(served, "&outcome=0")
    assert len(others) == len(before)
    assert newest["agent"][0]["who"] == {"identifier": {"value": "backend"}}
    assert "outcomeDesc" not in newest
    assert answer.json()["access_token"] not in json.dumps(newest)
    assert newest["entity"][0]["detail"] == [
        {"type": "grant-type", "valueString": "client_credentials"}
    ]


@pytest.mark.parametrize("path", ["token", "introspect", "par", "register", "launch", "sign-in"])
async def test_a_body_that_is_not_read_is_on_record(served: Served, path: str) -> None:
    answer = await served.client.post(f"/auth/{path}", content=b"x" * (256 * 1024 + 1))
    assert answer.status_code == 413
    newest = (await logins(served, "&outcome=4"))[0]
    assert traced(newest) == answer.headers["X-Request-Id"]
    assert newest["agent"][1]["network"]["address"] == f"http://localhost:8080/auth/{path}"
    assert newest["agent"][0]["who"] == {"display": "not authenticated"}
    assert newest["outcomeDesc"].startswith("invalid_request: ")


@pytest.mark.parametrize("lost", [StoreLostError, StoreFullError])
async def test_without_a_record_there_is_neither_a_token_nor_a_reason(
    served: Served, monkeypatch: pytest.MonkeyPatch, lost: type[Exception]
) -> None:
    async def record(*_: object) -> None:
        raise lost

    monkeypatch.setattr(Writer, "record", record)
    for form in (backend(), CODE, backend(client_assertion="not.a.token")):
        answer = await ask(served, **form)
        assert answer.status_code == 503
        assert answer.json() == {"error": "temporarily_unavailable"}


@pytest.mark.parametrize(
    "path", ["introspect", "revoke", "par", "register", "launch", "sign-in", "account", "apps"]
)
async def test_what_any_endpoint_refuses_is_on_record(served: Served, path: str) -> None:
    before = await logins(served)
    answer = await served.client.post(f"/auth/{path}", data={"client_id": "stranger"})
    assert 400 <= answer.status_code < 500
    newest, *others = await logins(served)
    assert len(others) == len(before)
    assert newest["outcome"] == "4"
    assert newest["outcomeDesc"]
    assert newest["agent"][-1]["network"]["address"] == f"http://localhost:8080/auth/{path}"
    assert newest["agent"][0]["who"]["display"] == "not authenticated"


UNSUPPORTED = [
    "system/Foo.r",
    "system/Patient.rs?bogus=1",
    "system/Patient.rs?birthdate=garbage",
    "system/Patient.rs?birthdate=1984&bogus=1",
    "system/Patient.rs?general-practitioner.name=x",
    "system/Patient.rs?name:above=x",
    "system/Patient.rs?_sort=name",
    "system/Patient.rs?gender:in=http://example.org/known-to-nobody",
    "system/*.rs?bogus=1",
    "system/*.rs?birthdate=garbage",
]


@pytest.mark.parametrize("scope", UNSUPPORTED)
async def test_no_token_has_a_scope_with_which_every_request_would_fail(
    served: Served, scope: str
) -> None:
    answer = await ask(served, **backend(scope=scope))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    among = await ask(served, **backend(scope=f"{scope} system/Observation.rs"))
    assert (among.status_code, among.json()["scope"]) == (200, "system/Observation.rs")
    with pytest.raises(UnsupportedScopeError):
        served.token(f"system/Observation.rs {scope}")


@pytest.mark.parametrize(
    "scope",
    [
        "system/Patient.rs",
        "system/*.rs",
        "system/Patient.rs?birthdate=ge1984",
        "system/Patient.rs?_lastUpdated=gt2020-01-01&gender=female",
        "system/Observation.rs?category=http://hl7.org|laboratory,vital-signs",
        "system/Patient.rs?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender",
        "system/*.rs?_tag=urn:x|y",
        "system/*.rs?category=laboratory",
    ],
)
async def test_a_scope_that_can_work_is_granted_as_it_was_written(
    served: Served, scope: str
) -> None:
    answer = await ask(served, **backend(scope=scope))
    assert (answer.status_code, answer.json().get("scope")) == (200, scope)


@pytest.mark.parametrize("scope", ["patient/Foo.rs", "patient/Patient.rs?bogus=1"])
async def test_the_authorization_endpoint_sends_an_unsupported_scope_back(
    served: Served, scope: str
) -> None:
    asked = {
        "response_type": "code",
        "client_id": "phone",
        "redirect_uri": "https://app.example.org/back",
        "scope": scope,
        "state": "s",
        "aud": "http://localhost:8080/fhir",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }
    answer = await served.client.get("/auth/authorize", params=asked)
    assert answer.status_code == 303
    assert "error=invalid_scope" in answer.headers["location"]
    assert (await logins(served))[0]["outcomeDesc"].startswith("invalid_scope: ")
    pushed = await served.client.post("/auth/par", data=asked)
    assert (pushed.status_code, pushed.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("scope", UNSUPPORTED)
async def test_a_token_that_has_one_all_the_same_permits_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(SearchedScopes, "require", lambda *_: None)
        bearer = served.token(scope)
    answer = await served.ask("GET", "/Patient/1", authorization=f"Bearer {bearer}")
    assert answer.status_code == 403
    assert "scopes do not cover" in answer.text


async def test_a_parameter_of_ones_own_makes_a_scope_possible(served: Served) -> None:
    scope = "system/Patient.rs?nickname=x"
    refused = await ask(served, **backend(scope=scope))
    assert refused.json()["error"] == "invalid_scope"
    own = {
        "resourceType": "SearchParameter",
        "id": "nickname",
        "url": "http://example.org/SearchParameter/nickname",
        "name": "Nickname",
        "status": "active",
        "description": "A nickname",
        "code": "nickname",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.name.text",
    }
    bearer = f"Bearer {served.token('system/*.cruds')}"
    content = {"content_type": "application/fhir+json", "authorization": bearer}
    put = await served.ask("PUT", "/SearchParameter/nickname", json.dumps(own).encode(), **content)
    assert put.status_code == 201, put.text
    for _ in range(100):
        granted = await ask(served, **backend(scope=scope))
        if granted.status_code == 200:
            break
        await asyncio.sleep(0.1)
    assert granted.json()["scope"] == scope
