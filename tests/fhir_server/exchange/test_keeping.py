"""What keeps registries alike goes on, whatever happens, and says once what that was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from anchoring.errors import ChainUnavailableError, WrongChainError
from anchoring.registry.consents import Status
from fhir_server.errors import KeyProviderUnavailableError, StoreLostError
from fhir_server.exchange import keeping
from fhir_server.exchange.keeping import keep_exchanging

from ..clinic import START, sharing
from ..exchange_world import World, shared, world

__all__ = ["world"]


class Leases:
    """The process has the task as long as ``mine``."""

    mine = True

    async def holds(self, task: str) -> bool:
        return self.mine

    async def leave(self, task: str) -> None:
        pass


class Part:
    """Does what it is told: errors are raised, None is a step that works."""

    def __init__(
        self, steps: Sequence[Exception | None], begins: Sequence[Exception | None]
    ) -> None:
        self.steps, self.begins = list(steps), list(begins)
        self.done: list[str] = []

    async def begin(self) -> None:
        self.done.append("begin")
        error = self.begins.pop(0) if self.begins else None
        if error:
            raise error

    async def step(self, at: int) -> None:
        self.done.append("step")
        if not self.steps:
            raise asyncio.CancelledError
        error = self.steps.pop(0)
        if error:
            raise error


async def kept(
    monkeypatch: pytest.MonkeyPatch,
    steps: Sequence[Exception | None],
    begins: Sequence[Exception | None] = (),
) -> list[str]:
    monkeypatch.setattr(keeping, "_PAUSE", 0.0)
    part = Part(steps, begins)
    with pytest.raises(asyncio.CancelledError):
        await keep_exchanging(part, Leases(), lambda: START)
    return part.done


async def test_whatever_goes_wrong_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [
        *[ChainUnavailableError("down")] * 3,
        WrongChainError("another"),
        StoreLostError(),
        KeyProviderUnavailableError("closed"),
        ValueError("a fault of ours"),
        None,
        ChainUnavailableError("down again"),
    ]
    done = await kept(monkeypatch, errors)
    assert done == ["begin", *["step"] * 10]
    told = [(each.levelno, each.message) for each in caplog.records]
    assert told == [
        (logging.WARNING, "exchange waits"),
        (logging.ERROR, "exchange stands still"),
        (logging.WARNING, "exchange waits"),
        (logging.ERROR, "exchange failed"),
        (logging.ERROR, "exchange failed"),
        (logging.WARNING, "exchange waits"),
    ]


async def test_what_was_not_begun_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    done = await kept(monkeypatch, [None], [StoreLostError(), None])
    assert done == ["begin", "begin", "step", "step"]


async def test_a_damaged_record_holds_up_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    filing = await shared(world)
    await world.clinic.put(sharing("a") | {"policyRule": {"text": "other words"}})
    await world.clinic.put(sharing("a", "Organization/third") | {"id": "second"})
    row = world.clinic.vault.blind.row("Consent", "sharing-a").hex()
    record = f"(SELECT rid FROM record WHERE row = x'{row}')"
    world.clinic.sql(f"UPDATE version SET sealed = zeroblob(300) WHERE rid = {record}")
    assert world.say(filing.holder)  # about the record that is damaged now
    before = await world.exchange.watch.place()
    await world.step(2)
    assert "integrity" in [each.message for each in caplog.records]
    after = await world.exchange.watch.place()
    assert before is not None
    assert after is not None
    assert after.number > before.number
    second = [each for each in await world.filings() if each.consent == "second"]
    assert [world.status(each) for each in second] == [Status.ACTIVE]
