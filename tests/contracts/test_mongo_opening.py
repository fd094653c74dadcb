"""What happens to a database in MongoDB when a program opens it, and to transactions that meet others'."""

from __future__ import annotations

import pytest

from fhir_server.errors import SettingsError
from fhir_server.store.mongodb.database import open_mongo
from fhir_server.store.mongodb.documents import META
from fhir_server.store.mongodb.mongo import Mongo, ReplaceOne, Session, TransientError
from fhir_server.store.protocol import Selection, WrappedKey
from fhir_server.store.shelf import UNPROVED

from .. import mongo_server
from .stores import token, version

pytestmark = mongo_server.needs_mongo


async def test_a_database_of_another_program_or_a_newer_version_is_refused(url: str) -> None:
    mongo = Mongo(url)
    await mongo.insert("something", {"_id": 1})
    with pytest.raises(SettingsError, match="another program"):
        await open_mongo(url)
    await mongo.insert(META, {"_id": "schema", "version": 99})
    with pytest.raises(SettingsError, match="schema version 99"):
        await open_mongo(url)
    mongo.close()


@pytest.mark.parametrize("older", [1, 2])
async def test_tokens_of_another_meaning_are_taken_away_and_marked_as_missing(
    url: str, older: int
) -> None:
    database = await open_mongo(url)
    async with database.store.writing() as unit:
        rid = await unit.put(version("a"), [token("t")], [])
        event = await unit.put(version("e", type_="AuditEvent"), [token("t")], [])
    await database.close()
    mongo = Mongo(url)
    await mongo.change(META, {"_id": "schema"}, {"$set": {"version": older}})
    for left in ([], [rid]):  # the second time nothing is taken away
        database = await open_mongo(url)
        async with database.store.reading(complete=True) as snapshot:
            events = await snapshot.select(Selection("AuditEvent", ((token("t"),),)))
            others = await snapshot.select(Selection("Observation", ((token("t"),),)))
        assert [v.rid for v in events] == [event]
        assert [v.rid for v in others] == left
        assert await database.reindex.load() == {"all": b""}
        async with database.store.writing() as unit:
            await unit.index("Observation", rid, [token("t")])
        await database.close()
    mongo.close()


@pytest.mark.parametrize(
    ("older", "wrapped", "marked"),
    [(1, b"", True), (3, b"", True), (3, b"wrapped", False), (4, b"", False)],
)
async def test_keys_that_a_former_program_left_empty_are_marked_as_unproved(
    url: str, older: int, wrapped: bytes, marked: bool
) -> None:
    database = await open_mongo(url)
    async with database.store.writing() as unit:
        rid = await unit.put(version("a"), [token("t")], [])
        await unit.add_key(WrappedKey(b"i" * 16, b"o" * 16, wrapped))
    await database.close()
    mongo = Mongo(url)
    await mongo.change(META, {"_id": "schema"}, {"$set": {"version": older}})
    mongo.close()
    database = await open_mongo(url)
    async with database.store.reading() as snapshot:
        assert (await snapshot.notes.find(UNPROVED) == b"") is marked
        found = await snapshot.select(Selection("Observation", ((token("t"),),)))
    assert [v.rid for v in found] == ([] if older < 3 else [rid])
    await database.close()


@pytest.mark.parametrize(("meets", "done"), [(0, True), (6, True), (100, False)])
async def test_what_meets_another_transaction_is_done_again_a_few_times(
    url: str, meets: int, *, done: bool
) -> None:
    mongo, begun = Mongo(url), []

    async def writes(session: Session) -> None:
        begun.append(session)
        await session.write("thing", [ReplaceOne({"_id": 1}, {"_id": 1}, upsert=True)])
        if len(begun) <= meets:
            raise TransientError("it met another")

    if done:
        await mongo.together(writes)
        assert len(begun) == meets + 1
    else:
        with pytest.raises(TransientError):
            await mongo.together(writes)
    assert await mongo.count("thing", {}) == int(done)
    mongo.close()


async def test_a_command_makes_no_database(url: str) -> None:
    with pytest.raises(SettingsError, match="consentry serve"):
        await open_mongo(url, create=False)
    mongo = Mongo(url)
    assert not await mongo.holds_anything()
    mongo.close()
