"""The audit log in tiles: how fast leaves are appended, what a proof of a log of ten million costs, what a start reads.

The commitments lie in the store as a server's would, but nothing of their AuditEvents: these are other figures.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

from pymongo import MongoClient

from anchoring.log.log import Log
from anchoring.log.merkle import leaf_hash, verify_inclusion
from fhir_server.store.database import Database
from fhir_server.store.mongodb.database import open_mongo
from fhir_server.store.mongodb.pages import pages
from fhir_server.store.opening import DATABASE_FILE
from fhir_server.store.protocol import AuditRow
from fhir_server.store.sqlite.database import open_sqlite
from tests import mongo_server

EVENTS = 10_000_000
ON_MONGO = 200_000
_PROOFS = 2000
_AT_ONCE = 50_000


def log(say: Callable[[str], None]) -> str:
    """A table of SQLite and of MongoDB, if there is one."""
    rows = [*_on_sqlite(say)]
    if mongo_server.AVAILABLE:
        rows += _on_mongo(say)
    lines = [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows]
    return "\n".join(["| the log | measured | goal |", "|---|---|---|", *lines, ""])


def _on_sqlite(say: Callable[[str], None]) -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory(prefix="consentry-log-") as folder:
        path = Path(folder) / DATABASE_FILE
        asyncio.run(open_sqlite(path).close())
        say(f"writing {EVENTS:,} commitments ...")
        with closing(sqlite3.connect(path)) as connection:
            for n in range(0, EVENTS, _AT_ONCE):
                connection.executemany(
                    "INSERT INTO audit VALUES (?, ?, ?, x'')", ((*each, b) for *each, b in _rows(n))
                )
                connection.commit()

        async def opened() -> Database:
            return open_sqlite(path)

        return asyncio.run(_measured(opened, EVENTS, "SQLite"))


def _on_mongo(say: Callable[[str], None]) -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory(prefix="consentry-log-") as folder:
        url = mongo_server.url(Path(folder))

        async def opened() -> Database:
            return await open_mongo(url)

        asyncio.run(_closed(opened))
        say(f"writing {ON_MONGO:,} commitments to MongoDB ...")
        with MongoClient(url) as client:  # type: MongoClient[dict[str, object]]
            page = client.get_default_database()["page"]
            for n in range(0, ON_MONGO, _AT_ONCE):
                rows = (AuditRow(i, r, c, b"") for i, r, c in _rows(n))
                page.insert_many(pages(rows))
            numbers = {"$set": {"n": ON_MONGO, "rid": ON_MONGO + 1}}
            client.get_default_database()["turn"].update_one({"_id": "units"}, numbers)
        name = "MongoDB" if mongo_server.GIVEN else "secantusdb"
        return asyncio.run(_measured(opened, ON_MONGO, name))


async def _closed(opened: Callable[[], Awaitable[Database]]) -> None:
    await (await opened()).close()


def _rows(start: int) -> Iterator[tuple[int, int, bytes]]:
    """Number, record and commitment of some audit rows."""
    chance = Random(start)
    for n in range(start, start + _AT_ONCE):
        yield n, n + 1, chance.randbytes(32)


async def _measured(
    opened: Callable[[], Awaitable[Database]], events: int, name: str
) -> list[tuple[str, str, str]]:
    database = await opened()
    log = Log(database.leaves, database.tiles)
    wall, cpu = time.perf_counter(), time.process_time()
    await log.grow()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    root = await log.root(events)
    await database.close()
    database = await opened()
    started = time.perf_counter()
    log = Log(database.leaves, database.tiles)
    await log.look()
    await log.require_past(events, root)
    start = time.perf_counter() - started
    inclusion = await _proofs(log, events, root)
    consistency = await _growths(log, events)
    await database.close()
    of = f"{events / 1e6:g} million events, {name}"
    return [
        (f"append into tiles, {of}", f"{events / wall:,.0f}/s, {events / cpu:,.0f} a second of CPU", "20,000/s"),
        (f"start with {of}: look, and compare with the last anchor", f"{start * 1000:.1f} ms", ""),
        (f"inclusion proof, any leaf of {of}", _told(inclusion), "under 1 ms"),
        (f"consistency proof from any size to {of}", _told(consistency), ""),
    ]  # fmt: skip


async def _proofs(log: Log, events: int, root: bytes) -> list[float]:
    chance, seconds = Random(7), []
    for _ in range(_PROOFS):
        index = chance.randrange(events)
        started = time.perf_counter()
        path = await log.inclusion_path(index, events)
        seconds.append(time.perf_counter() - started)
        (commitment,) = await log._leaves.commitments(index, index + 1)
        verify_inclusion(leaf_hash(commitment), index, events, path, root)
    return seconds


async def _growths(log: Log, events: int) -> list[float]:
    chance, seconds = Random(8), []
    for _ in range(_PROOFS):
        old = chance.randrange(1, events)
        started = time.perf_counter()
        await log.consistency_path(old, events)
        seconds.append(time.perf_counter() - started)
    return seconds


def _told(seconds: list[float]) -> str:
    cut = statistics.quantiles(seconds, n=100)
    return f"p50 {cut[49] * 1000:.2f} ms, p99 {cut[98] * 1000:.2f} ms"
