"""One unit of work in MongoDB: a snapshot that sees its own writes, and keeps them in memory until they are asked for."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fhir_server.store.mongodb.chunks import ATTACHED, require_staged
from fhir_server.store.mongodb.documents import KEY, RECORD
from fhir_server.store.mongodb.groups import spelled_out
from fhir_server.store.mongodb.keys import MongoKeys, wrapped_key
from fhir_server.store.mongodb.mongo import Document, DuplicateError, InsertOne, Query
from fhir_server.store.mongodb.notes import MongoUnitNotes
from fhir_server.store.mongodb.reads import opened
from fhir_server.store.mongodb.records import MongoSnapshot
from fhir_server.store.mongodb.shelf import MongoShelf
from fhir_server.store.mongodb.units import MongoUnits
from fhir_server.store.protocol import Changes, SealedVersion, Selection, WrappedKey

_BREATH = 16  # records of a large unit, written without asking the database anything


class MongoUnit(MongoSnapshot):
    """See ``store.protocol.Unit``."""

    def __init__(self, units: MongoUnits) -> None:
        super().__init__(units)
        self._units = units
        self._puts = 0
        self._read: dict[bytes, Document | None] = {}
        self._read_at = units.pending.blurred

    @property
    def keys(self) -> MongoKeys:
        """See ``Snapshot.keys``."""
        return MongoKeys(self._units, self._units)

    @property
    def notes(self) -> MongoUnitNotes:
        """See ``Snapshot.notes``."""
        return MongoUnitNotes(self._units)

    @property
    def shelf(self) -> MongoShelf:
        """See ``Snapshot.shelf``."""
        return MongoShelf(self._units, self._units)

    async def epoch(self) -> int:
        """See ``Snapshot.epoch``: it lies with the numbers of the turn, so that nobody has to be asked."""
        return self._units.pending.counters.epoch

    async def history(self, changes: Changes) -> Sequence[SealedVersion]:
        """See ``Snapshot.history``."""
        if self._units.pending.unsent_to(RECORD):
            await self._units.send()
        return await super().history(changes)

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """See ``Snapshot.select``; sees what this batch has written."""
        pending = self._units.pending
        if pending.hides:
            await self._units.send()
        if selection.rows is not None and not selection.rows:
            return []
        more = selection.limit + pending.overlay.count(selection.type_)
        found = await self._units.selected(replace(selection, limit=more))
        chosen = pending.overlay.over(found, selection)
        return [await opened(each, self._units) for each in chosen]

    async def key(self, *, id_: bytes = b"", owner: bytes = b"") -> WrappedKey | None:
        """See ``Snapshot.key``."""
        if self._units.pending.hides_keys:
            await self._units.send()
        known = self._units.pending.key(id_, owner)
        if known is not None:
            return known
        where = {"_id": id_} if id_ else {"owner": owner}
        found = await self._units.look(Query(KEY, where, sort=(("k", -1),), limit=1))
        return wrapped_key(found[0]) if found else None

    async def put(self, version: SealedVersion, add: Sequence[bytes], drop: Sequence[bytes]) -> int:
        """See ``Unit.put``.  Now and then others may do something.

        Who waits for the turn must see that this process lives, and what is being sent has to go on.
        """
        self._puts += 1
        if self._units.send_soon() or self._puts % _BREATH == 0:
            await asyncio.sleep(0)
        pending = self._units.pending
        if not version.rid:
            made = version._replace(rid=pending.counters.rid)
            pending.put(made, add, None)
            return made.rid
        previous = await self._current(version.row)
        if previous is None:
            raise DuplicateError("no record has this row, and another one this number")
        (had,) = await spelled_out([previous], self._units.look)
        pending.put(version, sorted(had.difference(drop).union(add)), previous)
        return version.rid

    async def add_key(self, key: WrappedKey) -> None:
        """See ``Unit.add_key``."""
        self._units.pending.add_key(key)

    async def append_audit(self, rid: int, commitment: bytes, opening: bytes) -> int:
        """See ``Unit.append_audit``."""
        return self._units.pending.append_audit(rid, commitment, opening)

    async def index(self, type_: str, rid: int, tokens: Sequence[bytes]) -> None:  # noqa: ARG002  tokens name their type
        """See ``Unit.index``."""
        self._units.pending.index(rid, tokens)

    async def attach(self, document: bytes, rid: int, chunks: int) -> None:
        """See ``Unit.attach``."""
        await require_staged(self._units.mongo, document, chunks)
        attached = InsertOne({"_id": document, "rid": rid})
        self._units.pending.other([(ATTACHED, attached)])

    async def _current(self, row: bytes) -> Document | None:
        """The record as this batch has made it, or as it is in the database; that is asked once in a unit."""
        pending = self._units.pending
        known = pending.current(row)
        if known is not None:
            return known
        if pending.hides:
            await self._units.send()
        if self._read_at != pending.blurred:
            self._read, self._read_at = {}, pending.blurred
        if row not in self._read:
            self._read[row] = await super()._current(row)
        return self._read[row]
