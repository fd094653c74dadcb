"""MongoDB gets what a large unit has written while the unit goes on: nobody may see that by anything but its speed.

First the contract again, with each write sent as soon as there is one; then what can go wrong on the way.
"""

# ruff: noqa: PT012  (whole units are the point here)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from fhir_server.errors import StoreFullError
from fhir_server.store.database import Database
from fhir_server.store.mongodb import units as mongo_units
from fhir_server.store.mongodb.database import open_mongo
from fhir_server.store.mongodb.mongo import Operation, Session, TransientError
from fhir_server.store.protocol import Selection, Store

from .. import mongo_server
from .stores import StoppedError, found, token, version, write
from .test_event_index import (
    test_events_are_found_by_what_they_share_and_by_what_they_do_not as test_of_events,
)
from .test_shelf import test_a_unit_finds_the_notes_that_those_before_it_have_left as test_of_notes
from .test_store import (
    test_a_unit_that_is_cancelled_leaves_nothing,
    test_audit_numbers_are_gapless_whatever_fails,
    test_of_many_units_at_once_those_that_fail_take_nobody_with_them,
    test_the_same_row_twice_is_refused,
    test_updates_and_failures_at_once_leave_the_index_of_what_is_there,
)
from .test_unit_reads import (
    test_a_unit_selects_what_it_and_those_before_it_have_written as test_of_selections,
)

__all__ = [
    "test_a_unit_that_is_cancelled_leaves_nothing",
    "test_audit_numbers_are_gapless_whatever_fails",
    "test_of_events",
    "test_of_many_units_at_once_those_that_fail_take_nobody_with_them",
    "test_of_notes",
    "test_of_selections",
    "test_the_same_row_twice_is_refused",
    "test_updates_and_failures_at_once_leave_the_index_of_what_is_there",
]
pytestmark = mongo_server.needs_mongo


@pytest.fixture
async def database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(mongo_units, "_LOT", 1)
    opened = await open_mongo(mongo_server.url(folder))
    yield opened
    await opened.close()


@pytest.fixture
async def store(database: Database) -> Store:
    return database.store


