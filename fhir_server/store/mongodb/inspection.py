"""What is stored in MongoDB, looked at in one snapshot: what lies behind ``Inspection``.

The index of AuditEvents never runs behind.
"""

from collections.abc import Mapping, Sequence

from fhir_server.store.inspection import Kept
from fhir_server.store.mongodb.documents import RECORD, VERSION
from fhir_server.store.mongodb.groups import spelled_out
from fhir_server.store.mongodb.mongo import Document, Query
from fhir_server.store.mongodb.reads import Reads, numbers, opened

_WITHOUT_TOKENS = (("tokens", 0),)
_TOKENS = (("rid", 1), ("tokens", 1))


class MongoInspection:
    """See ``store.inspection.Inspection``."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def records(self, low: int, high: int) -> Sequence[Kept]:
        """See ``Inspection.records``."""
        within = _within(low, high)
        order = (("rid", 1), ("version", 1))
        former: dict[int, list[Document]] = {}
        for each in await self._reads.find(Query(VERSION, within, sort=order)):
            former.setdefault(each["rid"], []).append(each)
        current = await self._reads.find(Query(RECORD, within, (), order, _WITHOUT_TOKENS))
        return [await self._kept(each, former.get(each["rid"], [])) for each in current]

    async def missing(self, type_: str, tokens: Mapping[int, Sequence[bytes]]) -> Mapping[int, int]:
        """See ``Inspection.missing``."""
        where = {"rid": {"$in": list(tokens)}, "type": type_}
        found = await self._reads.find(Query(RECORD, where, fields=_TOKENS))
        held = dict(zip((each["rid"] for each in found), await self._tokens(found), strict=True))
        missing = {rid: len(set(own) - held.get(rid, frozenset())) for rid, own in tokens.items()}
        return {rid: count for rid, count in missing.items() if count}

    async def counts(self, low: int, high: int) -> Mapping[int, int]:
        """See ``Inspection.counts``."""
        found = await self._reads.find(Query(RECORD, _within(low, high), fields=_TOKENS))
        tokens = await self._tokens(found)
        return {each["rid"]: len(own) for each, own in zip(found, tokens, strict=True)}

    async def strays(self) -> tuple[int, int]:
        """See ``Inspection.strays``: neither groups without an event nor chunks are looked for."""
        return 0, 0

    async def indexed(self) -> int:
        """See ``Inspection.indexed``."""
        return (await numbers(self._reads)).n

    async def _tokens(self, found: Sequence[Document]) -> Sequence[frozenset[bytes]]:
        return await spelled_out(found, self._reads.find)

    async def _kept(self, current: Document, former: Sequence[Document]) -> Kept:
        versions = [await opened(each, self._reads) for each in (*former, current)]
        newest = versions[-1]
        about = (newest.version, newest.at, newest.deleted)
        return Kept(current["rid"], newest.row, current["type"], *about, tuple(versions))


def _within(low: int, high: int) -> Document:
    """Above ``low`` and up to ``high``; asked as "below one more" (see ``documents.py``)."""
    return {"rid": {"$gt": low, "$lt": high + 1}}
