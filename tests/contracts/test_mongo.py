"""What MongoDB asks for beside the contract: its topology, its limits, several processes, and its absence."""

# ruff: noqa: ASYNC220, PT012  (child processes and whole units are the point here)

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fhir_server.errors import SettingsError, StoreFullError, StoreLostError
from fhir_server.store.database import Database
from fhir_server.store.mongodb import turn as mongo_turn
from fhir_server.store.mongodb import unit as mongo_unit
from fhir_server.store.mongodb import units as mongo_units
from fhir_server.store.mongodb.database import open_mongo
from fhir_server.store.mongodb.documents import PART, PART_BYTES
from fhir_server.store.mongodb.mongo import Mongo
from fhir_server.store.protocol import Changes, Selection

from .. import mongo_server
from .stores import StoppedError, found, row, token, version, write

pytestmark = mongo_server.needs_mongo
ROOT = Path(__file__).resolve().parents[2]
GIVEN = bool(os.environ.get("MONGODB_URI"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await open_mongo(url)
    yield opened
    await opened.close()


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[mongo_server.Server]:
    if GIVEN:
        pytest.skip("this one stops the server, which is not ours")
    server = mongo_server.Server(*getattr(request, "param", ()))
    yield server
    server.stop()


@pytest.mark.parametrize("own_server", [("--standalone",)], indirect=True)
async def test_a_server_that_stands_alone_is_refused_in_one_sentence(
    own_server: mongo_server.Server,
) -> None:
    with pytest.raises(SettingsError, match="stands alone and has no transactions") as refused:
        await open_mongo(own_server.url)
    assert "\n" not in str(refused.value)


async def test_a_server_that_is_down_is_refused_without_telling_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fhir_server.store.mongodb.mongo._PATIENCE", 300)
    with pytest.raises(SettingsError, match="does not answer") as refused:
        await open_mongo("mongodb://user:s3cret@127.0.0.1:9/consentry")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong", ["mongodb://", "mongodb://h:port/x", "mongodb://us:er:s3cret@h/x"]
)
async def test_a_url_that_is_none_is_refused_without_telling_the_password(wrong: str) -> None:
    with pytest.raises(SettingsError, match="store") as refused:
        await open_mongo(wrong)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("size", [PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 18 * 1024 * 1024])
async def test_a_record_larger_than_a_document_is_kept_in_parts(
    database: Database, url: str, size: int
) -> None:
    sealed = secrets.token_bytes(size)
    first = version("a", sealed=sealed)
    async with database.store.writing() as unit:
        rid = await unit.put(first, [token("t")], [])
        seen = await unit.find(row("a"))
        assert seen is not None
        assert seen.sealed == sealed
    async with database.store.writing() as unit:
        await unit.put(version("a", 2, rid), [], [])
    async with database.store.reading() as snapshot:
        old = await snapshot.find(row("a"), 1)
        assert old is not None
        assert old.sealed == sealed
        told = await snapshot.history(Changes(rid=rid))
        assert [len(v.sealed) for v in told] == [300, size]
        assert [len(v.sealed) for v in await snapshot.select(Selection("Observation"))] == [300]
    mongo = Mongo(url)
    parts = await mongo.count(PART, {})
    assert parts == (0 if size <= PART_BYTES else -(-size // PART_BYTES))
    mongo.close()


async def test_a_record_that_no_document_has_room_for_fails_alone(database: Database) -> None:
    good = asyncio.create_task(write(database.store, "good", "t"))
    many = [n.to_bytes(12, "big") for n in range(300_000)]
    with pytest.raises(StoreFullError):
        async with database.store.writing() as unit:
            await unit.put(version("bad"), many, [])
    await good
    await write(database.store, "after", "t")
    assert await found(database.store, ("t",)) == [b"good", b"after"]


async def test_what_is_too_large_for_a_transaction_fails_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB says so when it gets it; what other units have written in the same transaction is not lost."""
    inside, go = asyncio.Event(), asyncio.Event()

    async def small() -> None:
        async with database.store.writing() as unit:
            await unit.put(version("small"), [token("t")], [])
            inside.set()
            await go.wait()

    async def large() -> None:
        async with database.store.writing() as unit:
            await unit.put(version("large"), [token("t")], [])
            await unit.append_audit(1, b"c" * 32, b"o")
            session = database.store._units._session  # type: ignore[attr-defined]

            async def refused(*_: object) -> int:
                raise StoreFullError("the database has no room for it")

            with monkeypatch.context() as patched:
                patched.setattr(type(session), "write", refused)
                await unit.audit(start=0, stop=1)

    first = asyncio.create_task(small())
    await inside.wait()
    second = asyncio.create_task(large())
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(StoreFullError):
        await second
    await first
    assert await found(database.store, ("t",)) == [b"small"]


async def test_two_stores_on_one_database_take_turns(url: str) -> None:
    one, two = await open_mongo(url), await open_mongo(url)

    async def create_once(store: Database) -> bool:
        async with store.store.writing() as unit:
            if await unit.select(Selection("Observation", ((token("t"),),))):
                return False
            rid = await unit.put(version(secrets.token_hex(4)), [token("t")], [])
            await unit.append_audit(rid, b"c" * 32, b"o")
            return True

    made = await asyncio.gather(*(create_once(store) for store in (one, two) for _ in range(20)))
    assert made.count(True) == 1
    names = [f"{who}{n}" for n in range(60) for who in "ab"]
    await asyncio.gather(*(write({"a": one, "b": two}[n[0]].store, n, "u") for n in names))
    assert set(await found(one.store, ("u",), limit=999)) == {n.encode() for n in names}
    async with two.store.reading() as snapshot:
        assert [r.n for r in await snapshot.audit(start=0, stop=999)] == list(range(121))
    await one.close()
    await two.close()


async def test_a_process_that_lost_its_turn_cannot_commit(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was only slow, not dead: nothing of what it began is kept, and it can write again."""
    monkeypatch.setattr(mongo_turn, "_PATIENCE", 0.3)
    monkeypatch.setattr(mongo_turn, "_BEAT", 60.0)
    slow, quick = await open_mongo(url), await open_mongo(url)
    with pytest.raises(StoreLostError):
        async with slow.store.writing() as unit:
            rid = await unit.put(version("slow"), [token("t")], [])
            await unit.append_audit(rid, b"c" * 32, b"o")
            assert len(await unit.audit(start=0, stop=9)) == 1  # the transaction has it
            await asyncio.wait_for(write(quick.store, "quick", "t"), 10)
    assert await found(quick.store, ("t",)) == [b"quick"]
    await write(slow.store, "again", "t")
    async with quick.store.reading() as snapshot:
        rows = await snapshot.audit(start=0, stop=9)
    assert [(r.n, r.commitment.strip()) for r in rows] == [(0, b"quick"), (1, b"again")]
    await slow.close()
    await quick.close()


async def test_a_unit_that_takes_long_keeps_its_turn(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_turn, "_PATIENCE", 0.5)
    monkeypatch.setattr(mongo_turn, "_BEAT", 0.1)
    slow, quick = await open_mongo(url), await open_mongo(url)
    async with slow.store.writing() as unit:
        await unit.put(version("slow"), [token("t")], [])
        other = asyncio.create_task(write(quick.store, "quick", "t"))
        await asyncio.sleep(1.2)
        assert not other.done()
    await other
    assert await found(quick.store, ("t",)) == [b"slow", b"quick"]
    await slow.close()
    await quick.close()


async def test_a_large_unit_that_asks_nothing_keeps_its_turn(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its event loop busy; between its records it shows those who wait elsewhere that it lives."""
    monkeypatch.setattr(mongo_turn, "_PATIENCE", 2.0)
    monkeypatch.setattr(mongo_turn, "_BEAT", 0.1)
    monkeypatch.setattr(mongo_unit, "_BREATH", 4)
    async with database.store.writing() as unit:
        elsewhere = asyncio.create_task(asyncio.to_thread(asyncio.run, _write_alone(url)))
        await asyncio.sleep(0.1)
        for number in range(700):
            await unit.put(version(f"n{number}"), [], [])
            time.sleep(0.005)  # noqa: ASYNC251  as validating does
    await elsewhere
    assert len(await found(database.store, limit=999)) == 701


async def _write_alone(url: str) -> None:
    other = await open_mongo(url)
    await write(other.store, "elsewhere")
    await other.close()


HOLDER = """
import asyncio, sys
from fhir_server.store.mongodb.database import open_mongo
from tests.contracts.stores import version, token

async def main(url):
    database = await open_mongo(url)
    async with database.store.writing() as unit:
        rid = await unit.put(version("dead"), [token("t")], [])
        await unit.append_audit(rid, b"c" * 32, b"o")
        await unit.audit(start=0, stop=9)
        print("inside", flush=True)
        await asyncio.sleep(60)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_process_that_is_killed_while_it_writes_keeps_nobody_from_writing(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction is open on the server, with the same audit number that the next one writes."""
    monkeypatch.setattr(mongo_turn, "_PATIENCE", 2.0)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, cwd=ROOT, env=environment
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"inside\n"
        os.kill(child.pid, signal.SIGKILL)
    started = time.monotonic()
    await write(database.store, "alive", "t")
    assert time.monotonic() - started < 15
    assert await found(database.store, ("t",)) == [b"alive"]
    async with database.store.reading() as snapshot:
        assert [r.n for r in await snapshot.audit(start=0, stop=9)] == [0]


async def test_a_server_that_is_lost_fails_requests_and_keeps_nothing_half(
    own_server: mongo_server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.store.mongodb.mongo._PATIENCE", 400)
    monkeypatch.setattr(mongo_turn, "_PATIENCE", 1.0)
    monkeypatch.setattr(mongo_units, "_PATIENCE", 0.5)
    database = await open_mongo(own_server.url)
    await write(database.store, "before", "t")
    with pytest.raises(StoreLostError):
        async with database.store.writing() as unit:
            rid = await unit.put(version("a"), [token("t")], [])
            await unit.append_audit(rid, b"c" * 32, b"o")
            await unit.audit(start=0, stop=9)
            own_server.kill()
    with pytest.raises(StoreLostError):
        await write(database.store, "b", "t")
    with pytest.raises(StoreLostError):
        await found(database.store, ("t",))
    with pytest.raises(StoreLostError):
        await database.grants.find("code", "a" * 64, 0)
    own_server.start()
    await write(database.store, "after", "t")
    assert await found(database.store, ("t",)) == [b"before", b"after"]
    async with database.store.reading() as snapshot:
        assert [r.n for r in await snapshot.audit(start=0, stop=9)] == [0, 1]
    await database.close()


async def test_a_unit_that_fails_after_the_transaction_had_it_leaves_nothing(
    database: Database,
) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def good() -> None:
        async with database.store.writing() as unit:
            rid = await unit.put(version("good"), [token("t")], [])
            await unit.append_audit(rid, b"g" * 32, b"o")
            inside.set()
            await go.wait()

    async def bad() -> None:
        async with database.store.writing() as unit:
            rid = await unit.put(version("bad"), [token("t")], [])
            await unit.append_audit(rid, b"b" * 32, b"o")
            assert len(await unit.select(Selection("Observation", ((token("t"),),)))) == 2
            assert len(await unit.audit(start=0, stop=9)) == 2
            raise StoppedError

    first = asyncio.create_task(good())
    await inside.wait()
    second = asyncio.create_task(bad())
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(StoppedError):
        await second
    await first
    assert await found(database.store, ("t",)) == [b"good"]
    async with database.store.reading() as snapshot:
        assert [(r.n, r.commitment) for r in await snapshot.audit(start=0, stop=9)] == [
            (0, b"g" * 32)
        ]
