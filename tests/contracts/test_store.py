"""What every ``Store`` promises (``fhir_server/store/protocol.py``), asked of each adapter.

Adapters: SQLite and MongoDB.  A new one is one more line in ``DATABASES`` and ``ADAPTERS``.
"""

# ruff: noqa: PT012  (child processes, small files and whole units are the point here)

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from fhir_server.store.protocol import (
    AuditRow,
    Changes,
    Selection,
    Store,
    WrappedKey,
)
from fhir_server.store.sqlite.store import SqliteStore

from .stores import FILE, TYPE, StoppedError, database, found, row, store, token, version, write

__all__ = ["database", "store"]


async def test_nothing_is_there_in_the_beginning(store: Store) -> None:
    async with store.reading() as snapshot:
        assert await snapshot.find(row("a")) is None
        assert await snapshot.history(Changes(rid=1)) == []
        assert list(await snapshot.select(Selection(TYPE))) == []
        assert await snapshot.key(id_=b"x") is None
        assert await snapshot.key(owner=b"x") is None
        assert list(await snapshot.audit(start=0, stop=100)) == []


async def test_what_was_put_is_found_as_it_was_put(store: Store) -> None:
    rid = await write(store, "a", "t")
    async with store.reading() as snapshot:
        assert await snapshot.find(row("a")) == version("a", rid=rid)
        assert await snapshot.find(row("a"), 1) == version("a", rid=rid)
        assert await snapshot.find(row("a"), 2) is None
        assert await snapshot.find(row("b")) is None


async def test_a_new_version_becomes_the_current_one_and_the_old_one_stays(store: Store) -> None:
    rid = await write(store, "a", "old", "both")
    async with store.writing() as unit:
        assert await unit.put(version("a", 2, rid), [token("new")], [token("old")]) == rid
    async with store.reading() as snapshot:
        current = await snapshot.find(row("a"))
        assert current is not None
        assert current.version == 2
        assert [v.version for v in await snapshot.history(Changes(rid=rid))] == [2, 1]
    assert await found(store, ("old",)) == []
    assert await found(store, ("new",), ("both",)) == [b"a"]


async def test_the_same_row_twice_is_refused(store: Store) -> None:
    first = await write(store, "a")
    with pytest.raises(Exception, match=r"IntegrityError|duplicate"):
        await write(store, "a")
    await write(store, "b")
    async with store.reading() as snapshot:
        assert [v.rid for v in await snapshot.history(Changes(rid=first))] == [first]


async def test_the_same_version_twice_is_refused(store: Store) -> None:
    rid = await write(store, "a")
    with pytest.raises(Exception, match=r"UNIQUE|duplicate"):
        async with store.writing() as unit:
            await unit.put(version("a", 1, rid), [], [])


async def test_a_tombstone_is_found_by_its_row_but_not_selected(store: Store) -> None:
    rid = await write(store, "a", "t")
    async with store.writing() as unit:
        await unit.put(version("a", 2, rid, deleted=True, sealed=b""), [], [token("t")])
    async with store.reading() as snapshot:
        current = await snapshot.find(row("a"))
        assert current is not None
        assert current.deleted
        assert list(await snapshot.select(Selection(TYPE))) == []


async def test_groups_are_joined_by_and_their_tokens_by_or(store: Store) -> None:
    await write(store, "a", "x", "y")
    await write(store, "b", "x", "z")
    await write(store, "c", "y")
    assert await found(store, ("x",)) == [b"a", b"b"]
    assert await found(store, ("x", "y")) == [b"a", b"b", b"c"]
    assert await found(store, ("x",), ("y", "z")) == [b"a", b"b"]
    assert await found(store, ("x",), ("nope",)) == []
    assert await found(store, ()) in ([], [b"a", b"b", b"c"])


async def test_order_bounds_and_limit_hold_together(store: Store) -> None:
    for name, at in (("a", 30), ("b", 10), ("c", 20), ("d", 20)):
        await write(store, name, "t", at=at)
    assert await found(store) == [b"a", b"b", b"c", b"d"]
    assert await found(store, by_time=True) == [b"b", b"c", b"d", b"a"]
    assert await found(store, by_time=True, descending=True) == [b"a", b"d", b"c", b"b"]
    assert await found(store, since=20) == [b"a", b"c", b"d"]
    assert await found(store, until=20) == [b"b", b"c", b"d"]
    assert await found(store, since=20, until=20) == [b"c", b"d"]
    assert await found(store, since=21, until=20) == []
    assert await found(store, limit=2) == [b"a", b"b"]
    assert await found(store, rows=(row("b"), row("x"))) == [b"b"]
    assert await found(store, rows=()) == []


