"""What the parts of every ``Database`` promise beside its Store (``fhir_server/store/database.py``)."""

# ruff: noqa: ASYNC220, ASYNC240  (child processes are the point here)

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhir_server.store.database import Database
from fhir_server.store.mongodb import leases as mongo_leases
from smart_auth.errors import AlreadyThereError, ChangedError
from smart_auth.store import Entry

from .stores import ADAPTERS, DATABASES, TYPE, database, version, write

__all__ = ["database"]

KEY, OTHER, OWNER = "a" * 64, "b" * 64, "c" * 64


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_database_is_fresh_until_a_secret_is_kept(folder: Path, adapter: str) -> None:
    one = await DATABASES[adapter](folder)
    assert one.fresh
    await one.secrets.add("name", b"wrapped")
    await one.close()
    again = await DATABASES[adapter](folder)
    assert not again.fresh
    await again.close()


async def test_nothing_is_granted_in_the_beginning(database: Database) -> None:
    assert await database.grants.find("code", KEY, 0) is None
    assert await database.grants.take("code", KEY, 0) is None
    await database.grants.drop("code", KEY)
    assert await database.secrets.find("name") is None


async def test_what_was_granted_is_found_until_it_expires(database: Database) -> None:
    await database.grants.put("code", KEY, b"sealed", 100, 0)
    assert await database.grants.find("code", KEY, 99) == b"sealed"
    assert await database.grants.find("code", KEY, 100) is None
    assert await database.grants.find("refresh", KEY, 99) is None
    assert await database.grants.find("code", OTHER, 99) is None
    await database.grants.put("code", KEY, b"later", 200, 50)
    assert await database.grants.find("code", KEY, 150) == b"later"


async def test_what_was_dropped_or_has_expired_cannot_be_taken(database: Database) -> None:
    await database.grants.put("code", KEY, b"sealed", 100, 0)
    assert await database.grants.take("code", KEY, 100) is None
    await database.grants.put("code", KEY, b"sealed", 100, 0)
    await database.grants.drop("code", KEY)
    assert await database.grants.take("code", KEY, 50) is None


async def test_of_many_takers_one_gets_it(database: Database) -> None:
    await database.grants.put("code", KEY, b"sealed", 100, 0)
    taken = await asyncio.gather(*(database.grants.take("code", KEY, 1) for _ in range(16)))
    assert (taken.count(b"sealed"), taken.count(None)) == (1, 15)


async def test_of_many_adders_one_succeeds_and_again_after_it_expired(database: Database) -> None:
    async def add(now: int) -> bool:
        try:
            await database.grants.add("jti", KEY, b"sealed", now + 100, now)
        except AlreadyThereError:
            return False
        return True

    assert (await asyncio.gather(*(add(0) for _ in range(16)))).count(True) == 1
    assert not await add(99)
    assert await add(100)
    assert not await add(101)


async def test_of_many_that_make_a_secret_the_first_one_s_holds_for_all(database: Database) -> None:
    made = await asyncio.gather(*(database.secrets.add("name", b"%d" % n) for n in range(8)))
    assert len(set(made)) == 1
    assert await database.secrets.find("name") == made[0]
    assert await database.secrets.add("name", b"other") == made[0]


async def test_leaves_are_told_in_their_order_and_fewer_at_the_end(database: Database) -> None:
    for number in range(5):
        await write(database.store, f"n{number}")
    told = await database.leaves.commitments(1, 4)
    assert told == [f"n{number}".encode().ljust(32) for number in (1, 2, 3)]
    assert len(await database.leaves.commitments(3, 100)) == 2
    assert await database.leaves.commitments(5, 100) == []


async def test_the_journal_keeps_one_pending_anchor_until_it_is_made(database: Database) -> None:
    journal = database.anchors
    assert await journal.load_pending() is None
    assert await journal.last_anchor() is None
    assert await journal.anchor_covering(0) is None
    await journal.save_pending(b"first")
    await journal.save_pending(b"second")
    assert await journal.load_pending() == b"second"
    await journal.save_anchor(4, b"four")
    assert await journal.load_pending() is None
    await journal.save_anchor(9, b"nine")
    await journal.save_anchor(9, b"nine again")
    assert await journal.last_anchor() == b"nine again"
    assert [await journal.anchor_covering(n) for n in (0, 3, 4, 8, 9)] == [
        *[b"four"] * 2,
        *[b"nine again"] * 2,
        None,
    ]
    assert await journal.all_anchors() == [b"four", b"nine again"]


