"""What every TileStore promises (``anchoring/log/tiles.py``), and every LeafSource of its size."""

from __future__ import annotations

import asyncio

from anchoring.log.log import Log
from anchoring.log.merkle import Tree, leaf_hash
from anchoring.log.tiles import Tile, full_tile
from fhir_server.store.database import Database

from .stores import StoredRows, database

__all__ = ["database"]


def made(level: int, index: int, salt: int = 0) -> Tile:
    return full_tile(level, index, bytes([level, index % 256, salt, 7]) * 2048)


async def test_there_are_no_tiles_in_the_beginning(database: Database) -> None:
    tiles = database.tiles
    assert [await tiles.count(level) for level in (0, 1, 7)] == [0, 0, 0]
    assert await tiles.load(0, 0) is None
    assert await tiles.roots(0, 0, 256) == {}
    assert await database.leaves.size() == 0


async def test_tiles_of_a_level_are_counted_and_found_apart_from_those_of_others(
    database: Database,
) -> None:
    tiles = database.tiles
    saved = [made(0, 0), made(0, 1), made(0, 299), made(1, 0), made(7, 2**48 - 1)]
    await tiles.save(saved)
    assert [await tiles.count(level) for level in (0, 1, 2, 6, 7)] == [300, 1, 0, 0, 2**48]
    for tile in saved:
        assert await tiles.load(tile.level, tile.index) == tile
    assert await tiles.load(0, 2) is None
    assert await tiles.roots(0, 1, 300) == {1: made(0, 1).root, 299: made(0, 299).root}
    assert await tiles.roots(0, 1, 299) == {1: made(0, 1).root}
    assert await tiles.roots(1, 1, 256) == {}


async def test_a_tile_that_is_there_stays_as_it_is(database: Database) -> None:
    tiles = database.tiles
    await tiles.save([made(0, 0)])
    await tiles.save([made(0, 0, salt=1), made(0, 1)])
    assert await tiles.load(0, 0) == made(0, 0)
    assert await tiles.load(0, 1) == made(0, 1)


async def test_several_that_write_the_same_tiles_at_once_all_succeed(database: Database) -> None:
    await asyncio.gather(*(database.tiles.save([made(0, 0), made(0, 1)]) for _ in range(12)))
    assert await database.tiles.count(0) == 2


async def test_a_log_of_audit_rows_is_proved_out_of_the_store(database: Database) -> None:
    """600 events: two tiles, and a part of one."""
    rows = StoredRows(database)
    await rows.append(600)
    log, tree = Log(database.leaves, database.tiles), Tree()
    tree.extend(map(leaf_hash, rows.commitments))
    await log.grow()
    assert (log.size, await database.tiles.count(0)) == (600, 2)
    for size in (1, 256, 257, 600):
        assert await log.root(size) == tree.root(size)
        path = await log.inclusion_path(size - 1, 600)
        assert path == tree.inclusion_path(size - 1, 600)
    await rows.append(200)
    await log.grow()
    assert await database.tiles.count(0) == 3
    assert await log.consistency_path(600, 800) == await Log(
        database.leaves, database.tiles
    ).consistency_path(600, 800)
