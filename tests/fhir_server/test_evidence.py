"""The anchorer beside the server: what stands in its way makes it wait, not stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from anchoring.errors import ChainUnavailableError
from fhir_server import evidence
from fhir_server.errors import StoreFullError
from fhir_server.store.shelf import ANCHOR_WANTED
from fhir_server.store.sqlite.store import SqliteStore

from .clinic import START


class Faltering:
    """An anchorer that fails twice."""

    lag = 3

    def __init__(self) -> None:
        self.runs = 0

    async def run_once(self, _: object) -> None:
        self.runs += 1
        if self.runs == 1:
            raise ChainUnavailableError("down")
        if self.runs == 2:
            raise StoreFullError("the disk is full")


class Lease:
    """Held while ``held`` says so; ``asked`` counts."""

    def __init__(self, held: bool = True) -> None:
        self.held = held

    async def holds(self, _: str) -> bool:
        return self.held


class Noting:
    """An anchorer that notes what it is asked to do."""

    lag = 0

    def __init__(self) -> None:
        self.done: list[str] = []

    async def run_once(self, _: object) -> None:
        self.done.append("run")

    async def resume(self) -> None:
        self.done.append("resume")

    async def follow(self) -> None:
        self.done.append("follow")


async def test_who_has_not_the_lease_follows_and_resumes_before_it_anchors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_PAUSE", 0.001)
    anchorer, lease = Noting(), Lease(held=False)
    task = asyncio.create_task(
        evidence.keep_anchoring(anchorer, lease, SqliteStore(folder / "s"), lambda: START)
    )  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    assert set(anchorer.done) == {"follow"}
    lease.held = True
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = anchorer.done[anchorer.done.index("resume") :]
    assert after[0] == "resume"
    assert set(after[1:]) == {"run"}


async def test_neither_a_chain_that_is_down_nor_a_full_disk_stops_anchoring(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_PAUSE", 0.001)
    anchorer = Faltering()
    task = asyncio.create_task(
        evidence.keep_anchoring(anchorer, Lease(), SqliteStore(folder / "s"), lambda: START)
    )  # type: ignore[arg-type]
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert anchorer.runs > 3


async def test_what_another_process_wants_anchored_is_anchored_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_PAUSE", 0.001)
    store = SqliteStore(folder / "s")
    wanted: list[int] = []
    anchorer = Noting()
    anchorer.hurry = wanted.append  # type: ignore[attr-defined]
    task = asyncio.create_task(evidence.keep_anchoring(anchorer, Lease(), store, lambda: START))  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    assert wanted == []
    async with store.writing() as unit:
        await unit.notes.save(ANCHOR_WANTED, (7).to_bytes(8, "big"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
    assert set(wanted) == {7}