class Wire:
    """What is sent within transactions; ``let`` lets it through, ``errors`` come instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let, self.begun, self.errors = asyncio.Event(), asyncio.Event(), list[Exception]()
        sent = Session.write

        async def delayed(session: Session, collection: str, some: Sequence[Operation]) -> int:
            self.begun.set()
            await self.let.wait()
            if self.errors:
                raise self.errors.pop(0)
            return await sent(session, collection, some)

        monkeypatch.setattr(Session, "write", delayed)


@pytest.fixture
def wire(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    made = Wire(monkeypatch)
    yield made
    made.let.set()  # or a test that failed would keep the database from closing


async def test_a_unit_goes_on_while_what_it_has_written_is_sent(store: Store, wire: Wire) -> None:
    async with store.writing() as unit:
        for number in range(60):
            rid = await unit.put(version(f"n{number}"), [token("t")], [])
            await unit.append_audit(rid, b"c" * 32, b"o")
        assert wire.begun.is_set()
        looking = asyncio.create_task(unit.audit(start=0, stop=99))
        await asyncio.sleep(0.05)
        assert not looking.done()  # it must see all of it
        wire.let.set()
        assert [row.n for row in await looking] == list(range(60))
    assert len(await found(store, ("t",), limit=99)) == 60


async def test_a_unit_waits_for_what_is_sent_only_where_that_may_be_selected(
    store: Store, wire: Wire
) -> None:
    rid = await _kept_patient(store, wire)
    async with store.writing() as unit:
        for number in range(40):
            await unit.put(version(f"n{number}"), [token("t")], [])
        assert wire.begun.is_set()
        (patient,) = await unit.select(Selection("Patient", ((token("t"),),)))
        assert patient.rid == rid
        own = asyncio.create_task(unit.select(Selection("Observation", ((token("t"),),))))
        await asyncio.sleep(0.05)
        assert not own.done()
        wire.let.set()
        assert len(await own) == 41


async def test_a_unit_that_changes_what_only_the_database_knows_waits_for_that(
    store: Store, wire: Wire
) -> None:
    rid = await _kept_patient(store, wire)
    async with store.writing() as unit:
        await unit.index("Patient", rid, [token("later")])
        await unit.put(version("other"), [token("t")], [])
        await wire.begun.wait()
        looking = asyncio.create_task(unit.select(Selection("Patient", ((token("later"),),))))
        await asyncio.sleep(0.05)
        assert not looking.done()
        wire.let.set()
        assert [v.rid for v in await looking] == [rid]


async def test_what_the_server_interrupts_on_the_way_is_sent_again(
    store: Store, wire: Wire
) -> None:
    wire.errors = [TransientError("interrupted"), TransientError("interrupted")]
    async with store.writing() as unit:
        for number in range(40):
            rid = await unit.put(version(f"n{number}"), [token("t")], [])
            await unit.append_audit(rid, b"c" * 32, b"o")
            if number == 20:
                wire.let.set()
                await asyncio.sleep(0.05)
        assert wire.begun.is_set()
    assert len(await found(store, ("t",), limit=99)) == 40
    async with store.reading() as snapshot:
        assert [r.n for r in await snapshot.audit(start=0, stop=99)] == list(range(40))


async def test_what_has_no_room_is_told_at_the_next_wait(store: Store, wire: Wire) -> None:
    await _kept(store, wire)
    wire.errors = [StoreFullError("the database has no room for it") for _ in range(2)]
    with pytest.raises(StoreFullError):
        async with store.writing() as unit:
            for number in range(5):
                await unit.put(version(f"n{number}"), [token("t")], [])
            await asyncio.sleep(0.05)
            assert len(wire.errors) == 1  # it came while the unit went on
            await unit.audit(start=0, stop=9)
    await write(store, "after", "t")
    assert await found(store, ("t",)) == [b"before", b"after"]


async def test_what_has_no_room_is_told_by_the_commit_at_the_latest(
    store: Store, wire: Wire
) -> None:
    await _kept(store, wire)
    wire.errors = [StoreFullError("the database has no room for it") for _ in range(2)]
    with pytest.raises(StoreFullError):
        async with store.writing() as unit:
            for number in range(5):
                rid = await unit.put(version(f"n{number}"), [token("t")], [])
                await unit.append_audit(rid, b"c" * 32, b"o")
            await asyncio.sleep(0.05)
            assert len(wire.errors) == 1
    await write(store, "after", "t")
    assert await found(store, ("t",)) == [b"before", b"after"]
    async with store.reading() as snapshot:
        assert [r.n for r in await snapshot.audit(start=0, stop=9)] == [0, 1]


async def test_a_unit_that_fails_while_it_is_sent_leaves_nothing(store: Store, wire: Wire) -> None:
    with pytest.raises(StoppedError):
        async with store.writing() as unit:
            for number in range(9):
                rid = await unit.put(version(f"n{number}"), [token("t")], [])
                await unit.append_audit(rid, b"c" * 32, b"o")
            assert wire.begun.is_set()
            raise StoppedError
    next_one = asyncio.create_task(write(store, "next", "t"))
    await asyncio.sleep(0.05)
    wire.let.set()
    await next_one
    assert await found(store, ("t",)) == [b"next"]
    async with store.reading() as snapshot:
        assert [r.n for r in await snapshot.audit(start=0, stop=99)] == [0]


async def test_a_unit_that_is_cancelled_while_it_waits_for_that_leaves_nothing(
    store: Store, wire: Wire
) -> None:
    async def hang() -> None:
        async with store.writing() as unit:
            for number in range(9):
                await unit.put(version(f"n{number}"), [token("t")], [])
            await unit.audit(start=0, stop=9)

    task = asyncio.create_task(hang())
    await wire.begun.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    wire.let.set()
    await write(store, "next", "t")
    assert await found(store, ("t",)) == [b"next"]


async def test_a_store_that_closes_waits_for_what_is_under_way(
    folder: Path, store: Store, wire: Wire
) -> None:
    with pytest.raises(StoppedError):
        async with store.writing() as unit:
            for number in range(9):
                await unit.put(version(f"n{number}"), [token("t")], [])
            raise StoppedError
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    wire.let.set()
    await closing
    again = await open_mongo(mongo_server.url(folder))
    await write(again.store, "next", "t")  # the turn was left
    assert await found(again.store, ("t",)) == [b"next"]
    await again.close()


async def _kept(store: Store, wire: Wire) -> None:
    wire.let.set()
    await write(store, "before", "t")


async def _kept_patient(store: Store, wire: Wire) -> int:
    """A Patient beside what is kept; what comes behind it is not let through."""
    await _kept(store, wire)
    async with store.writing() as unit:
        rid = await unit.put(version("patient", type_="Patient"), [token("t")], [])
    wire.let.clear()
    wire.begun.clear()
    return rid
