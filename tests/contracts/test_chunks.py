"""What every store of chunks promises (``store.database.ChunkItems``, ``Unit.attach`` and ``Shelf.bury``)."""

# ruff: noqa: PT012  (whole units are the point here)

from __future__ import annotations

import asyncio
import time

import pytest

from fhir_server.errors import LostDocumentError
from fhir_server.store.database import Database

from .stores import StoppedError, token, version
from .test_database import database

__all__ = ["database"]

ONE, TWO = b"1" * 16, b"2" * 16
CHUNKS = [bytes([n]) * 65_536 for n in range(5)]


async def stage(database: Database, document: bytes = ONE, touched: int = 10) -> None:
    await database.chunks.add(document, 0, CHUNKS[:2], touched)
    await database.chunks.add(document, 2, CHUNKS[2:], touched)


async def write(database: Database, document: bytes = ONE, chunks: int = 5) -> int:
    async with database.store.writing() as unit:
        rid = await unit.put(version(document.decode()), [token("t")], [])
        await unit.attach(document, rid, chunks)
    return rid


async def test_chunks_come_back_in_their_order(database: Database) -> None:
    await stage(database)
    assert list(await database.chunks.read(ONE, 0, 5)) == CHUNKS
    assert list(await database.chunks.read(ONE, 1, 2)) == CHUNKS[1:3]


async def test_there_are_no_chunks_beyond_the_last(database: Database) -> None:
    await stage(database)
    assert list(await database.chunks.read(ONE, 4, 9)) == CHUNKS[4:]
    assert list(await database.chunks.read(ONE, 5, 1)) == []
    assert list(await database.chunks.read(TWO, 0, 5)) == []


async def test_documents_do_not_mix(database: Database) -> None:
    await stage(database)
    await database.chunks.add(TWO, 0, [b"other"], 10)
    assert list(await database.chunks.read(TWO, 0, 5)) == [b"other"]


async def test_what_is_staged_can_be_dropped(database: Database) -> None:
    await stage(database)
    await database.chunks.add(TWO, 0, [b"other"], 10)
    await database.chunks.drop(ONE)
    await database.chunks.drop(ONE)  # nothing happens
    assert list(await database.chunks.read(ONE, 0, 5)) == []
    assert list(await database.chunks.read(TWO, 0, 5)) == [b"other"]


async def test_what_is_attached_can_neither_be_dropped_nor_swept(database: Database) -> None:
    await stage(database)
    await write(database)
    await database.chunks.drop(ONE)
    assert await database.chunks.sweep(2**60) == 0
    assert list(await database.chunks.read(ONE, 0, 5)) == CHUNKS


async def test_a_sweep_takes_only_what_was_not_touched_for_long(database: Database) -> None:
    await stage(database, ONE, touched=100)
    await stage(database, TWO, touched=100)
    await database.chunks.add(TWO, 5, [b"more"], 200)
    assert await database.chunks.sweep(150) == 1
    assert list(await database.chunks.read(ONE, 0, 9)) == []
    assert len(await database.chunks.read(TWO, 0, 9)) == 6
    assert await database.chunks.sweep(150) == 0


@pytest.mark.parametrize("chunks", [0, 4, 6])
async def test_what_is_not_whole_is_not_attached(database: Database, chunks: int) -> None:
    await stage(database)
    with pytest.raises(LostDocumentError):
        await write(database, chunks=chunks)
    async with database.store.reading() as snapshot:
        assert await snapshot.find(version(ONE.decode()).row) is None


async def test_what_was_swept_is_not_attached(database: Database) -> None:
    await stage(database)
    await database.chunks.sweep(2**60)
    with pytest.raises(LostDocumentError):
        await write(database)


async def test_a_document_belongs_to_one_record(database: Database) -> None:
    await stage(database)
    await write(database)
    with pytest.raises(LostDocumentError):
        async with database.store.writing() as unit:
            rid = await unit.put(version("thief"), [], [])
            await unit.attach(ONE, rid, 5)


async def test_a_unit_that_fails_leaves_the_document_staged(database: Database) -> None:
    await stage(database)
    with pytest.raises(StoppedError):
        async with database.store.writing() as unit:
            rid = await unit.put(version("a"), [], [])
            await unit.attach(ONE, rid, 5)
            raise StoppedError
    assert [e.rid for e in await database.chunks.extents(b"", 9)] == [None]
    await write(database)


async def test_the_document_of_a_buried_record_goes_with_the_next_sweep(database: Database) -> None:
    await stage(database)
    await stage(database, TWO)
    rid, other = await write(database), await write(database, TWO)
    async with database.store.writing() as unit:
        await unit.shelf.bury({rid: b"proof"})
    assert await database.chunks.sweep(1) == 1
    found = await database.chunks.extents(b"", 9)
    assert [(e.document, e.rid, e.chunks) for e in found] == [(TWO, other, 5)]


async def test_extents_come_page_by_page(database: Database) -> None:
    names = [bytes([n]) * 16 for n in range(1, 6)]
    for name in reversed(names):
        await database.chunks.add(name, 0, [b"x"], 1)
    assert [e.document for e in await database.chunks.extents(b"", 2)] == names[:2]
    assert [e.document for e in await database.chunks.extents(names[1], 9)] == names[2:]


async def test_others_write_while_a_document_comes_in(database: Database) -> None:
    """A whole document in one unit would keep them waiting."""
    slowest = 0.0

    async def pour_in() -> None:
        for number in range(0, 400, 8):
            await database.chunks.add(ONE, number, [bytes(65_536)] * 8, number)

    async def others() -> None:
        nonlocal slowest
        for number in range(50):
            started = time.perf_counter()
            async with database.store.writing() as unit:
                await unit.put(version(f"n{number}"), [token("t")], [])
            slowest = max(slowest, time.perf_counter() - started)

    await asyncio.gather(pour_in(), others())
    assert slowest < 1
