"""Records, data keys and audit rows in MongoDB as a ``Snapshot`` gives them."""

from collections.abc import Sequence

from fhir_server.store.mongodb.documents import (
    KEY,
    RECORD,
    VERSION,
    changed,
    newest_first,
    numbered,
)
from fhir_server.store.mongodb.groups import chosen
from fhir_server.store.mongodb.keys import MongoKeys, wrapped_key
from fhir_server.store.mongodb.mongo import Document, Filter, Query
from fhir_server.store.mongodb.notes import MongoNotes
from fhir_server.store.mongodb.pages import row_of, rows, rows_between
from fhir_server.store.mongodb.reads import Reads, numbers, opened
from fhir_server.store.mongodb.shelf import MongoShelf
from fhir_server.store.protocol import AuditRow, Changes, SealedVersion, Selection, WrappedKey


class MongoSnapshot:
    """See ``store.protocol.Snapshot``."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    @property
    def reads(self) -> Reads:
        """Where it looks."""
        return self._reads

    @property
    def keys(self) -> MongoKeys:
        """See ``Snapshot.keys``."""
        return MongoKeys(self._reads)

    @property
    def notes(self) -> MongoNotes:
        """See ``Snapshot.notes``."""
        return MongoNotes(self._reads)

    @property
    def shelf(self) -> MongoShelf:
        """See ``Snapshot.shelf``."""
        return MongoShelf(self._reads)

    async def epoch(self) -> int:
        """See ``Snapshot.epoch``."""
        return (await numbers(self._reads)).epoch

    async def find(self, row: bytes, version: int | None = None) -> SealedVersion | None:
        """See ``Snapshot.find``."""
        current = await self._current(row)
        if current is None:
            return None
        if version is None or version == current["version"]:
            return await opened(current, self._reads)
        where = {"_id": numbered(row, version)}
        found = await self._reads.find(Query(VERSION, where, limit=1))
        return await opened(found[0], self._reads) if found else None

    async def history(self, changes: Changes) -> Sequence[SealedVersion]:
        """See ``Snapshot.history``."""
        found = [each for query in changed(changes) for each in await self._reads.find(query)]
        found.sort(key=newest_first, reverse=True)
        return [await opened(each, self._reads) for each in found[: changes.limit or None]]

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """See ``Snapshot.select``."""
        if selection.rows is not None and not selection.rows:
            return []
        found = await chosen(selection, self._reads.find)
        return [await opened(each, self._reads) for each in found]

    async def key(self, *, id_: bytes = b"", owner: bytes = b"") -> WrappedKey | None:
        """See ``Snapshot.key``."""
        where: Filter = {"_id": id_} if id_ else {"owner": owner}
        found = await self._reads.find(Query(KEY, where, sort=(("k", -1),), limit=1))
        return wrapped_key(found[0]) if found else None

    async def audit(
        self, *, start: int = 0, stop: int = 0, rid: int | None = None
    ) -> Sequence[AuditRow]:
        """See ``Snapshot.audit``."""
        if rid is not None:
            return [row for row in rows(await self._reads.find(row_of(rid))) if row.rid == rid]
        found = await self._reads.find(rows_between(start, stop))
        return [row for row in rows(found) if start <= row.n < stop]

    async def _current(self, row: bytes) -> Document | None:
        found = await self._reads.find(Query(RECORD, {"_id": row}, limit=1))
        return found[0] if found else None
