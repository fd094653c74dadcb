"""What every database promises to rotation, resealing and erasure (``fhir_server/store/shelf.py``)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from fhir_server.store.protocol import Changes, Selection, Store, WrappedKey
from fhir_server.store.shelf import Stretch

from .stores import TYPE, StoppedError, database, found, row, store, token, version, write

__all__ = ["database", "store"]

FAR = 2**40


def key(name: str, owner: str = "owner", wrapped: bytes = b"w" * 40) -> WrappedKey:
    return WrappedKey(name.encode().ljust(16, b"."), owner.encode().ljust(16, b"."), wrapped, 7)


async def add_keys(store: Store, *keys: WrappedKey) -> None:
    async with store.writing() as unit:
        for each in keys:
            await unit.add_key(each)


async def test_the_keys_of_an_owner_come_oldest_first_destroyed_ones_too(store: Store) -> None:
    one, two = key("z"), key("a")
    await add_keys(store, one, two, key("m", "other"))
    async with store.writing() as unit:
        await unit.keys.replace(replace(one, wrapped=b""))
        assert [k.wrapped for k in await unit.keys.of(one.owner)] == [b"", two.wrapped]
    async with store.reading() as snapshot:
        assert list(await snapshot.keys.of(one.owner)) == [replace(one, wrapped=b""), two]
        assert await snapshot.key(owner=one.owner) == two
        assert await snapshot.key(id_=one.id) == replace(one, wrapped=b"")
        assert list(await snapshot.keys.of(b"nobody".ljust(16))) == []


async def test_all_keys_come_by_their_ids_page_after_page(store: Store) -> None:
    names = sorted(f"{n:02}" for n in range(7))
    await add_keys(store, *(key(name, f"owner {name}") for name in reversed(names)))
    seen, last = [], b""
    async with store.reading() as snapshot:
        while page := await snapshot.keys.after(last, 3):
            seen += [k.id[:2].decode() for k in page]
            last = page[-1].id
    assert seen == names


async def test_the_epoch_counts_on_with_its_unit_or_not_at_all(store: Store) -> None:
    async with store.reading() as snapshot:
        before = await snapshot.epoch()
    async with store.writing() as unit:
        await unit.keys.advance()
        assert await unit.epoch() == before + 1
    async with store.reading() as snapshot:
        assert await snapshot.epoch() == before + 1
    with pytest.raises(StoppedError):
        await _stopped(store)
    async with store.reading() as snapshot:
        assert await snapshot.epoch() == before + 1


async def _stopped(store: Store) -> None:
    async with store.writing() as unit:
        await unit.keys.advance()
        await unit.notes.save("job|a", b"x")
        raise StoppedError


async def test_notes_are_found_by_the_beginning_of_their_name_and_by_several_names(
    store: Store,
) -> None:
    async with store.writing() as unit:
        for name in ("job|a", "job|b", "jobber|c"):
            await unit.notes.save(name, name.encode())
        await unit.notes.save("job|a", b"again")
    async with store.reading() as snapshot:
        assert await snapshot.notes.load("job|") == {"a": b"again", "b": b"job|b"}
        asked = ["job|b", "job|nothing", "job|a", "job|a'", "job|"]
        assert await snapshot.notes.find_all(asked) == {"job|a": b"again", "job|b": b"job|b"}
        assert await snapshot.notes.find_all([]) == {}
    async with store.writing() as unit:
        await unit.notes.drop("job|a")
        await unit.notes.drop("job|nothing")
    with pytest.raises(StoppedError):
        await _stopped(store)
    async with store.reading() as snapshot:
        assert await snapshot.notes.load("job|") == {"b": b"job|b"}


@pytest.mark.parametrize("seed", range(4))
async def test_a_unit_finds_the_notes_that_those_before_it_have_left(
    store: Store, seed: int
) -> None:
    """By chance, several units at once, some of which fail."""
    chance = random.Random(seed)
    kept: dict[str, bytes] = {}

    async def unit_of_some(number: int) -> None:
        async with store.writing() as unit:
            made = dict(kept)
            for step in range(8):
                name = f"job|{chance.randrange(5)}"
                kind = chance.randrange(6)
                if kind == 0:
                    made[name] = f"{number} {step}".encode()
                    await unit.notes.save(name, made[name])
                elif kind == 1:
                    made.pop(name, None)
                    await unit.notes.drop(name)
                elif kind == 2:
                    all_ = {n.removeprefix("job|"): c for n, c in made.items()}
                    assert await unit.notes.load("job|") == all_
                elif kind == 3:
                    asked = [name, "job|0", "job|nothing"]
                    expected = {n: made[n] for n in asked if n in made}
                    assert await unit.notes.find_all(asked) == expected
                else:
                    assert await unit.notes.find(name) == made.get(name)
            if chance.random() < 0.3:
                raise StoppedError
            kept.clear()
            kept.update(made)

    done = await asyncio.gather(*map(unit_of_some, range(24)), return_exceptions=True)
    assert {type(each) for each in done} <= {type(None), StoppedError}, done
    async with store.reading() as snapshot:
        left = await snapshot.notes.load("job|")
        assert left == {n.removeprefix("job|"): c for n, c in kept.items()}


async def test_a_walk_gives_versions_by_key_shared_ones_and_deleted_ones(store: Store) -> None:
    mine, other = b"m" * 16, b"o" * 16
    async with store.writing() as unit:
        a = await unit.put(version("a")._replace(key_id=mine), [], [])
        await unit.put(version("a", 2, a)._replace(key_id=other), [], [])
        b = await unit.put(version("b")._replace(key_id=b"x" * 16, wraps=b"w" * 9), [], [])
        c = await unit.put(version("c")._replace(key_id=mine), [], [])
        await unit.put(version("c", 2, c, deleted=True)._replace(key_id=mine), [], [])
    async with store.reading() as snapshot:

        async def walked(**narrowed: object) -> list[tuple[int, int]]:
            low = int(str(narrowed.pop("low", 0)))
            stretch = Stretch(low, FAR, **narrowed)  # type: ignore[arg-type]
            return [(v.rid, v.version) for v in await snapshot.shelf.walk(stretch)]

        assert await snapshot.shelf.last() == c
        assert await walked(keys=(mine,)) == [(a, 1), (c, 1), (c, 2)]
        assert await walked(keys=(mine, other), low=a) == [(c, 1), (c, 2)]
        assert await walked(keys=()) == []
        assert await walked(everything=True, low=a) == [(b, 1), (c, 1), (c, 2)]
        assert await walked(shared=True) == [(b, 1)]
        assert await walked(shared=True, low=b) == []
        assert await walked(keys=(mine,), deleted=True) == [(c, 1), (c, 2)]
        assert await walked(keys=(other,), deleted=True) == []


async def test_a_seal_is_replaced_and_nothing_else(store: Store) -> None:
    async with store.writing() as unit:
        rid = await unit.put(version("e", type_="AuditEvent"), [], [])
        await unit.append_audit(rid, b"c" * 32, b"old")
    anew = version(
        "e", rid=rid, type_="AuditEvent", patients=b"p" * 16, wraps=b"w", sealed=b"anew" * 9
    )
    async with store.writing() as unit:
        await unit.shelf.replace(anew._replace(key_id=b"n" * 16), b"new")
    async with store.reading() as snapshot:
        assert await snapshot.find(row("e")) == anew._replace(key_id=b"n" * 16)
        (audited,) = await snapshot.audit(rid=rid)
        assert (audited.commitment, audited.opening) == (b"c" * 32, b"new")


async def test_what_is_buried_is_found_by_nothing_and_its_leaf_stays(store: Store) -> None:
    gone = await write(store, "gone", "t", "u")
    await write(store, "kept", "t", "u")
    async with store.writing() as unit:
        await unit.put(version("gone", 2, gone), [], [])
        await unit.shelf.unindex(TYPE, {token("t"): [gone], token("u"): [gone]})
        await unit.shelf.bury({gone: b"proof"})
    async with store.reading() as snapshot:
        assert await snapshot.find(row("gone")) is None
        versions = await snapshot.history(Changes(rid=gone))
        assert [(v.version, v.deleted, v.sealed, v.patients) for v in versions] == [
            (2, True, b"proof", b""), (1, True, b"proof", b""),
        ]  # fmt: skip
        assert {v.key_id for v in versions} == {b"k" * 16}
        assert [v.rid for v in await snapshot.select(Selection(TYPE))] == [gone + 1]
        (audited,) = await snapshot.audit(rid=gone)
        assert (audited.commitment[:4], audited.opening) == (b"gone", b"")
    assert await found(store, ("t",)) == await found(store, ("u",)) == [b"kept"]
    await write(store, "gone")  # the id is free again


async def test_events_leave_the_index_also_while_they_wait_for_it(store: Store) -> None:
    async def event(name: str) -> int:
        async with store.writing() as unit:
            rid = await unit.put(version(name, type_="AuditEvent"), [token("t"), token(name)], [])
            await unit.append_audit(rid, name.encode().ljust(32), b"o")
            return rid

    async def events() -> list[int]:
        async with store.reading(complete=True) as snapshot:
            chosen = Selection("AuditEvent", ((token("t"),),))
            return [v.rid for v in await snapshot.select(chosen)]

    first = [await event(f"e{n}") for n in range(6)]
    assert await events() == first
    waiting = [await event(f"w{n}") for n in range(6)]
    gone = [first[0], first[3], waiting[2], waiting[5]]
    async with store.writing() as unit:
        chosen = Selection("AuditEvent", ((token("t"),),))
        assert len(await unit.select(chosen)) == 12
        await unit.shelf.unindex("AuditEvent", {token("t"): gone})
        await unit.shelf.bury(dict.fromkeys(gone, b"proof"))
    assert await events() == [rid for rid in (*first, *waiting) if rid not in gone]
    await asyncio.sleep(0.6)  # an idle store catches up with its index
    assert await events() == [rid for rid in (*first, *waiting) if rid not in gone]
