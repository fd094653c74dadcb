"""A writing process killed in a hundred random places: what it acknowledged is there, and of no unit only a part."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

from fhir_server.store.protocol import Selection
from fhir_server.store.sqlite.store import SqliteStore

KILLS = 100
WHO = b"who-reads..."

# A process that has imported everything forks one writer after another: a start costs a hundredth of that of a program.
_RUNNER = """
import asyncio, os, random, signal, sys, time
from pathlib import Path
from fhir_server.store.protocol import SealedEvent, SealedVersion
from fhir_server.store.sqlite.store import SqliteStore

def version(name, type_):
    return SealedVersion(0, name.encode().ljust(16, b"."), type_, 1, 1, False, b"", b"", b"", b"s" * 300)

async def write(path, prefix, told):
    store = SqliteStore(path)
    await store.adopt()  # as each server does, which is killed before it has made anything again
    async def one(n):
        name = f"{prefix}-{n}"
        if n % 2:  # an answer that writes nothing but its AuditEvent
            tokens = [b"who-reads...", os.urandom(12)]
            await store.record([SealedEvent(version("r" + name, "AuditEvent"), tokens, b"c" * 32, b"o")], 0)
            os.write(told, ("r" + name + "\\n").encode())
            return
        async with store.writing() as unit:
            await unit.put(version("a" + name, "Observation"), [b"all.........", os.urandom(12)], [])
            await unit.put(version("b" + name, "Observation"), [b"all.........", os.urandom(12)], [])
            rid = await unit.put(version("e" + name, "AuditEvent"), [b"who-reads...", os.urandom(12)], [])
            await unit.append_audit(rid, b"c" * 32, b"o")
        os.write(told, (name + "\\n").encode())
    n = 0
    while True:
        await asyncio.gather(*(one(n + i) for i in range(8)))
        n += 8

path, chance = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
for kill in range(int(sys.argv[3])):
    child = os.fork()
    if child == 0:
        asyncio.run(write(path, str(kill), 1))
        os._exit(0)
    time.sleep(chance.uniform(0.005, 0.08))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def killed(path: Path, seed: int) -> set[str]:
    """Names of the units that were acknowledged."""
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER, str(path), str(seed), str(KILLS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(done.stdout.split())


async def test_a_hundred_kills_lose_nothing_and_leave_nothing_in_part(folder: Path) -> None:
    path = folder / "db.sqlite"
    await SqliteStore(path).close()
    seed = random.randrange(2**32)
    told = killed(path, seed)
    assert len(told) > KILLS, seed
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store = SqliteStore(path)
    start = await store.adopt()
    assert start is not None
    async with store.reading() as snapshot:
        rows = await snapshot.audit(start=0, stop=10**9)
        current = await snapshot.select(
            Selection("Observation", ((b"all.........",),), limit=10**9)
        )
    assert [row.n for row in rows] == list(range(len(rows))), seed
    names = [v.row.rstrip(b".").decode() for v in current]
    first = {name[1:] for name in names if name.startswith("a")}
    second = {name[1:] for name in names if name.startswith("b")}
    assert first == second, seed
    assert {name for name in told if name[0] != "r"} <= first, seed
    # what the killed ones had not brought into the index yet is behind the mark
    async with store.writing() as unit:
        for row in rows[start:]:
            await unit.index("AuditEvent", row.rid, [WHO])
    await store.adopted()
    async with store.reading(complete=True) as snapshot:
        found = await snapshot.select(Selection("AuditEvent", ((WHO,),), limit=10**9))
    assert len(found) == len(rows), seed
    recorded = {v.row.rstrip(b".").decode() for v in found if v.row.startswith(b"r")}
    assert {name for name in told if name[0] == "r"} <= recorded, seed
    assert len(rows) == len(first) + len(recorded), seed
    await store.close()