@pytest.mark.parametrize("groups", [(), (("t",),)])
@pytest.mark.parametrize("by_time", [True, False])
@pytest.mark.parametrize("descending", [True, False])
async def test_pages_continue_behind_the_last_row(
    store: Store, groups: tuple[tuple[str, ...], ...], by_time: bool, descending: bool
) -> None:
    for number in range(7):
        await write(store, f"n{number}", "t", at=100 + number // 3)
    seen: list[bytes] = []
    after = None
    while True:
        async with store.reading() as snapshot:
            selection = Selection(
                TYPE, tuple(tuple(map(token, g)) for g in groups), by_time=by_time,
                descending=descending, after=after, limit=2,
            )  # fmt: skip
            page = await snapshot.select(selection)
        if not page:
            break
        seen += [v.row.rstrip(b".") for v in page]
        after = (page[-1].at, page[-1].rid) if by_time else (page[-1].rid, page[-1].rid)
    assert sorted(seen) == [f"n{n}".encode() for n in range(7)]
    assert len(seen) == 7


async def test_thousands_of_alternatives_can_be_asked_for(store: Store) -> None:
    await write(store, "a", "t7")
    many = tuple(f"t{n}" for n in range(40_000))
    assert await found(store, many) == [b"a"]
    assert await found(store, rows=tuple(row(n) for n in ("a", *many))) == [b"a"]


async def test_a_unit_sees_its_own_writes_and_nobody_else_does_before_it_ends(store: Store) -> None:
    async with store.writing() as unit:
        await unit.put(version("a"), [token("t")], [])
        assert await unit.find(row("a")) is not None
        assert len(await unit.select(Selection(TYPE, ((token("t"),),)))) == 1
        async with store.reading() as snapshot:
            assert await snapshot.find(row("a")) is None
    async with store.reading() as snapshot:
        assert await snapshot.find(row("a")) is not None


async def test_a_snapshot_does_not_see_what_is_written_after_it_began(store: Store) -> None:
    await write(store, "a", "t")
    async with store.reading() as snapshot:
        before = await snapshot.select(Selection(TYPE))
        await write(store, "b", "t")
        assert await snapshot.select(Selection(TYPE)) == before
        assert await snapshot.find(row("b")) is None


async def test_a_failed_unit_leaves_nothing(store: Store) -> None:
    await write(store, "before", "t")
    with pytest.raises(StoppedError):
        await write(store, "a", "t", "u", fail=True)
    with pytest.raises(StoppedError):
        async with store.writing() as unit:
            await unit.add_key(WrappedKey(b"id", b"owner", b"wrapped"))
            raise StoppedError
    assert await found(store, ("t",)) == [b"before"]
    assert await found(store, ("u",)) == []
    async with store.reading() as snapshot:
        assert await snapshot.key(id_=b"id") is None
        assert [r.n for r in await snapshot.audit(start=0, stop=9)] == [0]


async def test_a_failed_unit_keeps_nobody_else_from_writing(folder: Path) -> None:
    one, two = SqliteStore(folder / FILE), SqliteStore(folder / FILE)
    with pytest.raises(StoppedError):
        await write(one, "a", "t", fail=True)
    two.connection.execute("PRAGMA busy_timeout = 10")
    await write(two, "b", "t")
    assert await found(one, ("t",)) == [b"b"]
    await one.close()
    await two.close()


async def test_a_unit_that_is_cancelled_leaves_nothing(store: Store) -> None:
    inside = asyncio.Event()

    async def hang() -> None:
        async with store.writing() as unit:
            await unit.put(version("a"), [token("t")], [])
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await write(store, "b", "t")
    assert await found(store, ("t",)) == [b"b"]


async def test_of_many_units_at_once_those_that_fail_take_nobody_with_them(store: Store) -> None:
    async def one(number: int) -> object:
        try:
            return await write(store, f"n{number}", "t", f"u{number}", fail=number % 3 == 0)
        except StoppedError:
            return None

    made = await asyncio.gather(*(one(n) for n in range(120)))
    good = {f"n{n}".encode() for n in range(120) if n % 3}
    assert len([m for m in made if m]) == len(good)
    assert set(await found(store, ("t",), limit=500)) == good
    for number in range(120):
        assert bool(await found(store, (f"u{number}",))) == bool(number % 3)
    async with store.reading() as snapshot:
        rows = await snapshot.audit(start=0, stop=500)
    assert [r.n for r in rows] == list(range(len(good)))


async def test_updates_and_failures_at_once_leave_the_index_of_what_is_there(store: Store) -> None:
    """Units of one batch drop and add the same tokens; every third one fails after it has done so."""
    rids = [await write(store, f"n{n}", "v1") for n in range(10)]

    async def step(number: int, to: int) -> None:
        with contextlib.suppress(StoppedError):
            async with store.writing() as unit:
                current = await unit.find(row(f"n{number}"))
                assert current is not None
                await unit.put(
                    version(f"n{number}", current.version + 1, rids[number]),
                    [token(f"v{current.version + 1}")],
                    [token(f"v{current.version}")],
                )
                if (number + to) % 3 == 0:
                    await unit.select(Selection(TYPE, ((token("v1"),),)))
                    raise StoppedError

    await asyncio.gather(*(step(n, to) for to in range(6) for n in range(10)))
    async with store.reading() as snapshot:
        for number in range(10):
            current = await snapshot.find(row(f"n{number}"))
            assert current is not None
            for candidate in range(1, 9):
                hits = await snapshot.select(Selection(TYPE, ((token(f"v{candidate}"),),)))
                there = rids[number] in [h.rid for h in hits]
                assert there == (candidate == current.version)


async def test_units_run_one_after_another(store: Store) -> None:
    """What a unit reads nobody changes before it commits: the race behind every conditional create."""

    async def create_once() -> bool:
        async with store.writing() as unit:
            if await unit.select(Selection(TYPE, ((token("t"),),))):
                return False
            await asyncio.sleep(0)
            await unit.put(version(os.urandom(4).hex()), [token("t")], [])
            return True

    made = await asyncio.gather(*(create_once() for _ in range(32)))
    assert made.count(True) == 1


async def test_audit_numbers_are_gapless_whatever_fails(store: Store) -> None:
    for number in range(9):
        with contextlib.suppress(StoppedError):
            await write(store, f"n{number}", fail=number % 2 == 1)
    async with store.reading() as snapshot:
        rows = await snapshot.audit(start=0, stop=99)
        assert [r.n for r in rows] == list(range(5))
        assert rows[2] == AuditRow(2, rows[2].rid, b"n4".ljust(32), b"opening")
        assert list(await snapshot.audit(rid=rows[2].rid)) == [rows[2]]
        assert [r.n for r in await snapshot.audit(start=1, stop=3)] == [1, 2]


async def test_the_index_of_audit_events_is_complete_for_whoever_asks_for_it(store: Store) -> None:
    for number in range(20):
        async with store.writing() as unit:
            made = version(f"e{number}", type_="AuditEvent")
            rid = await unit.put(made, [token("who"), os.urandom(12)], [])
            await unit.append_audit(rid, b"c" * 32, b"o")
            seen = await unit.select(Selection("AuditEvent", ((token("who"),),)))
            assert len(seen) == number + 1
        async with store.reading(complete=True) as snapshot:
            seen = await snapshot.select(Selection("AuditEvent", ((token("who"),),)))
            assert len(seen) == number + 1


async def test_a_type_tells_its_versions_newest_first_tombstones_too(store: Store) -> None:
    a, b = await write(store, "a", at=10), await write(store, "b", at=20)
    async with store.writing() as unit:
        await unit.put(version("a", 2, a, at=30), [], [])
        await unit.put(version("b", 2, b, at=40, deleted=True, sealed=b""), [], [])
        await unit.put(version("c", at=35, type_="Patient"), [], [])

    async def told(**asked: object) -> list[tuple[bytes, int]]:
        async with store.reading() as snapshot:
            found = await snapshot.history(Changes(**{"type_": TYPE, **asked}))  # type: ignore[arg-type]
        return [(v.row.rstrip(b"."), v.version) for v in found]

    whole = [(b"b", 2), (b"a", 2), (b"b", 1), (b"a", 1)]
    assert await told() == whole
    assert await told(limit=3) == whole[:3]
    assert await told(since=20) == whole[:3]
    assert await told(until=20) == whole[2:]
    assert await told(since=20, until=30) == whole[1:3]
    assert await told(before=(30, a)) == whole[2:]
    assert await told(before=(30, a), limit=1) == whole[2:3]
    assert await told(until=35, current_at=30) == [(b"a", 2), (b"b", 1)]
    assert await told(until=25, current_at=9) == [(b"b", 1), (b"a", 1)]
    assert await told(rid=a) == [(b"a", 2), (b"a", 1)]
    assert await told(rid=a, limit=1) == [(b"a", 2)]
    assert await told(type_="Patient") == [(b"c", 1)]
    assert await told(type_="Group") == []


async def test_a_type_is_told_page_by_page_although_times_are_equal(store: Store) -> None:
    for number in range(7):
        await write(store, f"n{number}", at=100 + number // 3)
    found: list[bytes] = []
    before: tuple[int, int] | None = None
    while True:
        async with store.reading() as snapshot:
            page = await snapshot.history(Changes(type_=TYPE, before=before, limit=2))
        if not page:
            break
        found += [v.row.rstrip(b".") for v in page]
        before = (page[-1].at, page[-1].rid)
    assert found == [b"n6", b"n5", b"n4", b"n3", b"n2", b"n1", b"n0"]


async def test_audit_events_are_told_like_any_type(store: Store) -> None:
    async with store.writing() as unit:
        for number, name in enumerate("abc"):
            event = version(name, at=number + 1, type_="AuditEvent")
            await unit.append_audit(await unit.put(event, [], []), b"c" * 32, b"opening")
    async with store.reading() as snapshot:
        found = await snapshot.history(Changes(type_="AuditEvent", until=2, limit=5))
    assert [v.row.rstrip(b".") for v in found] == [b"b", b"a"]
