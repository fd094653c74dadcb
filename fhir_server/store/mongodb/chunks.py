"""The chunks of large documents in MongoDB.

``document``: ``_id`` is its name, ``touched`` the time of its last chunk.  ``chunk``: ``_id`` is that name and the number (4
bytes).  ``attached``: ``_id`` is the name, ``rid`` the record; a unit of work inserts it, and nothing else of a document, so
that a transaction that began before the chunks came does not stand in their way.
"""

from collections.abc import Sequence

from fhir_server.errors import LostDocumentError
from fhir_server.store.database import Extent
from fhir_server.store.mongodb.documents import numbered
from fhir_server.store.mongodb.mongo import (
    ASCENDING,
    DeleteMany,
    IndexModel,
    InsertOne,
    Mongo,
    Operation,
    Query,
    Session,
    UpdateOne,
)

DOCUMENT, CHUNK, ATTACHED = "document", "chunk", "attached"
CHUNK_INDEXES = {
    DOCUMENT: (IndexModel([("touched", ASCENDING)]),),
    ATTACHED: (IndexModel([("rid", ASCENDING)]),),
}
_END = 2**32 - 1
_GOING = -1  # touched: it is being forgotten
_KEPT = 2**62  # touched: it is attached, a sweep need not look at it again


class MongoChunkItems:
    """A ``store.database.ChunkItems``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def add(self, document: bytes, first: int, sealed: Sequence[bytes], touched: int) -> None:
        """See ``ChunkItems.add``."""
        chunks: list[Operation] = [
            InsertOne({"_id": numbered(document, number), "sealed": chunk})
            for number, chunk in enumerate(sealed, start=first)
        ]
        touch = UpdateOne({"_id": document}, {"$set": {"touched": touched}}, upsert=True)

        async def writes(session: Session) -> None:
            await session.write(DOCUMENT, [touch])
            await session.write(CHUNK, chunks)

        await self._mongo.together(writes)

    async def read(self, document: bytes, first: int, count: int) -> Sequence[bytes]:
        """See ``ChunkItems.read``."""
        where = {
            "_id": {"$gte": numbered(document, first), "$lt": numbered(document, first + count)}
        }
        found = await self._mongo.find(Query(CHUNK, where, sort=(("_id", 1),)))
        return [each["sealed"] for each in found]

    async def drop(self, document: bytes) -> None:
        """See ``ChunkItems.drop``."""
        if await self._mongo.one(ATTACHED, {"_id": document}):
            await self._mongo.change(DOCUMENT, {"_id": document}, {"$set": {"touched": _KEPT}})
            return
        going = {"$set": {"touched": _GOING}}
        if await self._mongo.change(DOCUMENT, {"_id": document}, going) is None:
            return
        gone = {"_id": {"$gte": numbered(document, 0), "$lt": numbered(document, _END)}}

        async def writes(session: Session) -> None:
            await session.write(CHUNK, [DeleteMany(gone)])
            await session.write(DOCUMENT, [DeleteMany({"_id": document})])

        await self._mongo.together(writes)

    async def sweep(self, before: int) -> int:
        """See ``ChunkItems.sweep``."""
        found = await self._mongo.find(Query(DOCUMENT, {"touched": {"$lt": before}}))
        for each in found:
            await self.drop(each["_id"])
        left = [await self._mongo.one(DOCUMENT, {"_id": each["_id"]}) for each in found]
        return left.count(None)

    async def extents(self, after: bytes, limit: int) -> Sequence[Extent]:
        """See ``ChunkItems.extents``."""
        query = Query(DOCUMENT, {"_id": {"$gt": after}}, sort=(("_id", 1),), limit=limit)
        return [await self._extent(each["_id"]) for each in await self._mongo.find(query)]

    async def _extent(self, document: bytes) -> Extent:
        attached = await self._mongo.one(ATTACHED, {"_id": document})
        return Extent(
            document, attached["rid"] if attached else None, await _held(self._mongo, document)
        )


async def require_staged(mongo: Mongo, document: bytes, chunks: int) -> None:
    """Refuse to attach what is not there as a whole.

    Raises:
        LostDocumentError: It was swept, is not whole, or is a record's already.
    """
    found = await mongo.one(DOCUMENT, {"_id": document, "touched": {"$ne": _GOING}})
    taken = await mongo.one(ATTACHED, {"_id": document})
    if found is None or taken is not None or await _held(mongo, document) != chunks:
        raise LostDocumentError("what was received is no longer there: send it again")


async def _held(mongo: Mongo, document: bytes) -> int:
    where = {"_id": {"$gte": numbered(document, 0), "$lt": numbered(document, _END)}}
    return await mongo.count(CHUNK, where)
