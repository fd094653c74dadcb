"""AuditEvents that are written outside of any unit of work: what every ``Store`` promises of ``record``."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from fhir_server.store.protocol import SealedEvent, Selection, Store

from .stores import (
    ADAPTERS,
    DATABASES,
    StoppedError,
    database,
    found,
    row,
    store,
    token,
    version,
    write,
)

__all__ = ["database", "store"]


def event(name: str, *tokens: str) -> SealedEvent:
    made = version(name, type_="AuditEvent")
    return SealedEvent(made, [token(t) for t in tokens], name.encode().ljust(32), b"opening")


async def names(store: Store, asked: str) -> list[bytes]:
    async with store.reading(complete=True) as snapshot:
        chosen = Selection("AuditEvent", ((token(asked),),), limit=1000)
        return [v.row.rstrip(b".") for v in await snapshot.select(chosen)]


async def log(store: Store) -> list[bytes]:
    """The names in the log, each of whose rows belongs to the record of that name."""
    async with store.reading() as snapshot:
        rows = await snapshot.audit(start=0, stop=10_000)
        assert [each.n for each in rows] == list(range(len(rows)))
        for each in rows:
            kept = await snapshot.find(row(each.commitment.rstrip().decode()))
            assert kept is not None
            assert kept.rid == each.rid
    return [each.commitment.rstrip() for each in rows]


async def test_what_is_recorded_is_in_the_log_and_can_be_found_and_searched(store: Store) -> None:
    await write(store, "before", "t")
    assert list(await store.record([event("a", "who"), event("b", "who")], 0) or ()) == [1, 2]
    assert list(await store.record([event("c", "who", "why")], 0) or ()) == [3]
    assert await log(store) == [b"before", b"a", b"b", b"c"]
    assert await names(store, "who") == [b"a", b"b", b"c"]
    assert await names(store, "why") == [b"c"]
    async with store.writing() as unit:
        chosen = Selection("AuditEvent", ((token("who"),),))
        assert len(await unit.select(chosen)) == 3


async def test_nothing_is_written_under_keys_of_another_epoch(store: Store) -> None:
    async with store.writing() as unit:
        await unit.keys.advance()
    assert await store.record([event("late", "who"), event("later", "who")], 0) is None
    assert await store.record([event("early", "who")], 2) is None
    assert list(await store.record([event("now", "who")], 1) or ()) == [0]
    assert await log(store) == [b"now"]
    assert await names(store, "who") == [b"now"]


async def test_an_epoch_that_ends_meanwhile_keeps_out_what_waits(store: Store) -> None:
    """A unit that destroys keys is written in the same commit, or before: what they sealed stays out."""
    async with store.writing() as unit:
        await unit.keys.advance()
        waiting = store.record([event("late", "who")], 0)
        await asyncio.sleep(0.05)
    assert await waiting is None
    assert await log(store) == []


async def test_numbers_are_gapless_beside_units_some_of_which_fail(store: Store) -> None:
    chance = random.Random(7)

    async def one(number: int) -> list[str]:
        await asyncio.sleep(chance.random() / 50)
        name = f"n{number}"
        if number % 3:
            assert await store.record([event(name, "who")], 0) is not None
            return [name]
        try:
            await write(store, name, "t", fail=number % 2 == 0)
        except StoppedError:
            return []
        return [name]

    kept = [name for each in await asyncio.gather(*map(one, range(90))) for name in each]
    assert sorted(await log(store)) == sorted(name.encode() for name in kept)
    assert len(await names(store, "who")) == 60
    assert len(await found(store, ("t",))) == 15


async def test_a_unit_sees_no_half_of_what_is_recorded_beside_it(store: Store) -> None:
    async with store.writing() as unit:
        waiting = store.record([event("beside", "who")], 0)
        await asyncio.sleep(0.05)
        await unit.append_audit(
            await unit.put(version("own", type_="AuditEvent"), [], []), b"own".ljust(32), b"o"
        )
        known = {bytes(each.commitment.rstrip()) for each in await unit.audit(start=0, stop=9)}
        assert known == {b"own"}
    assert await waiting is not None
    assert sorted(await log(store)) == [b"beside", b"own"]


async def test_a_request_that_goes_away_takes_nobody_else_with_it(store: Store) -> None:
    waiting = [store.record([event(f"n{n}", "who")], 0) for n in range(9)]
    await asyncio.sleep(0)
    for gone in waiting[::3]:
        gone.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(
        ended[n] is not None and not isinstance(ended[n], BaseException) for n in (1, 2, 4, 5, 7, 8)
    )
    assert {b"n1", b"n2", b"n4", b"n5", b"n7", b"n8"} <= set(await log(store))


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_what_waits_when_a_store_is_closed_is_written(folder: Path, adapter: str) -> None:
    opened = await DATABASES[adapter](folder)
    waiting = opened.store.record([event("last", "who")], 0)
    await asyncio.sleep(0)
    await opened.close()
    assert list(await waiting or ()) == [0]
    again = await DATABASES[adapter](folder)
    assert await log(again.store) == [b"last"]
    await again.close()
