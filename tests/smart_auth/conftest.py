"""A server with one client of each kind, a store in memory and a clock that is set by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smart_auth.errors import AlreadyThereError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.passwords import HashCost, hash_password
from smart_auth.registry import ClientRegistry, User, UserRegistry
from smart_auth.server import SmartServer
from smart_auth.settings import SmartSettings
from smart_auth.tokens import (
    SigningKeys,
    client_assertion,
    generate_client_key,
    generate_keys,
    load_keys,
    public_jwks,
)

ISSUER = "https://auth.example.org/auth"
FHIR = "https://auth.example.org/fhir"
TOKEN_URL = f"{ISSUER}/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
REDIRECT = "https://app.example.org/callback"
CHEAP = HashCost(memory=8, passes=1, lanes=1)
PASSWORD = "correct horse"
SECRET = "s3cret of the web app"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class MemoryStore:
    """The GrantStore of these tests."""

    clock: Clock
    entries: dict[tuple[str, str], tuple[bytes, datetime]] = field(default_factory=dict)
    asked: int = 0

    async def put(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        self.entries[kind, key] = (value, expires)

    async def add(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        if await self.find(kind, key) is not None:
            raise AlreadyThereError
        await self.put(kind, key, value, expires)

    async def find(self, kind: str, key: str) -> bytes | None:
        self.asked += 1
        value, expires = self.entries.get((kind, key), (None, self.clock.now))
        return value if expires > self.clock.now else None

    async def take(self, kind: str, key: str) -> bytes | None:
        value = await self.find(kind, key)
        self.entries.pop((kind, key), None)
        return value

    async def drop(self, kind: str, key: str) -> None:
        self.entries.pop((kind, key), None)


class Patients:
    """The PatientDirectory of these tests."""

    async def search(self, user: User, text: str) -> list[tuple[str, str]]:
        known = [("Patient/1", "Anna Archer"), ("Patient/2", "Ben <b>Baker</b>")]
        return [each for each in known if text.lower() in each[1].lower()]


@dataclass
class House:
    """The server under test and what its clients hold."""

    server: SmartServer
    store: MemoryStore
    clock: Clock
    keys: SigningKeys
    client_keys: Mapping[str, dict[str, object]]

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


class Answer:
    """A response with its JSON read."""

    def __init__(self, response: HttpResponse) -> None:
        self.status = response.status
        self.headers = dict(response.headers)
        self.body: dict[str, Any] = json.loads(response.body)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.body.get("error", "")


def pairs(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(parameters.items())


@pytest.fixture(scope="session")
def keys() -> SigningKeys:
    return load_keys(generate_keys())


@pytest.fixture(scope="session")
def client_keys() -> dict[str, dict[str, object]]:
    return {alg: generate_client_key(alg) for alg in ("ES384", "RS384")}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def house(clock: Clock, keys: SigningKeys, client_keys: Any) -> House:
    store = MemoryStore(clock)
    server = SmartServer(
        SmartSettings(ISSUER, FHIR, custodian="Organization/custodian"),
        keys,
        ClientRegistry.from_mappings(client_mappings(client_keys)),
        UserRegistry.from_mappings(user_mappings()),
        store,
        clock,
    )
    return House(server, store, clock, keys, client_keys)


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
        {"client_id": "phone", "name": "Phone app", "kind": "public", **app},
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
