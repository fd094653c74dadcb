"""The anchorer beside the server: what stands in its way makes it wait, not stop."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from anchoring.errors import (
    AnchorRevertedError,
    ChainError,
    ChainUnavailableError,
    HistoryError,
    WrongChainError,
)
from anchoring.publishing.publication import Figures
from fhir_server import evidence
from fhir_server.errors import StoreFullError
from fhir_server.evidence import Condition
from fhir_server.store.shelf import ANCHOR_WANTED
from fhir_server.store.sqlite.store import SqliteStore

from .clinic import START


class Faltering:
    """An anchorer that fails twice."""

    lag = 3
    under_way = False

    def __init__(self) -> None:
        self.runs = 0

    async def follow(self, _: object) -> None:
        """Nothing is new."""

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
    under_way = False

    def __init__(self) -> None:
        self.done: list[str] = []

    async def run_once(self, _: object) -> None:
        self.done.append("run")

    async def resume(self) -> None:
        self.done.append("resume")

    async def follow(self, _: object) -> None:
        self.done.append("follow")


async def test_who_has_not_the_lease_follows_and_resumes_before_it_anchors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_PAUSE", 0.001)
    anchorer, lease = Noting(), Lease(held=False)
    task = asyncio.create_task(
        evidence.keep_anchoring(
            anchorer, lease, SqliteStore(folder / "s"), lambda: START, Condition()
        )
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
        evidence.keep_anchoring(
            anchorer, Lease(), SqliteStore(folder / "s"), lambda: START, Condition()
        )
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
    task = asyncio.create_task(
        evidence.keep_anchoring(anchorer, Lease(), store, lambda: START, Condition())
    )  # type: ignore[arg-type]
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


class Failing:
    """An anchorer whose every run raises this."""

    lag = 4
    waiting_since = START
    figures = Figures()

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.runs = 0
        self.often = asyncio.Event()

    async def follow(self, _: object) -> None:
        """Nothing is new."""

    async def run_once(self, _: object) -> None:
        self.runs += 1
        if self.runs == 4:
            self.often.set()
        raise self.error


@pytest.mark.parametrize("error", [HistoryError, WrongChainError, AnchorRevertedError])
async def test_a_contradiction_between_log_and_chain_ends_anchoring_and_is_told_loudly(
    error: type[Exception], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    anchorer, condition = Failing(error("what differs")), Condition()
    store = SqliteStore(folder / "s")
    await evidence.keep_anchoring(anchorer, Lease(), store, lambda: START, condition)  # type: ignore[arg-type]
    await store.close()
    assert anchorer.runs == 1
    told = [r for r in caplog.records if r.levelname == "ERROR"]
    assert [r.message for r in told] == ["anchoring has stopped: somebody must look"]
    measures = condition.measures(anchorer, START + timedelta(seconds=9))  # type: ignore[arg-type]
    assert (measures.stopped, measures.lag, measures.waited) == (1, 4, 9.0)
    assert measures.failures == {error.__name__: 1}


@pytest.mark.parametrize(
    "error",
    [ChainUnavailableError("down"), ChainError("no coins"), StoreFullError("full"), KeyError()],
)
async def test_what_may_pass_is_tried_again_at_growing_distances(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_PAUSE", 0.0001)
    anchorer, condition, store = Failing(error), Condition(lambda: 0.0), SqliteStore(folder / "s")
    task = asyncio.create_task(
        evidence.keep_anchoring(anchorer, Lease(), store, lambda: START, condition)  # type: ignore[arg-type]
    )
    await asyncio.wait_for(anchorer.often.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
    assert not condition.stopped
    assert condition.failures[type(error).__name__] == anchorer.runs


def test_rests_double_up_to_a_minute_and_chance_makes_them_shorter_by_half_at_most() -> None:
    longest, shortest = Condition(lambda: 0.0), Condition(lambda: 1.0)
    error = ChainUnavailableError("down")
    assert [longest.fail(error) for _ in range(8)] == [2, 4, 8, 16, 32, 60, 60, 60]
    assert [shortest.fail(error) for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    looks = 0
    while not longest.is_due():
        looks += 1
    assert looks == 59
    longest.succeed()
    assert longest.fail(error) == 2


async def test_while_a_transaction_is_waited_for_the_chain_is_not_asked_each_second(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_PAUSE", 0.001)
    anchorer, store = Noting(), SqliteStore(folder / "s")
    anchorer.under_way = True
    task = asyncio.create_task(
        evidence.keep_anchoring(anchorer, Lease(), store, lambda: START, Condition())  # type: ignore[arg-type]
    )
    for _ in range(1000):
        if len(anchorer.done) >= 6:
            break
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
    assert anchorer.done[:6] == ["run", *["follow"] * 4, "run"]
