"""Records where they lie, in MongoDB: what lies behind ``Shelf``."""

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence

from fhir_server.store.mongodb.chunks import ATTACHED, DOCUMENT
from fhir_server.store.mongodb.documents import (
    PART,
    RECORD,
    VERSION,
    numbered,
    part_ids,
    parts,
    seal_of,
)
from fhir_server.store.mongodb.groups import EVENT, GROUP, empty, groups_of, without
from fhir_server.store.mongodb.mongo import (
    DeleteMany,
    DeleteOne,
    Document,
    InsertOne,
    Operation,
    Query,
    ReplaceOne,
    UpdateOne,
)
from fhir_server.store.mongodb.pages import PAGE, reopened
from fhir_server.store.mongodb.reads import Reads, Writes, numbers, opened
from fhir_server.store.shelf import SealedVersion, Stretch

_Each = tuple[str, Operation]
_BURIED: Document = {"live": False, "patients": b"", "wraps": b"", "parts": 0}


class MongoShelf:
    """See ``store.shelf.Shelf``."""

    def __init__(self, reads: Reads, writes: Writes | None = None) -> None:
        self._reads = reads
        self._writes = writes

    async def last(self) -> int:
        """See ``Shelf.last``."""
        if self._writes is not None:
            return self._writes.pending.counters.rid - 1
        return (await numbers(self._reads)).rid - 1

    async def walk(self, stretch: Stretch) -> Sequence[SealedVersion]:
        """See ``Shelf.walk``."""
        within: Document = {"rid": {"$gt": stretch.low, "$lt": stretch.high + 1}}
        where = {**within, "shared": True} if stretch.shared else within
        if not stretch.shared and not stretch.everything:
            where = {**within, "key_id": {"$in": list(stretch.keys)}}
        if stretch.deleted:
            gone = await self._found(RECORD, {**within, "live": False}, fields=(("rid", 1),))
            where = {**where, "rid": {"$in": [each["rid"] for each in gone]}}
        found = [*await self._found(RECORD, where), *await self._found(VERSION, where)]
        found.sort(key=lambda each: (each["rid"], each["version"]))
        return [await opened(each, self._reads) for each in found]

    async def replace(self, version: SealedVersion, opening: bytes = b"") -> None:
        """See ``Shelf.replace``."""
        change = {"$set": seal_of(version)}
        current = {"_id": version.row, "version": version.version}
        operations: list[_Each] = [
            (PART, ReplaceOne({"_id": part["_id"]}, part, upsert=True)) for part in parts(version)
        ]
        operations.append((RECORD, UpdateOne(current, change)))
        former = {"_id": numbered(version.row, version.version)}
        operations.append((VERSION, UpdateOne(former, change)))
        if opening:
            operations.append((PAGE, reopened(version.rid, opening)))
        self._write(operations)

    async def bury(self, proofs: Mapping[int, bytes]) -> None:
        """See ``Shelf.bury``.  Documents can not be renamed: those under the row key go, others under chance come."""
        where: Document = {"rid": {"$in": list(proofs)}}
        rows = {rid: secrets.token_bytes(16) for rid in proofs}
        operations: list[_Each] = []
        records = await self._found(RECORD, where)
        for each in records:
            changed = {"_id": rows[each["rid"]], "tokens": []}
            operations += _buried(RECORD, each, proofs, changed)
        for each in await self._found(VERSION, where):
            row = numbered(rows[each["rid"]], each["version"])
            operations += _buried(VERSION, each, proofs, {"_id": row})
        for each in await self._found(ATTACHED, where):
            operations.append((ATTACHED, DeleteOne({"_id": each["_id"]})))
            touched = {"$set": {"touched": 0}}
            operations.append((DOCUMENT, UpdateOne({"_id": each["_id"]}, touched)))
        operations += [(PAGE, reopened(rid, b"")) for rid in proofs]
        self._write(operations)
        await self._forget(groups_of(records))

    async def unindex(self, type_: str, postings: Mapping[bytes, Sequence[int]]) -> None:
        """See ``Shelf.unindex``."""
        tokens: dict[int, list[bytes]] = {}
        for token, rids in postings.items():
            for rid in rids:
                tokens.setdefault(rid, []).append(token)
        if type_ == EVENT:
            await self._unindex_events(tokens)
            return
        self._write(
            [
                (RECORD, UpdateOne({"rid": rid, "type": type_}, {"$pullAll": {"tokens": each}}))
                for rid, each in tokens.items()
            ]
        )

    async def _unindex_events(self, tokens: Mapping[int, Sequence[bytes]]) -> None:
        await self._sent()
        left, groups = await without(tokens, self._reads.find)
        changes = [({"rid": rid}, {"$set": {"tokens": own}}) for rid, own in left.items()]
        self._write([(RECORD, UpdateOne(where, change)) for where, change in changes])
        await self._forget(groups)

    async def _forget(self, groups: Collection[bytes]) -> None:
        """Forget those that no event has any more."""
        if groups:
            await self._sent()
            for name in await empty(groups, self._reads.find):
                self._write([(GROUP, DeleteOne({"_id": name}))])

    async def _sent(self) -> None:
        if self._writes is not None:
            await self._writes.send()

    async def _found(
        self, collection: str, where: Document, fields: tuple[tuple[str, int], ...] = ()
    ) -> list[Document]:
        await self._sent()
        return await self._reads.find(Query(collection, where, fields=fields))

    def _write(self, operations: list[_Each]) -> None:
        assert self._writes is not None, "a snapshot changes nothing"
        self._writes.pending.other(operations, blurs=True)


def _buried(
    collection: str, found: Document, proofs: Mapping[int, bytes], changed: Document
) -> Iterator[_Each]:
    if found["parts"]:
        yield PART, DeleteMany({"_id": {"$in": part_ids(found)}})
    yield collection, DeleteOne({"_id": found["_id"]})
    kept = {name: value for name, value in found.items() if name != "shared"}
    proof = {"sealed": proofs[found["rid"]]}
    yield collection, InsertOne({**kept, **_BURIED, **proof, **changed})
