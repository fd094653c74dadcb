"""What is kept in MongoDB beside the records: grants, secrets, leaves, the journals of the anchorer and of reindexing.

``grant``: ``_id`` is kind and key, ``until`` the expiry in milliseconds, ``forget`` the same as a date, after which the
server deletes it.  ``register``: ``_id`` is kind and key.  ``secret`` and ``meta``: ``_id`` is the name.
``anchor``: ``_id`` is the size of the tree.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from fhir_server.store.mongodb.documents import META, RECORD
from fhir_server.store.mongodb.mongo import (
    ASCENDING,
    DeleteOne,
    Document,
    IndexModel,
    Mongo,
    Query,
    ReplaceOne,
    Session,
)
from fhir_server.store.mongodb.pages import commitments, commitments_between
from fhir_server.store.mongodb.reads import numbers
from smart_auth.errors import AlreadyThereError, ChangedError
from smart_auth.store import Entry

GRANT, REGISTER, SECRET, ANCHOR = "grant", "register", "secret", "anchor"
ITEM_INDEXES = {
    GRANT: (IndexModel([("forget", ASCENDING)], expireAfterSeconds=0),),
    REGISTER: (IndexModel([("kind", ASCENDING), ("owner", ASCENDING)]),),
}
_PENDING = "anchor-pending"
_JOB = "reindex|"
_NEWS = "news"


class MongoGrantItems:
    """A ``store.database.GrantItems``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def put(self, kind: str, key: str, sealed: bytes, expires: int, now: int) -> None:  # noqa: ARG002  the server forgets
        """See ``GrantItems.put``."""
        await self._mongo.replace(GRANT, _grant(kind, key, sealed, expires))

    async def add(self, kind: str, key: str, sealed: bytes, expires: int, now: int) -> None:
        """See ``GrantItems.add``."""
        made = _grant(kind, key, sealed, expires)
        if await self._mongo.insert(GRANT, made):
            return
        change = {"$set": {name: value for name, value in made.items() if name != "_id"}}
        where = {"_id": made["_id"], "until": {"$lte": now}}
        if await self._mongo.change(GRANT, where, change) is None:
            raise AlreadyThereError("it is there already")

    async def find(self, kind: str, key: str, now: int) -> bytes | None:
        """See ``GrantItems.find``."""
        return _sealed(await self._mongo.one(GRANT, _where(kind, key, now)))

    async def take(self, kind: str, key: str, now: int) -> bytes | None:
        """See ``GrantItems.take``."""
        return _sealed(await self._mongo.take(GRANT, _where(kind, key, now)))

    async def drop(self, kind: str, key: str) -> None:
        """See ``GrantItems.drop``."""
        await self._mongo.take(GRANT, {"_id": f"{kind}|{key}"})


class MongoRegisterItems:
    """A ``store.database.RegisterItems``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def find(self, kind: str, key: str) -> Entry | None:
        """See ``RegisterItems.find``."""
        found = await self._mongo.one(REGISTER, {"_id": f"{kind}|{key}"})
        return _entry(found) if found else None

    async def of(self, kind: str, owner: str | None = None) -> Sequence[Entry]:
        """See ``RegisterItems.of``."""
        where = {"kind": kind} if owner is None else {"kind": kind, "owner": owner}
        found = await self._mongo.find(Query(REGISTER, where, sort=(("_id", 1),)))
        return [_entry(each) for each in found]

    async def save(self, kind: str, entry: Entry) -> None:
        """See ``RegisterItems.save``."""
        name = f"{kind}|{entry.key}"
        made = {"kind": kind, "key": entry.key, "owner": entry.owner, "sealed": entry.value}
        if entry.version:
            change = {"$set": made, "$inc": {"version": 1}}
            where = {"_id": name, "version": entry.version}
            done = await self._mongo.change(REGISTER, where, change) is not None
        else:
            done = await self._mongo.insert(REGISTER, {"_id": name, "version": 1, **made})
        if not done:
            raise ChangedError("another was faster")

    async def drop(self, kind: str, key: str) -> None:
        """See ``RegisterItems.drop``."""
        await self._mongo.take(REGISTER, {"_id": f"{kind}|{key}"})


class MongoSecretItems:
    """A ``store.database.SecretItems``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def find(self, name: str) -> bytes | None:
        """See ``SecretItems.find``."""
        found = await self._mongo.one(SECRET, {"_id": name})
        return found["wrapped"] if found else None

    async def add(self, name: str, wrapped: bytes) -> bytes:
        """See ``SecretItems.add``."""
        if await self._mongo.insert(SECRET, {"_id": name, "wrapped": wrapped}):
            return wrapped
        found = await self.find(name)
        assert found is not None
        return found

    async def names(self) -> Sequence[str]:
        """See ``SecretItems.names``."""
        return sorted(each["_id"] for each in await self._mongo.find(Query(SECRET, {})))

    async def replace(self, name: str, former: bytes, wrapped: bytes) -> None:
        """See ``SecretItems.replace``."""
        where = {"_id": name, "wrapped": former}
        await self._mongo.change(SECRET, where, {"$set": {"wrapped": wrapped}})


