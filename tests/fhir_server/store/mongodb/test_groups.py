"""Tokens that the AuditEvents of one commit share (``fhir_server/store/mongodb/groups.py``), and what lies where."""

# ruff: noqa: PT012  (whole units are the point here)

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from fhir_server.store.database import Database
from fhir_server.store.inspection import Inspection
from fhir_server.store.mongodb import groups as event_groups
from fhir_server.store.mongodb.database import SCHEMA_VERSION, open_mongo
from fhir_server.store.mongodb.groups import EVENT, GROUP, grouped
from fhir_server.store.opening import looking
from fhir_server.store.protocol import Selection, Unit
from tests import mongo_server
from tests.contracts.stores import StoppedError, token, version

SHARED = [token(f"s{n}") for n in range(9)]
needs_mongo = mongo_server.needs_mongo


@pytest.fixture
async def database(folder: Path) -> AsyncIterator[Database]:
    opened = await open_mongo(mongo_server.url(folder))
    yield opened
    await opened.close()


async def put(unit: Unit, name: str, tokens: list[bytes]) -> int:
    rid = await unit.put(version(name, type_=EVENT), tokens, [])
    await unit.append_audit(rid, name.encode().ljust(32), b"opening")
    return rid


async def events(database: Database, *names: str) -> list[int]:
    """Events of one unit that share nine tokens; each has one of its own, by its name."""
    async with database.store.writing() as unit:
        return [await put(unit, name, [*SHARED, token(name)]) for name in names]


async def selected(database: Database, *tokens: bytes) -> list[int]:
    async with database.store.reading(complete=True) as snapshot:
        chosen = Selection(EVENT, tuple((each,) for each in tokens))
        return [v.rid for v in await snapshot.select(chosen)]


@given(st.lists(st.sets(st.sampled_from([token(f"t{n}") for n in range(24)])), max_size=12))
def test_events_with_their_groups_have_the_tokens_that_they_had(tokens: list[set[bytes]]) -> None:
    before = [{"_id": bytes([at]), "tokens": sorted(each)} for at, each in enumerate(tokens)]
    after, groups = grouped(before)
    held = {group["_id"]: group["tokens"] for group in groups}
    for event, had in zip(after, tokens, strict=True):
        spelled = [t for name in event["tokens"] for t in held.get(name, [name])]
        assert sorted(spelled) == sorted(had)
    assert [event["_id"] for event in after] == [event["_id"] for event in before]
    entries = sum(len(each["tokens"]) for each in (*after, *groups))
    assert entries <= sum(map(len, tokens))
    assert before == [{"_id": bytes([at]), "tokens": sorted(e)} for at, e in enumerate(tokens)]


def test_an_event_that_is_alone_keeps_its_tokens() -> None:
    event = {"_id": b"e", "tokens": SHARED}
    assert grouped([]) == ([], [])
    assert grouped([event])[1] == []
    two, groups = grouped([event, {"_id": b"f", "tokens": SHARED[:2]}])
    assert groups == []  # two tokens are not worth a document
    assert set(two[1]["tokens"]) == set(SHARED[:2])


@needs_mongo
async def test_what_events_of_a_commit_share_lies_in_one_document(
    database: Database, folder: Path
) -> None:
    made = await events(database, *"abcdef")
    assert mongo_server.count(folder, GROUP) == 1
    with MongoClient[dict[str, list[bytes]]](mongo_server.url(folder)) as client:
        stored = client[urlsplit(mongo_server.url(folder)).path.strip("/")]
        sizes = [len(each["tokens"]) for each in stored["record"].find({"type": EVENT})]
        assert sizes == [2] * 6  # its own, and the group
        (group,) = stored[GROUP].find({})
    assert await selected(database, *SHARED[:3]) == made
    assert await selected(database, group["_id"]) == made  # 16 bytes, which no token ever has


