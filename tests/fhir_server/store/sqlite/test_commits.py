"""Where a commit is made: in the event loop while that is quick, else in a thread, and nobody waits."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fhir_server.errors import StoreFullError
from fhir_server.store.protocol import SealedEvent, SealedVersion
from fhir_server.store.sqlite import store as sqlite_store
from fhir_server.store.sqlite import turns
from fhir_server.store.sqlite.connecting import WriteTransaction
from fhir_server.store.sqlite.rows import RowQueue
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.store.sqlite.turns import WriteTurn, lock_folder
from tests.fhir_server.store.sqlite.queueing import somebody_queues


@dataclass
class Disk:
    """Notes where it was waited for: ``delay`` seconds each time, by a clock of its own."""

    delay: float = 0.0
    now: float = 0.0
    in_loop: list[bool] = field(default_factory=list)


@dataclass
class Naps:
    """Counts the naps of whoever waits for a turn in the loop, by a clock of its own; something may happen in the third."""

    now: float = 0.0
    count: int = 0
    on_third: Callable[[], None] = lambda: None

    def nap(self, seconds: float) -> None:
        self.now += seconds
        self.count += 1
        if self.count == 3:
            self.on_third()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made, commit = Disk(), WriteTransaction.commit

    def waiting(transaction: WriteTransaction) -> None:
        made.in_loop.append(threading.current_thread() is threading.main_thread())
        made.now += made.delay
        commit(transaction)

    monkeypatch.setattr(WriteTransaction, "commit", waiting)
    monkeypatch.setattr(sqlite_store, "perf_counter", lambda: made.now)
    return made


@pytest.fixture
async def store(disk: Disk, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    yield made
    await made.close()


def event(name: str) -> SealedEvent:
    row = name.encode().ljust(16, b".")
    version = SealedVersion(0, row, "AuditEvent", 1, 1, False, b"", b"", b"", b"sealed")
    return SealedEvent(version, [], b"c" * 32, b"opening")


async def record(store: SqliteStore, *names: str) -> list[int]:
    answers = await asyncio.gather(*(store.record([event(name)], 0) for name in names))
    return [number for answer in answers for number in answer or ()]


async def test_a_few_answers_on_a_quick_disk_are_committed_in_the_event_loop(
    store: SqliteStore, disk: Disk
) -> None:
    assert await record(store, "a", "b") == [0, 1]
    assert await record(store, "c") == [2]
    assert disk.in_loop == [True, True]


async def test_after_a_slow_commit_the_loop_waits_for_no_disk_until_it_is_quick_again(
    store: SqliteStore, disk: Disk
) -> None:
    disk.delay = 0.1
    await record(store, "a")
    await record(store, "b")
    assert disk.in_loop == [True, False]
    disk.delay = 0.0
    for number in range(20):
        await record(store, f"later-{number}")
    assert disk.in_loop[-1]


async def test_many_answers_are_committed_in_a_thread(store: SqliteStore, disk: Disk) -> None:
    assert await record(store, *map(str, range(65))) == list(range(65))
    assert disk.in_loop == [False]


async def test_while_another_process_writes_the_loop_goes_on(
    store: SqliteStore, disk: Disk, tmp_path: Path
) -> None:
    other = WriteTurn(lock_folder(tmp_path / "store.db"))
    await other.take()
    waiting = asyncio.create_task(record(store, "a"))
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert not waiting.done()
    other.give()
    assert await waiting == [0]
    assert disk.in_loop == [False]
    other.close()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> Naps:
    made = Naps()
    monkeypatch.setattr(turns, "sleep", made.nap)
    monkeypatch.setattr(turns, "monotonic", lambda: made.now)
    return made


async def test_the_loop_waits_for_a_turn_that_comes_soon(
    store: SqliteStore, disk: Disk, naps: Naps, tmp_path: Path
) -> None:
    other = WriteTurn(lock_folder(tmp_path / "store.db"))
    await other.take()
    naps.on_third = other.give
    assert await record(store, "a") == [0]
    assert (disk.in_loop, naps.count) == ([True], 3)
    other.close()


async def test_after_a_long_wait_for_the_turn_threads_wait_until_it_comes_soon_again(
    store: SqliteStore, disk: Disk, naps: Naps, tmp_path: Path
) -> None:
    folder = lock_folder(tmp_path / "store.db")
    other = WriteTurn(folder)
    for waited in (0.1, 0.0):
        await other.take()
        tried = naps.count
        waiting = asyncio.create_task(record(store, f"behind-{waited}"))
        await somebody_queues(folder)
        assert (naps.count > tried) == (waited > 0)
        disk.now += waited
        other.give()
        await waiting
    assert disk.in_loop == [False, False]
    await other.take()
    naps.count, naps.on_third = 0, other.give
    await record(store, "a")
    assert disk.in_loop[-1]
    other.close()


async def test_a_commit_that_fails_in_the_loop_gives_the_turn_on(
    store: SqliteStore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    for part in ("begin_batch", "write"):
        with monkeypatch.context() as patch:
            patch.setattr(RowQueue, part, broken)
            with pytest.raises(StoreFullError):
                await record(store, f"lost-{part}")
    async with asyncio.timeout(5):
        assert await record(store, "a") == [0]
    assert disk.in_loop == [True]
