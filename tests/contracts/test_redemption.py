"""What may be used once is used once, over every ``Database`` and by two servers on it at the same moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.store.database import Database
from fhir_server.store.grants import SealedGrants, SealedRegister
from smart_auth.clients.registry import ClientRegistry
from smart_auth.people.users import UserRegistry
from smart_auth.server import SmartServer
from smart_auth.settings import SmartSettings
from smart_auth.tokens.jwt import generate_client_key, generate_keys, load_keys
from tests.smart_auth.conftest import (
    FHIR,
    ISSUER,
    Clock,
    House,
    Patients,
    client_mappings,
    user_mappings,
)
from tests.smart_auth.proving import Prover
from tests.smart_auth.registering import APP, TERMS, register

from .stores import database

__all__ = ["database"]

AT_ONCE = 32


@pytest.fixture
def houses(database: Database) -> list[House]:
    """Two servers on one database."""
    clock, keys = Clock(), load_keys(generate_keys())
    client_keys = {alg: generate_client_key(alg) for alg in ("ES384", "RS384")}
    clients = ClientRegistry.from_mappings(client_mappings(client_keys))
    users = UserRegistry.from_mappings(user_mappings())
    made = []
    for _ in range(2):
        grants: Any = SealedGrants(database.grants, b"g" * 32, clock)
        kept: Any = SealedRegister(database.register, b"r" * 32)
        own = SmartSettings(ISSUER, FHIR, custodian="Organization/custodian")
        server = SmartServer(own, keys, clients, users, grants, kept, clock, Patients())
        made.append(House(server, grants, kept, clock, keys, client_keys))
    return made


async def test_a_code_gives_one_token_at_most_and_that_is_revoked(houses: list[House]) -> None:
    code = await houses[0].code()
    calls = [houses[number % 2].redeem(code) for number in range(AT_ONCE)]
    answers = await asyncio.gather(*calls)
    given = [answer.body for answer in answers if answer.status == 200]
    assert len(given) <= 1
    assert {answer.status for answer in answers} <= {200, 400}
    for house in houses:
        await house.server.recheck()
        for body in given:
            assert await house.refused(body["access_token"]) == "RevokedTokenError"
            assert (await house.refresh(body["refresh_token"])).error == (400, "invalid_grant")


async def test_an_assertion_is_taken_once(houses: list[House]) -> None:
    assertion = houses[0].assertion("backend-ES384")
    calls = [houses[n % 2].backend(client_assertion=assertion) for n in range(AT_ONCE)]
    statuses = sorted(answer.status for answer in await asyncio.gather(*calls))
    assert statuses == [200] + [401] * (AT_ONCE - 1)


async def test_a_proof_is_taken_once(houses: list[House]) -> None:
    headers = Prover(houses[0]).headers()
    form = {"grant_type": "authorization_code", "client_id": "phone", "code": "x"}
    calls = [houses[n % 2].post_token(headers, **form) for n in range(AT_ONCE)]
    errors = sorted(answer.body["error"] for answer in await asyncio.gather(*calls))
    assert errors[: AT_ONCE - 1] == ["invalid_dpop_proof"] * (AT_ONCE - 1)
    assert errors[-1] != "invalid_dpop_proof"


async def test_an_initial_token_registers_as_many_as_it_says(houses: list[House]) -> None:
    now = houses[0].clock.now
    tokens = houses[0].server.initial_tokens
    token = await tokens.make(TERMS, 3, now + timedelta(hours=1), now)
    calls = [register(houses[n % 2], token, APP) for n in range(12)]
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status for answer in answers) == [201] * 3 + [401] * 9
    for house in houses:
        await house.server.recheck()
        for answer in answers:
            if answer.status == 201:
                id_ = answer.body["client_id"]
                assert house.server.registered.registry.find(id_) is not None


async def test_servers_agree_on_nonces(houses: list[House]) -> None:
    now = houses[0].clock.now
    nonces = await asyncio.gather(*(house.server._proofs.nonce(now) for house in houses))
    assert len(set(nonces)) == 1