class MongoLeaves:
    """An ``anchoring.log.log.LeafSource``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def size(self) -> int:
        """See ``LeafSource.size``."""
        return (await numbers(self._mongo)).n

    async def commitments(self, start: int, stop: int) -> list[bytes]:
        """See ``LeafSource.commitments``."""
        found = await self._mongo.find(commitments_between(start, stop))
        return [commitment for n, commitment in commitments(found) if start <= n < stop]


class MongoJournal:
    """A ``store.database.Anchors``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def load_pending(self) -> bytes | None:
        """See ``AnchorJournal.load_pending``."""
        found = await self._mongo.one(META, {"_id": _PENDING})
        return found["content"] if found else None

    async def save_pending(self, record: bytes) -> None:
        """See ``AnchorJournal.save_pending``."""
        await self._mongo.replace(META, {"_id": _PENDING, "content": record})

    async def save_anchor(self, size: int, record: bytes) -> None:
        """See ``AnchorJournal.save_anchor``."""

        async def both(session: Session) -> None:
            anchor = {"_id": size, "content": record}
            await session.write(ANCHOR, [ReplaceOne({"_id": size}, anchor, upsert=True)])
            await session.write(META, [DeleteOne({"_id": _PENDING})])

        await self._mongo.together(both)

    async def last_anchor(self) -> bytes | None:
        """See ``AnchorJournal.last_anchor``."""
        return await self._first({}, -1)

    async def anchor_covering(self, index: int) -> bytes | None:
        """See ``AnchorJournal.anchor_covering``."""
        return await self._first({"_id": {"$gt": index}}, 1)

    async def all_anchors(self) -> list[bytes]:
        """See ``Anchors.all_anchors``."""
        return [
            each["content"]
            for each in await self._mongo.find(Query(ANCHOR, {}, sort=(("_id", 1),)))
        ]

    async def _first(self, where: Document, direction: int) -> bytes | None:
        query = Query(ANCHOR, where, sort=(("_id", direction),), limit=1)
        found = await self._mongo.find(query)
        return found[0]["content"] if found else None


class MongoReindexJournal:
    """A ``store.database.ReindexJournal``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def load(self) -> Mapping[str, bytes]:
        """See ``ReindexJournal.load``."""
        found = await self._mongo.find(Query(META, {"_id": {"$regex": f"^{re.escape(_JOB)}"}}))
        return {each["_id"].removeprefix(_JOB): each["content"] for each in found}

    async def save(self, name: str, content: bytes) -> None:
        """See ``ReindexJournal.save``."""
        await self._mongo.replace(META, {"_id": _JOB + name, "content": content})

    async def drop(self, name: str) -> None:
        """See ``ReindexJournal.drop``."""
        await self._mongo.take(META, {"_id": _JOB + name})

    async def extent(self, type_: str) -> tuple[int, int]:
        """See ``ReindexJournal.extent``."""
        where = {"type": type_, "live": True}
        query = Query(RECORD, where, sort=(("rid", -1),), fields=(("rid", 1),), limit=1)
        newest = await self._mongo.find(query)
        return await self._mongo.count(RECORD, where), newest[0]["rid"] if newest else 0


def _grant(kind: str, key: str, sealed: bytes, expires: int) -> Document:
    forget = datetime.fromtimestamp(expires / 1000, UTC)
    return {"_id": f"{kind}|{key}", "sealed": sealed, "until": expires, "forget": forget}


def _entry(found: Document) -> Entry:
    return Entry(found["key"], found["owner"], found["version"], found["sealed"])


def _where(kind: str, key: str, now: int) -> Document:
    return {"_id": f"{kind}|{key}", "until": {"$gt": now}}


def _sealed(found: Document | None) -> bytes | None:
    return found["sealed"] if found else None


class MongoNews:
    """A ``store.database.News``: a count in ``meta``."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def count(self) -> int:
        """See ``News.count``."""
        found = await self._mongo.one(META, {"_id": _NEWS})
        return int(found["count"]) if found else 0

    async def tell(self) -> None:
        """See ``News.tell``."""
        await self._mongo.change(META, {"_id": _NEWS}, {"$inc": {"count": 1}}, upsert=True)


class MongoEventIndex:
    """A ``store.database.EventIndex``: tokens are written with their events, so none is ever missing."""

    async def adopt(self) -> int | None:
        """See ``EventIndex.adopt``."""
        return None

    async def adopted(self) -> None:
        """See ``EventIndex.adopted``."""
