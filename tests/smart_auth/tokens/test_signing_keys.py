"""Signing keys over time: new ones sign, former ones verify as long as they are needed, or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from smart_auth.clients.registry import ClientRegistry
from smart_auth.errors import BearerError, ChangedError
from smart_auth.people.users import UserRegistry
from smart_auth.server import SmartServer
from smart_auth.settings import SmartSettings
from smart_auth.store import Entry
from smart_auth.tokens.jwt import generate_keys, load_keys
from smart_auth.tokens.signing_keys import NEEDED, renewed
from tests.smart_auth.conftest import FHIR, ISSUER
from tests.smart_auth.stand_ins import Clock, MemoryRegister, MemoryStore


@dataclass
class Kept:
    """The KeyStore of these tests."""

    content: bytes

    async def load(self) -> bytes:
        return self.content

    async def save(self, stored: bytes) -> None:
        self.content = stored


@dataclass
class Two:
    """Two processes on one store."""

    one: SmartServer
    other: SmartServer
    kept: Kept
    clock: Clock
    register: MemoryRegister

    async def take(self, token: str, server: SmartServer) -> str:
        """Who the server says holds the token, or the name of its error."""
        try:
            return (await server.authenticate(token, self.clock.now)).client_id
        except BearerError as error:
            return type(error).__name__


@pytest.fixture
def two(clock: Clock, registered: tuple[ClientRegistry, UserRegistry]) -> Two:
    kept, register, store = Kept(generate_keys()), MemoryRegister(), MemoryStore(clock)
    settings = SmartSettings(ISSUER, FHIR, custodian="Organization/custodian")

    def server() -> SmartServer:
        keys = load_keys(kept.content)
        return SmartServer(settings, keys, *registered, store, register, clock, key_store=kept)

    return Two(server(), server(), kept, clock, register)


def kids(document: dict[str, Any]) -> list[str]:
    return [key["kid"] for key in document["keys"]]


async def test_new_keys_sign_and_the_former_ones_still_verify(two: Two) -> None:
    before = two.one.system_token("system/*.rs", two.clock.now)
    former = kids(two.one.jwks())
    await two.one.signing.renew(two.clock.now)
    after = two.one.system_token("system/*.rs", two.clock.now)
    published = kids(two.one.jwks())
    assert set(former) < set(published)
    assert published[0] not in former
    await two.other.recheck()
    for server in (two.one, two.other):
        assert await two.take(before, server) == "consentry-system"
        assert await two.take(after, server) == "consentry-system"
    assert kids(two.other.jwks()) == published


async def test_another_process_takes_them_up_when_it_is_told(two: Two) -> None:
    await two.one.signing.renew(two.clock.now)
    after = two.one.system_token("system/*.rs", two.clock.now)
    assert await two.take(after, two.other) == "BadSignatureError"
    await two.other.recheck()
    assert await two.take(after, two.other) == "consentry-system"


async def test_forgotten_keys_verify_nothing_not_even_what_was_seen_before(two: Two) -> None:
    before = two.one.system_token("system/*.rs", two.clock.now)
    for server in (two.one, two.other):
        assert await two.take(before, server) == "consentry-system"
    await two.one.signing.renew(two.clock.now, forget=True)
    for server in (two.one, two.other):
        await server.recheck()
        assert await two.take(before, server) == "BadSignatureError"
    assert len(two.one.jwks()["keys"]) == 2  # type: ignore[arg-type]


async def test_keys_that_nothing_needs_are_gone_with_the_next_renewal(two: Two) -> None:
    first = kids(json.loads(two.kept.content))
    await two.one.signing.renew(two.clock.now)
    two.clock.now += NEEDED + timedelta(seconds=1)
    await two.one.signing.renew(two.clock.now)
    second = kids(json.loads(two.kept.content))
    assert not set(first) & set(second)
    assert len(second) == 4
    assert set(json.loads(two.kept.content)["retired"]) == set(second[2:])


async def test_of_two_who_renew_at_once_one_does(two: Two) -> None:
    await two.one.signing.renew(two.clock.now)
    stale = next(iter(two.register.entries.values()))
    find = two.register.find

    async def before(kind: str, key: str) -> Entry | None:
        return Entry(stale.key, "", 0, b"\x01") if kind == "signing" else await find(kind, key)

    two.register.find = before  # type: ignore[method-assign]
    with pytest.raises(ChangedError):
        await two.other.signing.renew(two.clock.now)


async def test_a_server_without_a_store_for_keys_keeps_them(two: Two) -> None:
    two.one.signing.store = None
    with pytest.raises(ChangedError):
        await two.one.signing.renew(two.clock.now)
    before = kids(two.one.jwks())
    await two.one.recheck()
    assert kids(two.one.jwks()) == before


def test_keys_made_before_there_was_a_renewal_are_read() -> None:
    clock, stored = Clock(), generate_keys()
    again = renewed(stored, clock.now, forget=False)
    assert kids(json.loads(again))[2:] == kids(json.loads(stored))
    assert len(load_keys(again).access) == 2
