"""What happens to a database in MongoDB when a program opens it, and to transactions that meet others'."""

from __future__ import annotations

import pytest

from fhir_server.errors import SettingsError
from fhir_server.store.database import Database
from fhir_server.store.mongodb.database import open_mongo
from fhir_server.store.mongodb.documents import META
from fhir_server.store.mongodb.mongo import Mongo, ReplaceOne, Session, TransientError
from fhir_server.store.mongodb.pages import PAGE
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


@pytest.mark.parametrize("began", [False, True])
async def test_audit_rows_with_a_document_each_are_gathered_in_pages(
    url: str, monkeypatch: pytest.MonkeyPatch, *, began: bool
) -> None:
    monkeypatch.setattr("fhir_server.store.mongodb.database._ROWS", 100)
    database = await open_mongo(url)
    await database.close()
    mongo = Mongo(url)
    numbers = [*range(150), *range(151, 270)]  # somebody has taken one away
    for n in numbers:
        row = {"_id": n + 7, "n": n, "commitment": n.to_bytes(32, "big"), "opening": b"o%d" % n}
        await mongo.insert("audit", row)
    await mongo.change(META, {"_id": "schema"}, {"$set": {"version": 4}})
    await mongo.change("turn", {"_id": "units"}, {"$set": {"n": 270, "rid": 300}})
    if began:  # by a process that died
        rows = [
            {"rid": n + 7, "commitment": n.to_bytes(32, "big"), "opening": b""} for n in range(64)
        ]
        await mongo.insert(PAGE, {"_id": 7, "n": 0, "rows": rows})
    database = await open_mongo(url)
    rid = await _event(database, "next")
    async with database.store.reading() as snapshot:
        found = await snapshot.audit(start=0, stop=999)
        (last,) = await snapshot.audit(rid=rid)
        (one,) = await snapshot.audit(rid=151 + 7)
    assert [row.n for row in found] == [*numbers, 270]
    assert all(row.commitment == row.n.to_bytes(32, "big") for row in found[:-1])
    assert (one.n, one.opening, last.n) == (151, b"o151", 270)
    assert found[63].opening == (b"" if began else b"o63")
    assert await mongo.count("audit", {}) == 0
    await database.close()
    mongo.close()


async def _event(database: Database, name: str) -> int:
    async with database.store.writing() as unit:
        rid = await unit.put(version(name, type_="AuditEvent"), [], [])
        await unit.append_audit(rid, b"c" * 32, b"o")
    return rid
