"""The tiles of the audit log in SQLite."""

from collections.abc import Sequence

from anchoring.log.tiles import Tile
from fhir_server.store.database import tile_id, tile_index
from fhir_server.store.sqlite.store import SqliteStore


class SqliteTiles:
    """An ``anchoring.log.tiles.TileStore``."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def count(self, level: int) -> int:
        """See ``TileStore.count``."""
        bounds = (tile_id(level, 0), tile_id(level + 1, 0))
        async with self._store.reading() as snapshot:
            found = snapshot.execute("SELECT max(id) FROM tile WHERE id >= ? AND id < ?", bounds)
        return 0 if found[0][0] is None else tile_index(found[0][0]) + 1

    async def load(self, level: int, index: int) -> Tile | None:
        """See ``TileStore.load``."""
        query = "SELECT hashes, root FROM tile WHERE id = ?"
        async with self._store.reading() as snapshot:
            found = snapshot.execute(query, (tile_id(level, index),))
        return Tile(level, index, *found[0]) if found else None

    async def roots(self, level: int, start: int, stop: int) -> dict[int, bytes]:
        """See ``TileStore.roots``."""
        bounds = (tile_id(level, start), tile_id(level, stop))
        async with self._store.reading() as snapshot:
            found = snapshot.execute("SELECT id, root FROM tile WHERE id >= ? AND id < ?", bounds)
        return {tile_index(id_): root for id_, root in found}

    async def save(self, tiles: Sequence[Tile]) -> None:
        """See ``TileStore.save``."""
        query = "INSERT OR IGNORE INTO tile (id, root, hashes) VALUES (?, ?, ?)"
        async with self._store.writing() as unit:
            for tile in tiles:
                unit.execute(query, (tile_id(tile.level, tile.index), tile.root, tile.hashes))
