"""New records are written by the commit: whoever looks for one before finds it as if it had been written at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.errors import StoreFullError
from fhir_server.store.protocol import Changes, SealedVersion, Selection
from fhir_server.store.sqlite.records import SqliteUnit
from fhir_server.store.sqlite.store import SqliteStore

TOKEN = b"t" * 12
TOKENS = [bytes([n]) * 12 for n in range(4)]
NAMES = "abcdefghijklmnop"
Kept = tuple[int, frozenset[bytes]]  # the newest version of a record, and its tokens
NONE: Kept = (0, frozenset())


class LostError(Exception):
    """A unit was taken back."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    yield made
    await made.close()


def row(name: str) -> bytes:
    return name.encode().ljust(16, b".")


def version(name: str, number: int = 1, rid: int = 0) -> SealedVersion:
    sealed = f"{name}/{number}".encode()
    return SealedVersion(rid, row(name), "Patient", number, number, False, b"k", b"", b"", sealed)


async def by_token(unit: SqliteUnit) -> list[int]:
    return [v.rid for v in await unit.select(Selection("Patient", ((TOKEN,),)))]


async def test_a_unit_that_only_writes_new_records_asks_the_database_nothing(
    store: SqliteStore,
) -> None:
    async with store.writing() as unit:
        await unit.put(version("a"), [TOKEN], [])
        await unit.append_audit(await unit.put(version("b"), [], []), b"c" * 32, b"opening")
        assert not unit.saved


async def test_a_unit_finds_what_it_has_just_written_in_every_way(store: SqliteStore) -> None:
    async with store.writing() as unit:
        rid = await unit.put(version("a"), [TOKEN], [])
        written = version("a", rid=rid)
        assert await unit.find(row("a")) == written
    async with store.writing() as unit:
        rid = await unit.put(version("b"), [], [])
        assert await unit.find(row("b"), 1) == version("b", rid=rid)
    async with store.writing() as unit:
        rid = await unit.put(version("c"), [], [])
        assert await unit.history(Changes(rid=rid)) == [version("c", rid=rid)]
    async with store.writing() as unit:
        rid = await unit.put(version("d"), [TOKEN], [])
        assert await by_token(unit) == [written.rid, rid]
    async with store.writing() as unit:
        rid = await unit.put(version("e"), [], [])
        assert await unit.shelf.last() == rid


async def test_a_record_may_be_changed_by_the_unit_that_has_made_it(store: SqliteStore) -> None:
    async with store.writing() as unit:
        rid = await unit.put(version("a"), [TOKEN], [])
        assert await unit.put(version("a", 2, rid), [], [TOKEN]) == rid
    async with store.reading() as snapshot:
        assert await snapshot.find(row("a")) == version("a", 2, rid)
        assert [v.version for v in await snapshot.history(Changes(rid=rid))] == [2, 1]
        assert await snapshot.select(Selection("Patient", ((TOKEN,),))) == []


async def test_a_unit_finds_what_a_unit_of_the_same_commit_has_written(store: SqliteStore) -> None:
    found: list[SealedVersion | None] = []

    async def first() -> None:
        async with store.writing() as unit:
            await unit.put(version("a"), [TOKEN], [])

    async def second() -> None:
        async with store.writing() as unit:
            found.append(await unit.find(row("a")))
            assert len(await by_token(unit)) == 1

    await asyncio.gather(first(), second())
    assert [v and v.sealed for v in found] == [b"a/1"]


async def test_a_unit_that_is_taken_back_leaves_the_records_of_the_units_before_it(
    store: SqliteStore,
) -> None:
    async def kept() -> None:
        async with store.writing() as unit:
            await unit.put(version("kept"), [TOKEN], [])

    async def lost() -> None:
        async with store.writing() as unit:
            await unit.put(version("lost"), [TOKEN], [])
            assert len(await by_token(unit)) == 2  # both are written by this look
            raise LostError

    done = await asyncio.gather(kept(), lost(), return_exceptions=True)
    assert [type(each) for each in done] == [type(None), LostError]
    async with store.reading() as snapshot:
        [left] = await snapshot.select(Selection("Patient", ((TOKEN,),)))
        assert left.sealed == b"kept/1"
        assert await snapshot.find(row("lost")) is None


