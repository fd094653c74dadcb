"""One MongoDB database with all that servers keep, on however many machines they run."""

from fhir_server.errors import ConsentryError, SettingsError
from fhir_server.store.database import ALL_TOKENS, Database
from fhir_server.store.mongodb.chunks import CHUNK_INDEXES, MongoChunkItems
from fhir_server.store.mongodb.documents import INDEXES, KEY, META, RECORD
from fhir_server.store.mongodb.groups import EVENT, GROUP_INDEXES
from fhir_server.store.mongodb.items import (
    ITEM_INDEXES,
    SECRET,
    MongoEventIndex,
    MongoGrantItems,
    MongoJournal,
    MongoLeaves,
    MongoNews,
    MongoRegisterItems,
    MongoReindexJournal,
    MongoSecretItems,
)
from fhir_server.store.mongodb.leases import MongoLeases
from fhir_server.store.mongodb.mongo import Filter, Mongo, Query
from fhir_server.store.mongodb.pages import PAGE, PAGE_INDEXES, pages
from fhir_server.store.mongodb.store import MongoStore
from fhir_server.store.mongodb.tiles import MongoTiles
from fhir_server.store.mongodb.turn import Turn
from fhir_server.store.protocol import AuditRow
from fhir_server.store.shelf import UNPROVED

SCHEMA_VERSION = 5  # stands for the documents, and for what tokens are made of
# 1 had no groups (``groups.py``); 1 and 2 had other tokens of records; 1 to 3 left nothing of destroyed keys;
# 1 to 4 had a document for each audit row.
_KNOWN = (1, 2, 3, 4, SCHEMA_VERSION)
_TOKENS = 3  # since then they have been the same
_PROOFS = 4  # since then they are left
_ROW = "audit"  # where audit rows lay before there were pages
_ROWS = 1024  # are moved at once
_SCHEMA = "schema"


async def open_mongo(url: str, *, create: bool = True) -> Database:
    """Open the database that the url names, or make it.

    Raises:
        SettingsError: It does not answer, has no transactions, is another program's or a newer one's, or is not there
            although ``create`` is not asked for.
    """
    mongo = Mongo(url)
    try:
        await mongo.require_transactions()
        await _require_known(mongo, create=create)
        return await _opened(mongo)
    except SettingsError:
        mongo.close()
        raise
    except ConsentryError as error:
        mongo.close()
        raise SettingsError(f"the MongoDB in store cannot be used: {error}") from error


async def _opened(mongo: Mongo) -> Database:
    for collection, indexes in {
        **INDEXES,
        **ITEM_INDEXES,
        **CHUNK_INDEXES,
        **GROUP_INDEXES,
        **PAGE_INDEXES,
    }.items():
        await mongo.index(collection, indexes)
    turn = Turn(mongo)
    await turn.prepare()
    await _bring_up(mongo)
    return Database(
        store=MongoStore(mongo, turn),
        grants=MongoGrantItems(mongo),
        register=MongoRegisterItems(mongo),
        secrets=MongoSecretItems(mongo),
        leaves=MongoLeaves(mongo),
        tiles=MongoTiles(mongo),
        anchors=MongoJournal(mongo),
        reindex=MongoReindexJournal(mongo),
        chunks=MongoChunkItems(mongo),
        leases=MongoLeases(mongo),
        fresh=await mongo.one(SECRET, {}) is None,
        events=MongoEventIndex(),
        news=MongoNews(mongo),
    )


async def _bring_up(mongo: Mongo) -> None:
    """Leave marks of what the server has to make when it starts; a process that dies here does all of it again.

    Tokens of another meaning are taken away (``interactions/reindex/anew.py``); those of AuditEvents have always been the
    same.  Keys that were destroyed want a proof of that (``interactions/erasing/erasures.py``).  Audit rows are gathered in
    pages here.
    """
    version = {"version": SCHEMA_VERSION}
    await mongo.insert(META, {"_id": _SCHEMA, **version})
    if await mongo.one(META, _older_than(_TOKENS)) is not None:
        await MongoReindexJournal(mongo).save(ALL_TOKENS, b"")
        await mongo.change_all(RECORD, {"type": {"$ne": EVENT}}, {"$set": {"tokens": []}})
    older = await mongo.one(META, _older_than(_PROOFS)) is not None
    if older and await mongo.one(KEY, {"wrapped": b""}) is not None:
        await mongo.replace(META, {"_id": UNPROVED, "content": b""})
    if await mongo.one(META, _older_than(SCHEMA_VERSION)) is not None:
        await _gather_rows(mongo)
    await mongo.change(META, _older_than(SCHEMA_VERSION), {"$set": version})


async def _gather_rows(mongo: Mongo) -> None:
    """Make pages of audit rows that have a document each.

    Begun again, or by two at once, it makes the same; a page that is there may have been changed since, and stays.
    """
    n = 0
    while found := await mongo.find(Query(_ROW, {"n": {"$gte": n}}, sort=(("n", 1),), limit=_ROWS)):
        each = (AuditRow(at["n"], at["_id"], at["commitment"], at["opening"]) for at in found)
        for page in pages(each):
            await mongo.insert(PAGE, page)
        n = found[-1]["n"] + 1
    await mongo.drop(_ROW)


def _older_than(version: int) -> Filter:
    return {"_id": _SCHEMA, "version": {"$lt": version}}


async def _require_known(mongo: Mongo, *, create: bool) -> None:
    """Refuse what this program must not touch; nothing is changed by asking."""
    found = await mongo.one(META, {"_id": _SCHEMA})
    if found is not None and found.get("version") not in _KNOWN:
        raise SettingsError(
            f"the database has schema version {found.get('version')}, this program knows {SCHEMA_VERSION}: "
            "use the program that made it"
        )
    if found is None and not create:
        raise SettingsError(
            "no database of this program in store: start 'consentry serve' on it first"
        )
    if found is None and await mongo.holds_anything():
        raise SettingsError("the database in store is not empty, and another program made it")
