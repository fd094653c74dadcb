"""Data keys and notes of jobs in MongoDB: what lies behind ``KeyTable`` and ``Notes``.

The epoch lies with the numbers of the turn (``turn.py``): a unit of work knows it without asking.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from fhir_server.store.mongodb.documents import KEY, META
from fhir_server.store.mongodb.mongo import DeleteOne, Document, Query, ReplaceOne
from fhir_server.store.mongodb.reads import Reads, Writes, numbers
from fhir_server.store.shelf import WrappedKey


class MongoKeys:
    """See ``store.shelf.KeyTable``."""

    def __init__(self, reads: Reads, writes: Writes | None = None) -> None:
        self._reads = reads
        self._writes = writes

    async def epoch(self) -> int:
        """See ``KeyTable.epoch``."""
        if self._writes is not None:
            return self._writes.pending.counters.epoch
        return (await numbers(self._reads)).epoch

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


class MongoNotes:
    """See ``store.shelf.Notes``: in the collection ``meta``."""

    def __init__(self, reads: Reads, writes: Writes | None = None) -> None:
        self._reads = reads
        self._writes = writes

    async def find(self, name: str) -> bytes | None:
        """See ``Notes.find``."""
        found = await self._reads.find(Query(META, {"_id": name}))
        return found[0]["content"] if found else None

    async def find_all(self, names: Collection[str]) -> Mapping[str, bytes]:
        """See ``Notes.find_all``."""
        found = await self._reads.find(Query(META, {"_id": {"$in": list(names)}}))
        return {each["_id"]: each["content"] for each in found}

    async def load(self, prefix: str) -> Mapping[str, bytes]:
        """See ``Notes.load``."""
        query = Query(META, {"_id": {"$regex": f"^{re.escape(prefix)}"}})
        found = await self._reads.find(query)
        return {each["_id"].removeprefix(prefix): each["content"] for each in found}

    async def save(self, name: str, content: bytes) -> None:
        """See ``Notes.save``."""
        made = {"_id": name, "content": content}
        self._write(ReplaceOne({"_id": name}, made, upsert=True))

    async def drop(self, name: str) -> None:
        """See ``Notes.drop``."""
        self._write(DeleteOne({"_id": name}))

    def _write(self, operation: ReplaceOne[Document] | DeleteOne) -> None:
        assert self._writes is not None, "a snapshot changes nothing"
        self._writes.pending.other([(META, operation)])


def wrapped_key(found: Document) -> WrappedKey:
    """A key from its document."""
    return WrappedKey(found["_id"], found["owner"], found["wrapped"], found["made"])