async def test_jobs_are_kept_by_name_and_a_type_tells_how_far_it_reaches(
    database: Database,
) -> None:
    journal = database.reindex
    assert dict(await journal.load()) == {}
    assert await journal.extent(TYPE) == (0, 0)
    await journal.save("one", b"1")
    await journal.save("one", b"2")
    await journal.save("two", b"3")
    assert dict(await journal.load()) == {"one": b"2", "two": b"3"}
    await journal.drop("one")
    await journal.drop("nothing")
    assert dict(await journal.load()) == {"two": b"3"}
    rids = [await write(database.store, f"n{number}") for number in range(3)]
    assert await journal.extent(TYPE) == (3, rids[2])
    async with database.store.writing() as unit:
        await unit.put(version("n2", 2, rids[2], deleted=True, sealed=b""), [], [])
    assert await journal.extent(TYPE) == (2, rids[1])


async def test_news_are_counted(database: Database) -> None:
    before = await database.news.count()
    assert await database.news.count() == before
    await asyncio.gather(*(database.news.tell() for _ in range(5)))
    assert await database.news.count() == before + 5


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_database_that_was_left_well_has_no_events_to_index_again(
    folder: Path, adapter: str
) -> None:
    one = await DATABASES[adapter](folder)
    async with one.store.writing() as unit:
        rid = await unit.put(version("e", type_="AuditEvent"), [b"t" * 12], [])
        await unit.append_audit(rid, b"c" * 32, b"opening")
    await one.close()
    again = await DATABASES[adapter](folder)
    assert await again.events.adopt() is None
    await again.close()


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_one_of_several_has_a_task_until_it_leaves_it(folder: Path, adapter: str) -> None:
    one, two = await DATABASES[adapter](folder), await DATABASES[adapter](folder)
    asked = await asyncio.gather(*(d.leases.holds("anchoring") for d in (one, two)))
    assert sorted(asked) == [False, True]
    holder, other = (one, two) if asked[0] else (two, one)
    assert await holder.leases.holds("anchoring")
    assert not await other.leases.holds("anchoring")
    assert await other.leases.holds("another task")
    await holder.leases.leave("anchoring")
    assert await other.leases.holds("anchoring")
    assert not await holder.leases.holds("anchoring")
    await one.close()
    await two.close()


HOLDER = """
import asyncio, sys
from pathlib import Path
from tests.contracts.stores import DATABASES

async def main(folder, adapter):
    database = await DATABASES[adapter](Path(folder))
    print(await database.leases.holds("anchoring"), flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_task_of_a_process_that_died_passes_to_another(
    folder: Path, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_leases, "_PATIENCE", 0.5)
    database = await DATABASES[adapter](folder)
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), adapter],
        stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == b"True\n"
        assert not await database.leases.holds("anchoring")
        child.kill()
    until = time.monotonic() + 10
    while not await database.leases.holds("anchoring"):
        assert time.monotonic() < until
        await asyncio.sleep(0.1)
    await database.close()


async def test_an_entry_of_the_register_is_saved_over_the_version_that_was_read(
    database: Database,
) -> None:
    register = database.register
    assert await register.find("account", KEY) is None
    await register.save("account", Entry(KEY, OWNER, 0, b"first"))
    await register.save("account", Entry(KEY, OWNER, 1, b"second"))
    assert await register.find("account", KEY) == Entry(KEY, OWNER, 2, b"second")
    assert await register.find("client", KEY) is None
    for wrong in (0, 1, 3):
        with pytest.raises(ChangedError):
            await register.save("account", Entry(KEY, OWNER, wrong, b"late"))
    assert await register.find("account", KEY) == Entry(KEY, OWNER, 2, b"second")
    await register.drop("account", KEY)
    await register.drop("account", KEY)
    with pytest.raises(ChangedError):
        await register.save("account", Entry(KEY, OWNER, 2, b"late"))
    assert await register.of("account") == []


async def test_the_register_is_listed_by_owner(database: Database) -> None:
    register = database.register
    for key, owner in ((OTHER, ""), (KEY, OWNER)):
        await register.save("grant", Entry(key, owner, 0, owner.encode()))
    first, second = sorted((KEY, OTHER))
    assert [each.key for each in await register.of("grant")] == [first, second]
    assert [each.key for each in await register.of("grant", OWNER)] == [KEY]
    assert [each.key for each in await register.of("grant", "")] == [OTHER]
    assert await register.of("account", OWNER) == []


async def test_of_many_that_save_an_entry_at_once_one_succeeds(database: Database) -> None:
    async def save(value: bytes) -> int:
        try:
            await database.register.save("account", Entry(KEY, "", 0, value))
        except ChangedError:
            return 0
        return 1

    assert sum(await asyncio.gather(*(save(bytes([n])) for n in range(16)))) == 1
