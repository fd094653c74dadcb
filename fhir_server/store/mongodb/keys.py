"""Data keys in MongoDB: what lies behind ``KeyTable``."""

from collections.abc import Sequence

from fhir_server.store.mongodb.documents import KEY
from fhir_server.store.mongodb.mongo import Document, Query
from fhir_server.store.mongodb.reads import Reads, Writes
from fhir_server.store.shelf import WrappedKey


class MongoKeys:
    """See ``store.shelf.KeyTable``."""

    def __init__(self, reads: Reads, writes: Writes | None = None) -> None:
        self._reads = reads
        self._writes = writes

    async def of(self, owner: bytes) -> Sequence[WrappedKey]:
        """See ``KeyTable.of``."""
        query = Query(KEY, {"owner": owner}, sort=(("k", 1),))
        return [wrapped_key(found) for found in await self._reads.find(query)]

    async def after(self, id_: bytes, limit: int) -> Sequence[WrappedKey]:
        """See ``KeyTable.after``."""
        where: Document = {"_id": {"$gt": id_}} if id_ else {}
        query = Query(KEY, where, sort=(("_id", 1),), limit=limit)
        return [wrapped_key(found) for found in await self._reads.find(query)]

    async def replace(self, key: WrappedKey) -> None:
        """See ``KeyTable.replace``."""
        assert self._writes is not None, "a snapshot changes nothing"
        self._writes.pending.replace_key(key)

    async def advance(self) -> None:
        """See ``KeyTable.advance``."""
        assert self._writes is not None, "a snapshot changes nothing"
        self._writes.pending.advance_epoch()


def wrapped_key(found: Document) -> WrappedKey:
    """A key from its document."""
    return WrappedKey(found["_id"], found["owner"], found["wrapped"], found["made"])
