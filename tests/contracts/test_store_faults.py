"""What every ``Store`` promises when something breaks: killed, full, shared, held, newer, no database at all."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240, PT012  (child processes, small files and whole units are the point here)

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhir_server.errors import SettingsError, StoreFullError
from fhir_server.store.protocol import (
    SealedEvent,
    Selection,
    Store,
)
from fhir_server.store.sqlite.store import SqliteStore

from .stores import ADAPTERS, DATABASES, FILE, database, found, store, token, version, write

__all__ = ["database", "store"]


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_what_was_closed_is_there_when_opened_again(folder: Path, adapter: str) -> None:
    store = (await DATABASES[adapter](folder)).store
    await write(store, "a", "t")
    async with store.writing() as unit:
        rid = await unit.put(version("e", type_="AuditEvent"), [token("t")], [])
        await unit.append_audit(rid, b"c" * 32, b"o")
    await store.close()
    store = (await DATABASES[adapter](folder)).store
    assert await found(store, ("t",)) == [b"a"]
    async with store.reading(complete=True) as snapshot:
        assert len(await snapshot.select(Selection("AuditEvent", ((token("t"),),)))) == 1
    await store.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.contracts.stores import DATABASES, version, token
from fhir_server.store.protocol import SealedVersion

async def main(folder, adapter):
    store = (await DATABASES[adapter](Path(folder))).store
    async def one(n):
        async with store.writing() as unit:
            first = await unit.put(version(f"a{n}"), [token(f"a{n}"), token("all")], [])
            second = await unit.put(version(f"b{n}"), [token(f"b{n}"), token("all")], [])
            await unit.append_audit(first, b"c" * 32, b"o")
        print(n, flush=True)
    n = 0
    while True:
        await asyncio.gather(*(one(n + i) for i in range(16)))
        n += 16

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("after", [40, 333, 800])
async def test_a_killed_writer_leaves_every_acknowledged_unit_and_no_half_one(
    tmp_path: Path, adapter: str, after: int
) -> None:
    root = Path(__file__).resolve().parents[2]
    await (await DATABASES[adapter](tmp_path)).close()  # the server of the tests is up then
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), adapter],
        stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        acknowledged = {int(child.stdout.readline()) for _ in range(after)}
        os.kill(child.pid, signal.SIGKILL)
        acknowledged |= {int(line) for line in child.stdout.read().splitlines() if line}
    store = (await DATABASES[adapter](tmp_path)).store
    names = set(await found(store, ("all",), limit=100_000))
    async with store.reading() as snapshot:
        rows = await snapshot.audit(start=0, stop=100_000)
    first = {int(n[1:]) for n in names if n.startswith(b"a")}
    second = {int(n[1:]) for n in names if n.startswith(b"b")}
    assert acknowledged <= first
    assert first == second
    assert [r.n for r in rows] == list(range(len(first)))
    await store.close()


async def test_a_full_disk_is_named_keeps_nothing_half_and_passes(folder: Path) -> None:
    store = SqliteStore(folder / FILE)
    await write(store, "before", "t")
    limit_pages(store, more=4)
    with pytest.raises(StoreFullError):
        async with store.writing() as unit:
            for number in range(50):
                await unit.put(version(f"n{number}", sealed=b"x" * 8000), [token("t")], [])
    results = await asyncio.gather(
        *(
            write(store, f"m{n}", "t", *(os.urandom(6).hex() for _ in range(300)))
            for n in range(20)
        ),
        return_exceptions=True,
    )
    assert any(isinstance(r, StoreFullError) for r in results)
    assert all(isinstance(r, int | StoreFullError) for r in results)
    kept = {b"before", *(f"m{n}".encode() for n, r in enumerate(results) if isinstance(r, int))}
    assert set(await found(store, ("t",))) == kept
    limit_pages(store, more=1_000_000)
    await write(store, "after", "t")
    assert set(await found(store, ("t",))) == {*kept, b"after"}
    async with store.reading() as snapshot:
        rows = await snapshot.audit(start=0, stop=99)
    assert [r.n for r in rows] == list(range(len(kept) + 1))
    await store.close()


async def test_what_a_full_disk_keeps_out_of_the_log_was_not_recorded(folder: Path) -> None:
    """No audit, no answer: whoever waits for the record is told."""
    store = SqliteStore(folder / FILE)

    async def record(name: str) -> object:
        made = version(name, type_="AuditEvent", sealed=b"x" * 8000)
        return await store.record([SealedEvent(made, [token("t")], b"c" * 32, b"o")], 0)

    assert await record("before") == [0]
    limit_pages(store, more=4)
    results = await asyncio.gather(*(record(f"n{n}") for n in range(20)), return_exceptions=True)
    assert all(isinstance(result, StoreFullError) for result in results)
    limit_pages(store, more=1_000_000)
    assert await record("after") == [1]
    async with store.reading(complete=True) as snapshot:
        assert len(await snapshot.audit(start=0, stop=99)) == 2
        assert len(await snapshot.select(Selection("AuditEvent", ((token("t"),),)))) == 2
    await store.close()


def limit_pages(store: SqliteStore, more: int) -> None:
    [(pages,)] = store.connection.execute("PRAGMA page_count").fetchall()
    store.connection.execute(f"PRAGMA max_page_count = {pages + more}")


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or os.geteuid() != 0 or shutil.which("mount") is None,
    reason="a small disk can be made by root only",
)
async def test_a_really_full_disk_is_named_and_passes(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        store = SqliteStore(tmp_path / FILE)
        await write(store, "before", "t")
        (tmp_path / "ballast").write_bytes(b"b" * 600_000)
        kept = [b"before"]
        with pytest.raises(StoreFullError):
            for number in range(400):
                async with store.writing() as unit:
                    await unit.put(version(f"n{number}", sealed=b"x" * 8000), [token("t")], [])
                kept.append(f"n{number}".encode())
        assert sorted(await found(store, ("t",), limit=999)) == sorted(kept)
        (tmp_path / "ballast").unlink()
        await write(store, "after", "t")
        assert b"after" in await found(store, ("t",), limit=999)
        await store.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


async def test_two_stores_on_one_file_wait_for_each_other(folder: Path) -> None:
    one, two = SqliteStore(folder / FILE), SqliteStore(folder / FILE)
    await write(one, "a", "t")
    await write(two, "b", "t")
    assert await found(one, ("t",)) == await found(two, ("t",)) == [b"a", b"b"]
    async with two.reading() as snapshot:
        assert [r.n for r in await snapshot.audit(start=0, stop=9)] == [0, 1]
    await one.close()
    await two.close()


async def test_a_store_whose_file_is_held_by_another_process_goes_on_afterwards(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that lasts longer than the patience fails the request; it does not stop the store for good."""
    store = SqliteStore(folder / FILE)
    async with store.writing() as unit:
        rid = await unit.put(version("e", type_="AuditEvent"), [token("t")], [])
        await unit.append_audit(rid, b"c" * 32, b"o")
    store.connection.execute("PRAGMA busy_timeout = 10")
    holder = sqlite3.connect(folder / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    await asyncio.sleep(0.6)  # an idle store catches up with its index meanwhile, and cannot
    holder.execute("ROLLBACK")
    holder.close()
    await asyncio.wait_for(write(store, "a", "t"), 5)
    await store.close()


@pytest.mark.parametrize("schema", [99, -1])
def test_a_database_of_another_program_is_refused_in_one_sentence(
    folder: Path, schema: int
) -> None:
    connection = sqlite3.connect(folder / FILE)
    connection.execute(f"PRAGMA user_version = {schema}")
    connection.close()
    with pytest.raises(SettingsError, match="schema version"):
        SqliteStore(folder / FILE)


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look like one" * 99, b"{}"]
)
def test_a_file_that_is_no_database_is_refused_in_one_sentence(
    folder: Path, content: bytes
) -> None:
    (folder / FILE).write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be opened"):
        SqliteStore(folder / FILE)


def test_a_path_that_cannot_be_opened_is_refused_in_one_sentence(folder: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be opened"):
        SqliteStore(folder / "nowhere" / FILE)


async def test_the_file_is_closed_to_others(folder: Path) -> None:
    store = SqliteStore(folder / FILE)
    await write(store, "a")
    for file in filter(Path.is_file, folder.rglob("*")):
        assert file.stat().st_mode & 0o077 == 0, file.name
    await store.close()


async def test_many_units_share_a_commit(store: Store) -> None:
    started = time.perf_counter()
    await asyncio.gather(*(write(store, f"n{n}", "t") for n in range(500)))
    assert time.perf_counter() - started < 10
    assert json.dumps(len(await found(store, ("t",), limit=1000))) == "500"