@needs_mongo
async def test_a_group_goes_with_its_last_event(database: Database, folder: Path) -> None:
    first, second, third = await events(database, *"abc")

    async def erase(name: str, rid: int) -> None:
        async with database.store.writing() as unit:
            await unit.shelf.unindex(EVENT, {t: [rid] for t in (*SHARED, token(name))})
            await unit.shelf.bury({rid: b"proof"})

    await erase("a", first)
    assert await selected(database, SHARED[0]) == [second, third]
    await erase("b", second)
    assert mongo_server.count(folder, GROUP) == 1
    await erase("c", third)
    assert mongo_server.count(folder, GROUP) == 0
    assert await selected(database, SHARED[0]) == []


@needs_mongo
async def test_a_group_goes_also_if_nobody_can_tell_the_tokens_of_its_events(
    database: Database, folder: Path
) -> None:
    """What does not open is buried without: its tokens are not known."""
    made = await events(database, *"abc")
    async with database.store.writing() as unit:
        await unit.shelf.bury(dict.fromkeys(made, b"proof"))
    assert mongo_server.count(folder, GROUP) == 0


@needs_mongo
async def test_a_unit_that_fails_leaves_no_group(database: Database, folder: Path) -> None:
    with pytest.raises(StoppedError):
        async with database.store.writing() as unit:
            for name in "abcd":
                await put(unit, name, SHARED)
            assert len(await unit.audit(start=0, stop=9)) == 4  # the transaction has them
            raise StoppedError
    await events(database, "e")
    assert mongo_server.count(folder, GROUP) == 0


@needs_mongo
async def test_more_groups_than_a_question_holds_are_asked_for_in_several(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_groups, "_IN_QUESTION", 2)
    made = [rid for n in range(5) for rid in await events(database, f"a{n}", f"b{n}", f"c{n}")]
    assert await selected(database, SHARED[0], SHARED[1]) == made
    seen: list[int] = []
    for _ in range(8):
        async with database.store.reading(complete=True) as snapshot:
            after = (seen[-1], seen[-1]) if seen else None
            chosen = Selection(
                EVENT, ((SHARED[0],), (token("b3"), SHARED[2])), descending=True, limit=2, after=after
            )  # fmt: skip
            seen += [v.rid for v in await snapshot.select(chosen)]
    assert seen == made[::-1]


@needs_mongo
async def test_what_is_looked_at_for_a_check_has_the_tokens_of_its_groups(
    database: Database,
) -> None:
    one, two, three = await events(database, *"abc")
    async with looking(database) as look, look() as (_, inspection):
        assert await _counts(inspection, one, three) == {one: 10, two: 10, three: 10}
        asked = {one: [*SHARED, token("a")], two: [*SHARED, token("a"), token("z")]}
        assert await inspection.missing(EVENT, asked) == {two: 2}


async def _counts(inspection: Inspection, low: int, high: int) -> dict[int, int]:
    return dict(await inspection.counts(low - 1, high))


@needs_mongo
async def test_a_database_from_before_there_were_groups_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events have all of their tokens themselves; an older program does not open it any more."""
    url = mongo_server.url(folder)
    with monkeypatch.context() as before:
        before.setattr(event_groups, "_WORTH", 2**60)
        before.setattr("fhir_server.store.mongodb.database.SCHEMA_VERSION", 1)
        opened = await open_mongo(url)
        old = await events(opened, *"abc")
        await opened.close()
    assert mongo_server.count(folder, GROUP) == 0
    opened = await open_mongo(url)
    new = await events(opened, *"def")
    assert await selected(opened, SHARED[0]) == old + new
    assert await selected(opened, token("b")) == old[1:2]
    await opened.close()
    with MongoClient[dict[str, object]](url) as client:
        (schema,) = client[urlsplit(url).path.strip("/")]["meta"].find({"_id": "schema"})
        assert schema["version"] == SCHEMA_VERSION == 5
