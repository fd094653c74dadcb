"""Notes in MongoDB, in the collection ``meta``: what lies behind ``Notes``.

Each entry of a transaction asks for the same ones, the Consents of its patient.  So a batch of units remembers those that
it has read, which nobody changes in its transaction, and those that it has written (``pending.py``): it does not ask again.
"""

import re
from collections.abc import Collection, Mapping

from fhir_server.store.mongodb.documents import META
from fhir_server.store.mongodb.mongo import Query
from fhir_server.store.mongodb.reads import Reads, Writes


class MongoNotes:
    """See ``store.shelf.Notes``."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def find(self, name: str) -> bytes | None:
        """See ``Notes.find``."""
        return (await self.find_all([name])).get(name)

    async def find_all(self, names: Collection[str]) -> Mapping[str, bytes]:
        """See ``Notes.find_all``."""
        found = await self._reads.find(_of(names))
        return {each["_id"]: each["content"] for each in found}

    async def load(self, prefix: str) -> Mapping[str, bytes]:
        """See ``Notes.load``."""
        query = Query(META, {"_id": {"$regex": f"^{re.escape(prefix)}"}})
        found = await self._reads.find(query)
        return {each["_id"].removeprefix(prefix): each["content"] for each in found}

    async def save(self, name: str, content: bytes) -> None:
        """See ``Notes.save``."""
        raise NotImplementedError("a snapshot changes nothing")

    async def drop(self, name: str) -> None:
        """See ``Notes.drop``."""
        raise NotImplementedError("a snapshot changes nothing")


class MongoUnitNotes(MongoNotes):
    """The same in a unit of work."""

    def __init__(self, writes: Writes) -> None:
        super().__init__(writes)
        self._writes = writes

    async def find_all(self, names: Collection[str]) -> Mapping[str, bytes]:
        """See ``Notes.find_all``."""
        pending = self._writes.pending
        unknown = [name for name in names if not pending.knows_note(name)]
        if unknown:
            found = await self._writes.look(_of(unknown))
            told = {each["_id"]: each["content"] for each in found}
            pending.remember_notes({name: told.get(name) for name in unknown})
        known = {name: pending.note(name) for name in names}
        return {name: content for name, content in known.items() if content is not None}

    async def save(self, name: str, content: bytes) -> None:
        """See ``Notes.save``."""
        self._writes.pending.save_note(name, content)

    async def drop(self, name: str) -> None:
        """See ``Notes.drop``."""
        self._writes.pending.save_note(name, None)


def _of(names: Collection[str]) -> Query:
    one = next(iter(names)) if len(names) == 1 else {"$in": list(names)}
    return Query(META, {"_id": one})