async def test_many_records_of_one_unit_keep_their_contents_and_their_order(
    store: SqliteStore,
) -> None:
    async with store.writing() as unit:
        rids = [await unit.put(version(f"n{n}"), [], []) for n in range(200)]
        for n, rid in enumerate(rids):
            assert await unit.append_audit(rid, n.to_bytes(32, "big"), b"o") == n
    async with store.reading() as snapshot:
        found = await snapshot.select(Selection("Patient"))
        assert found == [version(f"n{n}", rid=rid) for n, rid in enumerate(rids)]
        audit = await snapshot.audit(start=0, stop=200)
        assert [(a.rid, int.from_bytes(a.commitment, "big")) for a in audit] == [
            (rid, n) for n, rid in enumerate(rids)
        ]


async def test_a_row_that_is_there_already_fails_the_commit_and_the_next_one_is_good(
    store: SqliteStore,
) -> None:
    async with store.writing() as unit:
        await unit.put(version("a"), [], [])

    async def twice() -> None:
        async with store.writing() as unit:
            await unit.put(version("b"), [TOKEN], [])
            await unit.put(version("a"), [TOKEN], [])

    with pytest.raises(StoreFullError, match="IntegrityError"):
        await twice()
    async with store.writing() as unit:
        assert await unit.find(row("b")) is None
        assert await by_token(unit) == []
        await unit.put(version("b"), [TOKEN], [])


async def test_a_look_for_what_no_waiting_record_has_writes_none_of_them(
    store: SqliteStore,
) -> None:
    async with store.writing() as unit:
        await unit.put(version("a"), [TOKENS[0]], [])
        written: list[str] = []
        unit.connection.set_trace_callback(written.append)
        for groups in (((TOKENS[1],),), ((TOKENS[1], TOKENS[2]), (TOKENS[1],))):
            assert await unit.select(Selection("Patient", groups)) == []
        assert not [each for each in written if each.startswith("INSERT")]
        assert len(await unit.select(Selection("Patient", ((TOKENS[1], TOKENS[0]),)))) == 1
        assert [each for each in written if each.startswith("INSERT")]
        unit.connection.set_trace_callback(None)


@pytest.mark.parametrize("seed", range(60))
async def test_units_in_any_order_leave_what_a_dictionary_would_hold(
    store: SqliteStore, seed: int
) -> None:
    """Some at once, so that they share commits; some taken back; each looks at what it should see."""
    chance, held = random.Random(seed), dict[str, Kept]()

    async def unit_of(plan: list[tuple[str, str]], *, fails: bool) -> None:
        async with store.writing() as unit:
            seen = dict(held)
            for what, name in plan:
                await _do(unit, what, name, seen, chance)
            if fails:
                raise LostError
            held.clear()
            held.update(seen)

    for _ in range(6):
        plans = [
            [
                (chance.choice(("put", "put", "find", "select")), chance.choice(NAMES))
                for _ in range(chance.randint(1, 8))
            ]
            for _ in range(chance.randint(1, 4))
        ]
        units = [unit_of(plan, fails=chance.random() < 0.3) for plan in plans]
        for done in await asyncio.gather(*units, return_exceptions=True):
            assert done is None or isinstance(done, LostError), done
    async with store.reading() as snapshot:
        for name in NAMES:
            number, _ = held.get(name, NONE)
            found = await snapshot.find(row(name))
            assert (found.version if found else 0) == number
            versions = await snapshot.history(Changes(rid=found.rid)) if found else []
            assert len(versions) == number
        for token in TOKENS:
            found_by = await snapshot.select(Selection("Patient", ((token,),)))
            assert {v.row for v in found_by} == {
                row(n) for n, (_, of) in held.items() if token in of
            }


async def _do(
    unit: SqliteUnit, what: str, name: str, seen: dict[str, Kept], chance: random.Random
) -> None:
    if what == "select":
        groups = tuple(
            tuple(chance.sample(TOKENS, chance.randint(1, 2))) for _ in range(chance.randint(0, 2))
        )
        found = await unit.select(Selection("Patient", groups))
        expected = {
            row(n): number
            for n, (number, of) in seen.items()
            if all(of.intersection(group) for group in groups)
        }
        assert {v.row: v.version for v in found} == expected
        return
    current = await unit.find(row(name)) if chance.random() < 0.5 or name in seen else None
    number, before = seen.get(name, NONE)
    assert (current.version if current else 0) == number
    if what == "put":
        after = frozenset(chance.sample(TOKENS, chance.randint(0, 3)))
        next_one = version(name, number + 1, current.rid if current else 0)
        await unit.put(next_one, sorted(after - before), sorted(before - after))
        seen[name] = number + 1, after
