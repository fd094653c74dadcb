"""Checking a password: as much is done for a name that nobody has as for any other."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest

from smart_auth.errors import TemporarilyUnavailableError
from smart_auth.people import entrance
from smart_auth.people.entrance import Entrance
from smart_auth.people.passwords import verify_password
from smart_auth.people.throttle import FREE_ATTEMPTS, PASSWORDS, Throttle
from smart_auth.people.users import UserRegistry
from tests.smart_auth.browsing import PASSWORD
from tests.smart_auth.conftest import user_mappings
from tests.smart_auth.stand_ins import Clock, MemoryStore


@pytest.fixture
def door(clock: Clock) -> Entrance:
    """Anna and Dr. Doe may come in; anna is disabled in the tests that say so."""
    users = UserRegistry.from_mappings(user_mappings())
    return Entrance.of(users, Throttle(MemoryStore(clock), PASSWORDS, secrets.token_bytes))


async def test_who_knows_the_password_comes_in(door: Entrance, clock: Clock) -> None:
    person = await door.admit("anna", PASSWORD, clock.now)
    assert person is not None
    assert person.username == "anna"


async def test_one_hash_is_computed_whoever_is_named(
    door: Entrance, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    def counted(password: str, hashed: str) -> None:
        computed.append(hashed)
        verify_password(password, hashed)

    monkeypatch.setattr(entrance, "verify_password", counted)
    door.users.renew({"anna"}, {})
    for name in ("anna", "drdoe", "nobody", "", "a\x00b", "x" * 100_000):
        computed.clear()
        assert await door.admit(name, "wrong", clock.now) is None
        assert len(computed) == 1
        clock.pass_(minutes=10)
    assert await door.admit("anna", PASSWORD, clock.now) is None


async def test_a_name_that_nobody_has_waits_like_any_other(door: Entrance, clock: Clock) -> None:
    waits = []
    for name in ("anna", "nobody"):
        for _ in range(FREE_ATTEMPTS):
            assert await door.admit(name, "wrong", clock.now) is None
        with pytest.raises(TemporarilyUnavailableError) as refused:
            await door.admit(name, "wrong", clock.now)
        waits.append(refused.value.retry_after)
    assert waits[0] == waits[1]


async def test_a_long_password_is_not_hashed_whole(door: Entrance, clock: Clock) -> None:
    assert await door.admit("anna", "x" * 1_000_000, clock.now) is None
    clock.now += timedelta(minutes=10)
    assert await door.admit("anna", PASSWORD + "\x00", clock.now) is None
