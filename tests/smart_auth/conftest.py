"""A server with one client of each kind, a store in memory and a clock that is set by hand."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from smart_auth.clients.registry import ClientRegistry
from smart_auth.errors import BearerError
from smart_auth.exchange import HttpRequest, HttpResponse, Pairs
from smart_auth.people.passwords import HashCost, hash_password
from smart_auth.people.users import UserRegistry
from smart_auth.server import SmartServer
from smart_auth.settings import SmartSettings
from smart_auth.tokens.jwt import (
    SigningKeys,
    client_assertion,
    generate_client_key,
    generate_keys,
    load_keys,
    public_jwks,
)
from tests.smart_auth.browsing import ISSUER, PASSWORD, REDIRECT, Browser, pairs
from tests.smart_auth.stand_ins import Clock, KeptAttempts, MemoryRegister, MemoryStore, Patients

FHIR = "https://auth.example.org/fhir"
TOKEN_URL = f"{ISSUER}/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CHEAP = HashCost(memory=8, passes=1, lanes=1)
SECRET = "s3cret of the web app"


@dataclass
class House:
    """The server under test and what its clients hold."""

    server: SmartServer
    store: MemoryStore
    register: MemoryRegister
    clock: Clock
    keys: SigningKeys
    client_keys: Mapping[str, dict[str, object]]
    log: KeptAttempts = field(default_factory=KeptAttempts)

    def assertion(self, client_id: str, alg: str = "ES384") -> str:
        key = self.client_keys[alg]
        return client_assertion(key, client_id, TOKEN_URL, self.clock.now, alg)

    async def post_token(self, headers: Mapping[str, str] | None = None, **form: str) -> Answer:
        request = HttpRequest("POST", TOKEN_URL, "/auth/token", headers or {}, (), pairs(form))
        return Answer(await self.server.token(request))

    async def backend(self, alg: str = "ES384", **form: str) -> Answer:
        filled = {
            "grant_type": "client_credentials",
            "scope": "system/Patient.rs",
            "client_assertion_type": ASSERTION_TYPE,
            **form,
        }
        if "client_assertion" not in filled:
            filled["client_assertion"] = self.assertion(f"backend-{alg}", alg)
        return await self.post_token(**filled)

    def browser(self) -> Browser:
        return Browser(self.server)

    async def code(self, username: str = "anna", **changed: str) -> str:
        """Go through all pages and return the code."""
        browser = await self.browser().get(asking(**changed))
        await browser.sign_in(username)
        if 'name="search"' in browser.text:
            await browser.submit("patient", patient="Patient/2")
        await browser.allow()
        return browser.answer["code"]

    async def redeem(self, code: str, **changed: str) -> Answer:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "client_id": "phone",
            "code_verifier": VERIFIER,
        }
        return await self.post_token(**{n: v for n, v in (form | changed).items() if v != "-"})

    async def refresh(self, token: str, **more: str) -> Answer:
        return await self.post_token(
            grant_type="refresh_token", refresh_token=token, **({"client_id": "phone"} | more)
        )

    async def post(self, endpoint: str, headers: Mapping[str, str], **form: str) -> Answer:
        call = {"introspect": self.server.introspect, "revoke": self.server.revoke}[endpoint]
        request = HttpRequest("POST", f"{ISSUER}/{endpoint}", "/x", headers, (), pairs(form))
        return Answer(await call(request))

    async def refused(self, bearer: str) -> str:
        """Return the name of the error with which a bearer token is refused."""
        try:
            await self.server.authenticate(bearer, self.clock.now)
        except BearerError as error:
            return type(error).__name__
        return ""


def basic(client_id: str = "web", secret: str = SECRET) -> dict[str, str]:
    text = f"{quote(client_id)}:{quote(secret)}".encode()
    return {"authorization": "Basic " + base64.b64encode(text).decode()}


class Answer:
    """A response with its JSON read."""

    def __init__(self, response: HttpResponse) -> None:
        self.status = response.status
        self.headers = dict(response.headers)
        self.body: dict[str, Any] = json.loads(response.body)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.body.get("error", "")


def with_mac(alg: str, header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """Forge a JWT with a MAC under ``secret``; by hand, since joserfc refuses public keys."""
    parts = [{"alg": alg, **header}, claims]
    signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    mac = hmac.digest(secret, signed.encode(), f"sha{alg[2:]}")
    return f"{signed}.{base64url(mac)}"


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


# RFC 7636, appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def asking(without: str = "", **changed: str) -> Pairs:
    """A good authorization request, changed here and there."""
    good = {
        "response_type": "code",
        "client_id": "phone",
        "redirect_uri": REDIRECT,
        "scope": "openid fhirUser launch/patient offline_access patient/*.rs",
        "state": "af0ifjsldkj",
        "aud": FHIR,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return tuple((n, v) for n, v in (good | changed).items() if n != without)


@pytest.fixture(scope="session")
def keys() -> SigningKeys:
    return load_keys(generate_keys())


@pytest.fixture(scope="session")
def client_keys() -> dict[str, dict[str, object]]:
    return {alg: generate_client_key(alg) for alg in ("ES384", "RS384")}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def registered(client_keys: Any) -> tuple[ClientRegistry, UserRegistry]:
    """Registries never change, and checking an RSA key takes long: they are read once."""
    clients = ClientRegistry.from_mappings(client_mappings(client_keys))
    return clients, UserRegistry.from_mappings(user_mappings())


@pytest.fixture
def house(clock: Clock, keys: SigningKeys, client_keys: Any, registered: Any) -> House:
    store, register, log = MemoryStore(clock), MemoryRegister(), KeptAttempts()
    settings = SmartSettings(ISSUER, FHIR, custodian="Organization/custodian")
    server = SmartServer(
        settings, keys, *registered, store, register, clock, Patients(), attempts=log
    )
    return House(server, store, register, clock, keys, client_keys, log)


APP_SCOPE = (
    "openid fhirUser profile launch launch/patient launch/encounter offline_access online_access "
    "patient/*.rs user/*.cruds"
)


def client_mappings(client_keys: Mapping[str, dict[str, object]]) -> list[dict[str, object]]:
    backend = {
        "kind": "confidential-asymmetric",
        "grant_types": ["client_credentials"],
        "scope": "system/Patient.rs system/Observation.cruds",
        "organization": "Organization/insurer",
        "purposes": ["HPAYMT", "HOPERAT"],
    }
    app = {"redirect_uris": [REDIRECT], "scope": APP_SCOPE, "purposes": ["TREAT", "PATRQT"]}
    return [
        *(
            {
                "client_id": f"backend-{alg}",
                "name": f"Backend {alg}",
                "jwks": public_jwks(key),
                **backend,
            }
            for alg, key in client_keys.items()
        ),
        {
            "client_id": "phone",
            "name": "Phone app",
            "kind": "public",
            "launch_uri": "https://app.example.org/launch",
            **app,
        },
        {"client_id": "other-phone", "name": "Other app", "kind": "public", **app},
        {
            "client_id": "web",
            "name": "Web app",
            "kind": "confidential-symmetric",
            "secret_hash": hash_password(SECRET, CHEAP),
            **app,
        },
        {
            "client_id": "chart",
            "name": "Chart app",
            "kind": "confidential-asymmetric",
            "jwks": public_jwks(client_keys["ES384"]),
            **app,
        },
    ]


def user_mappings() -> list[dict[str, object]]:
    hashed = hash_password(PASSWORD, CHEAP)
    return [
        {
            "username": "anna",
            "password_hash": hashed,
            "fhir_user": "Patient/1",
            "name": "Anna Archer",
            "patient": "Patient/1",
            "purposes": ["PATRQT"],
        },
        {
            "username": "drdoe",
            "password_hash": hashed,
            "fhir_user": "Practitioner/9",
            "name": "Dora Doe",
            "organizations": ["Organization/clinic"],
            "purposes": ["TREAT"],
        },
    ]
