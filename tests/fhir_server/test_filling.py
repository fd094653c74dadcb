"""A database without tiles gets them at the first start: one process writes, the others wait, each tells how far it is."""

from __future__ import annotations

import asyncio
import logging

import pytest

from anchoring.log.log import Log
from fhir_server import evidence
from tests.anchoring.logs import MemoryLeaves, MemoryTiles, commitments

TILES = 70


class Leases:
    """A lease that somebody else may have."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)

    async def holds(self, _: str) -> bool:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def leave(self, _: str) -> None: ...


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_PAUSE", 0.01)


async def test_who_has_the_lease_writes_them_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tiles = MemoryTiles()
    with caplog.at_level(logging.INFO, "consentry"):
        await evidence._fill(Log(MemoryLeaves(commitments(TILES * 256)), tiles), Leases(True))
    assert await tiles.count(0) == TILES
    told = [r for r in caplog.records if r.getMessage() == "writing the log's tiles"]
    assert [(r.__dict__["done"], r.__dict__["of"]) for r in told] == [(TILES, TILES)]


async def test_who_has_it_not_waits_until_they_are_there() -> None:
    leaves, tiles = MemoryLeaves(commitments(TILES * 256)), MemoryTiles()
    waiting = asyncio.create_task(evidence._fill(Log(leaves, tiles), Leases(False)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await Log(leaves, tiles).grow()
    await asyncio.wait_for(waiting, 5)


async def test_who_gets_it_from_one_that_died_goes_on() -> None:
    tiles = MemoryTiles()
    log = Log(MemoryLeaves(commitments(TILES * 256)), tiles)
    await asyncio.wait_for(evidence._fill(log, Leases(False, False, True)), 5)
    assert await tiles.count(0) == TILES


async def test_a_few_are_left_to_the_server_that_runs() -> None:
    log = Log(MemoryLeaves(commitments(64 * 256)), MemoryTiles())
    await asyncio.wait_for(evidence._fill(log, Leases(False)), 5)
