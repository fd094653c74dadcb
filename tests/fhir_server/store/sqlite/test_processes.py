"""Several processes on one file: turns, numbers, the index of AuditEvents that waits in each of them, news."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.errors import TooManyError
from fhir_server.store.protocol import SealedVersion, Selection
from fhir_server.store.sqlite import store as sqlite
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.store.sqlite.turns import SqliteNews, WriteTurn
from tests.fhir_server.store.sqlite.queueing import somebody_queues

WHO = b"who-reads..."


def event(name: str) -> SealedVersion:
    row = name.encode().ljust(16, b".")
    return SealedVersion(0, row, "AuditEvent", 1, 1, False, b"", b"", b"", b"sealed")


async def append(store: SqliteStore, name: str) -> int:
    async with store.writing() as unit:
        rid = await unit.put(event(name), [WHO, os.urandom(12)], [])
        return await unit.append_audit(rid, b"c" * 32, b"opening")


async def found(store: SqliteStore) -> int:
    async with store.reading(complete=True) as snapshot:
        return len(await snapshot.select(Selection("AuditEvent", ((WHO,),), limit=10_000)))


_DIES = """
import asyncio, os, signal, sys
from pathlib import Path
from fhir_server.store.protocol import SealedVersion
from fhir_server.store.sqlite.store import SqliteStore

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]))
    for name in sys.argv[2:]:
        async with store.writing() as unit:
            row = name.encode().ljust(16, b".")
            rid = await unit.put(SealedVersion(0, row, "AuditEvent", 1, 1, False, b"", b"", b"", b"s"), [b"t" * 12], [])
            await unit.append_audit(rid, b"c" * 32, b"opening")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def die_after(path: Path, names: list[str]) -> None:
    """Append in a process of its own, which is killed before its index catches up."""
    ended = subprocess.run([sys.executable, "-c", _DIES, str(path), *names], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "db.sqlite"


async def test_what_waits_in_one_process_is_found_by_a_search_in_another(path: Path) -> None:
    one, two = SqliteStore(path), SqliteStore(path)
    for number in range(5):
        await append(one, f"one{number}")
        await append(two, f"two{number}")
        assert await found(two) == 2 * number + 2
    assert await found(one) == 10
    await one.close()
    assert await found(two) == 10
    await two.close()


async def test_it_is_found_while_the_other_goes_on_writing(path: Path) -> None:
    one, two = SqliteStore(path), SqliteStore(path)

    async def busy() -> None:
        for number in range(300):
            await append(one, f"n{number}")

    writing = asyncio.create_task(busy())
    await asyncio.sleep(0.05)
    seen = 0
    while not writing.done():
        before = one.connection.execute("SELECT count(*) FROM audit").fetchone()[0]
        now = await found(two)
        assert now >= max(seen, before - 1)  # the one that is being committed may be behind
        seen = now
        await asyncio.sleep(0)  # nothing above need wait for anything
    await writing
    assert await found(two) == 300
    await one.close()
    await two.close()


async def test_audit_numbers_of_two_processes_are_gapless(path: Path) -> None:
    one, two = SqliteStore(path), SqliteStore(path)
    numbers = await asyncio.gather(
        *(
            append(store, f"{name}{n}")
            for n in range(200)
            for name, store in (("a", one), ("b", two))
        )
    )
    assert sorted(numbers) == list(range(400))
    await one.close()
    await two.close()


async def test_what_a_killed_process_left_is_named_until_it_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.1)
    store = SqliteStore(path)
    await append(store, "before")
    assert await found(store) == 1
    die_after(path, ["x", "y", "z"])
    with pytest.raises(TooManyError, match="being completed"):
        await found(store)
    assert await store.adopt() == 1
    async with store.reading() as snapshot:
        left = await snapshot.audit(start=1, stop=100)
    async with store.writing() as unit:
        for row in left:
            await unit.index("AuditEvent", row.rid, [WHO])
    await store.adopted()
    assert await found(store) == 4
    assert await store.adopt() is None
    await store.close()


async def test_a_process_killed_while_it_makes_them_again_leaves_them_to_the_next(
    path: Path,
) -> None:
    die_after(path, ["x", "y"])
    first = SqliteStore(path)
    assert await first.adopt() == 0
    await append(first, "meanwhile")
    await first.close()  # without ``adopted``
    second = SqliteStore(path)
    assert await second.adopt() == 0
    await second.close()


async def test_a_process_that_ends_well_leaves_nothing(path: Path) -> None:
    store = SqliteStore(path)
    await asyncio.gather(*(append(store, f"n{n}") for n in range(50)))
    await store.close()
    again = SqliteStore(path)
    assert await again.adopt() is None
    assert await found(again) == 50
    await again.close()


async def test_whoever_waits_for_its_turn_and_gives_up_keeps_nobody_from_writing(
    path: Path,
) -> None:
    one, two = SqliteStore(path), SqliteStore(path)
    async with one.writing() as unit:
        await unit.put(event("a"), [], [])
        waiting = asyncio.create_task(append(two, "b"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await asyncio.wait_for(append(one, "c"), 5)
    await asyncio.wait_for(append(two, "d"), 5)
    await one.close()
    await two.close()


async def test_a_turn_that_was_given_up_goes_to_the_next_of_the_same_process(folder: Path) -> None:
    mine, theirs = WriteTurn(folder), WriteTurn(folder)
    await theirs.take()
    first = asyncio.create_task(mine.take())
    await asyncio.sleep(0.01)
    first.cancel()
    second = asyncio.create_task(mine.take())
    await asyncio.sleep(0.01)
    assert not second.done()
    theirs.give()
    await asyncio.wait_for(second, 5)
    third = asyncio.create_task(theirs.take())
    await asyncio.sleep(0.05)
    assert not third.done()
    mine.give()
    await asyncio.wait_for(third, 5)
    theirs.give()
    mine.close()
    theirs.close()


async def test_two_that_always_want_to_write_take_turns(folder: Path) -> None:
    """Nobody writes twice while another one waits: what SQLite's own waiting does not promise."""
    writer, other = WriteTurn(folder), WriteTurn(folder)
    await writer.take()
    for _ in range(50):
        waiting = asyncio.create_task(other.take())
        await somebody_queues(folder)
        writer.give()
        again = asyncio.create_task(writer.take())
        await asyncio.wait_for(waiting, 5)
        assert not again.done()
        other.give()
        await asyncio.wait_for(again, 5)
    writer.give()
    writer.close()
    other.close()


async def test_news_told_by_one_is_counted_by_all(folder: Path) -> None:
    one, two = SqliteNews(folder), SqliteNews(folder)
    before = await two.count()
    await asyncio.gather(*(each.tell() for each in (one, two) * 10))
    assert await one.count() == await two.count() == before + 20
    one.close()
    two.close()
