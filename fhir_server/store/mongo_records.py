"""Records, data keys and audit rows in MongoDB as a ``Snapshot`` gives them."""

from collections.abc import Sequence
from typing import Protocol

from fhir_server.store.mongo import Document, Filter, Query
from fhir_server.store.mongo_documents import (
    AUDIT,
    KEY,
    PART,
    RECORD,
    VERSION,
    changed,
    newest_first,
    numbered,
    part_ids,
    selected,
    version_of,
)
from fhir_server.store.protocol import AuditRow, Changes, SealedVersion, Selection, WrappedKey


class Reads(Protocol):
    """Where a snapshot looks: one transaction, whose reads are all of one instant."""

    async def find(self, query: Query) -> list[Document]:
        """What matches, in the order asked for."""
        ...


class MongoSnapshot:
    """See ``store.protocol.Snapshot``."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def find(self, row: bytes, version: int | None = None) -> SealedVersion | None:
        """See ``Snapshot.find``."""
        current = await self._current(row)
        if current is None:
            return None
        if version is None or version == current["version"]:
            return await self._opened(current)
        where = {"_id": numbered(row, version)}
        found = await self._reads.find(Query(VERSION, where, limit=1))
        return await self._opened(found[0]) if found else None

    async def history(self, changes: Changes) -> Sequence[SealedVersion]:
        """See ``Snapshot.history``."""
        found = [each for query in changed(changes) for each in await self._reads.find(query)]
        found.sort(key=newest_first, reverse=True)
        return [await self._opened(each) for each in found[: changes.limit or None]]

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """See ``Snapshot.select``."""
        if selection.rows is not None and not selection.rows:
            return []
        return [await self._opened(each) for each in await self._reads.find(selected(selection))]

    async def key(self, *, id_: bytes = b"", owner: bytes = b"") -> WrappedKey | None:
        """See ``Snapshot.key``."""
        where: Filter = {"_id": id_} if id_ else {"owner": owner}
        found = await self._reads.find(Query(KEY, where, sort=(("k", -1),), limit=1))
        if not found:
            return None
        return WrappedKey(found[0]["_id"], found[0]["owner"], found[0]["wrapped"])

    async def audit(
        self, *, start: int = 0, stop: int = 0, rid: int | None = None
    ) -> Sequence[AuditRow]:
        """See ``Snapshot.audit``."""
        where: Filter = {"_id": rid} if rid is not None else {"n": {"$gte": start, "$lt": stop}}
        found = await self._reads.find(Query(AUDIT, where, sort=(("n", 1),)))
        return [
            AuditRow(each["n"], each["_id"], each["commitment"], each["opening"]) for each in found
        ]

    async def _current(self, row: bytes) -> Document | None:
        found = await self._reads.find(Query(RECORD, {"_id": row}, limit=1))
        return found[0] if found else None

    async def _opened(self, found: Document) -> SealedVersion:
        """The version with all of its parts, one after another: a second one has to find room beside them."""
        if not found["parts"]:
            return version_of(found)
        sealed = b""
        for id_ in part_ids(found):
            part = await self._reads.find(Query(PART, {"_id": id_}, limit=1))
            sealed += part[0]["part"] if part else b""  # what is missing does not open
        return version_of(found, sealed)
