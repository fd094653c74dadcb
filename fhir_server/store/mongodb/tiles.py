"""The tiles of the audit log in MongoDB: ``tile``, whose ``_id`` is the level times 2**48 plus the index."""

from collections.abc import Sequence

from anchoring.log.tiles import Tile
from fhir_server.store.database import tile_id, tile_index
from fhir_server.store.mongodb.mongo import Document, Mongo, Query, Session, UpdateOne

TILE = "tile"


class MongoTiles:
    """An ``anchoring.log.tiles.TileStore``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def count(self, level: int) -> int:
        """See ``TileStore.count``."""
        where = _between(tile_id(level, 0), tile_id(level + 1, 0))
        query = Query(TILE, where, sort=(("_id", -1),), fields=(("_id", 1),), limit=1)
        found = await self._mongo.find(query)
        return tile_index(found[0]["_id"]) + 1 if found else 0

    async def load(self, level: int, index: int) -> Tile | None:
        """See ``TileStore.load``."""
        found = await self._mongo.one(TILE, {"_id": tile_id(level, index)})
        return Tile(level, index, found["hashes"], found["root"]) if found else None

    async def roots(self, level: int, start: int, stop: int) -> dict[int, bytes]:
        """See ``TileStore.roots``."""
        where = _between(tile_id(level, start), tile_id(level, stop))
        found = await self._mongo.find(Query(TILE, where, fields=(("root", 1),)))
        return {tile_index(each["_id"]): each["root"] for each in found}

    async def save(self, tiles: Sequence[Tile]) -> None:
        """See ``TileStore.save``."""

        async def all_(session: Session) -> None:
            await session.write(TILE, [_insert(tile) for tile in tiles])

        await self._mongo.together(all_)


def _between(start: int, stop: int) -> Document:
    return {"_id": {"$gte": start, "$lt": stop}}


def _insert(tile: Tile) -> UpdateOne:
    made = {"$setOnInsert": {"root": tile.root, "hashes": tile.hashes}}
    return UpdateOne({"_id": tile_id(tile.level, tile.index)}, made, upsert=True)
