"""Back-off for signing in, counted by all processes together."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from smart_auth.errors import AlreadyThereError, TemporarilyUnavailableError
from smart_auth.people.throttle import CODES, FREE_ATTEMPTS, PASSWORDS, Throttle
from tests.smart_auth.stand_ins import Clock, MemoryStore


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


def throttle(store: MemoryStore) -> Throttle:
    return Throttle(store, PASSWORDS, secrets.token_bytes)


async def fail(throttle: Throttle, clock: Clock, times: int) -> None:
    """Fail, waiting as long as is asked."""
    done = 0
    while done < times:
        try:
            await throttle.begin("anna", clock.now)
            done += 1
        except TemporarilyUnavailableError as error:
            clock.pass_(seconds=error.retry_after)


async def test_the_wait_doubles_up_to_a_limit(store: MemoryStore, clock: Clock) -> None:
    counted = throttle(store)
    await fail(counted, clock, FREE_ATTEMPTS)
    waits = []
    for _ in range(12):
        with pytest.raises(TemporarilyUnavailableError) as refused:
            await counted.begin("anna", clock.now)
        waits.append(refused.value.retry_after)
        await fail(counted, clock, 1)
    assert waits == sorted(waits)
    assert waits[0] < waits[3]
    assert waits[-1] <= PASSWORDS.longest.total_seconds() + 1


async def test_one_name_does_not_slow_another(store: MemoryStore, clock: Clock) -> None:
    counted = throttle(store)
    await fail(counted, clock, 6)
    await counted.begin("drdoe", clock.now)


async def test_success_and_time_forget(store: MemoryStore, clock: Clock) -> None:
    counted = throttle(store)
    await fail(counted, clock, 6)
    await counted.succeeded("anna", clock.now)
    await counted.begin("anna", clock.now)
    await fail(counted, clock, 6)
    clock.now += PASSWORDS.longest + PASSWORDS.forgotten_after
    for _ in range(FREE_ATTEMPTS - 1):
        await counted.begin("anna", clock.now)


async def test_who_succeeds_again_and_again_is_never_told_to_wait(
    store: MemoryStore, clock: Clock
) -> None:
    counted = throttle(store)
    for _ in range(20):
        await counted.begin("anna", clock.now)
        await counted.succeeded("anna", clock.now)


async def test_processes_count_together(store: MemoryStore, clock: Clock) -> None:
    processes = [throttle(store) for _ in range(4)]
    for process in processes[:FREE_ATTEMPTS]:
        await process.begin("anna", clock.now)
    with pytest.raises(TemporarilyUnavailableError):
        await processes[3].begin("anna", clock.now)


async def test_guesses_at_the_same_moment_are_all_counted(clock: Clock) -> None:
    slow = _SlowStore(clock)
    tries = [throttle(slow).begin("anna", clock.now) for _ in range(20)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert answers.count(None) == FREE_ATTEMPTS
    refused = [each for each in answers if each is not None]
    assert all(isinstance(each, TemporarilyUnavailableError) for each in refused)


async def test_wrong_codes_are_not_forgotten_by_a_right_password(
    store: MemoryStore, clock: Clock
) -> None:
    codes = replace(throttle(store), pace=CODES)
    await fail(codes, clock, 10)
    await throttle(store).begin("anna", clock.now)
    await throttle(store).succeeded("anna", clock.now)
    with pytest.raises(TemporarilyUnavailableError):
        await codes.begin("anna", clock.now)


async def test_a_year_of_guessing_codes_has_less_than_one_chance_in_a_hundred(
    store: MemoryStore, clock: Clock
) -> None:
    codes, until, guesses = replace(throttle(store), pace=CODES), clock.now + timedelta(365), 0
    while clock.now < until:
        await fail(codes, clock, 1)
        guesses += 1
    assert guesses * 3 / 1_000_000 < 0.01


async def test_no_name_is_kept_in_clear(store: MemoryStore, clock: Clock) -> None:
    await throttle(store).begin("anna", clock.now)
    assert "anna" not in repr(store.entries)


class _SlowStore(MemoryStore):
    """Lets others go first, as a store over a wire does."""

    async def find(self, kind: str, key: str) -> bytes | None:
        found = await super().find(kind, key)
        await asyncio.sleep(0)
        return found

    async def add(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        if (kind, key) in self.entries:
            raise AlreadyThereError
        self.entries[kind, key] = value, expires
