"""Whatever a unit of work selects is as if all that it and those before it have written were in the database.

Random writes and selections in unit after unit, some of which fail, compared with a few lines that keep it all in memory.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from fhir_server.store.protocol import Selection, Store, Unit

from .stores import TYPE, StoppedError, database, row, store, token, version

__all__ = ["database", "store"]
TOKENS = "abcdef"
OTHER = "Patient"


@dataclass
class Model:
    """What should be there: of each record rid, type, version, time, whether it lives, tokens."""

    records: dict[str, tuple[int, str, int, int, bool, frozenset[str]]] = field(
        default_factory=dict
    )

    def select(self, chosen: Selection) -> list[int]:
        found = []
        for name, (rid, type_, _, at, lives, tokens) in self.records.items():
            groups = all(any(token(t) in group for t in tokens) for group in chosen.all_of)
            place = (at, rid) if chosen.by_time else (rid, rid)
            if type_ == chosen.type_ and lives and groups and _within(name, at, place, chosen):
                found.append((place, rid))
        found.sort(reverse=chosen.descending)
        return [rid for _, rid in found][: chosen.limit]


def _within(name: str, at: int, place: tuple[int, int], chosen: Selection) -> bool:
    if chosen.rows is not None and row(name) not in chosen.rows:
        return False
    if chosen.after is not None:
        after = chosen.after if chosen.by_time else (chosen.after[1], chosen.after[1])
        if not (place < after if chosen.descending else place > after):
            return False
    return (chosen.since or 0) <= at <= (chosen.until if chosen.until is not None else 10**9)


@pytest.mark.parametrize("seed", range(6))
async def test_a_unit_selects_what_it_and_those_before_it_have_written(
    store: Store, seed: int
) -> None:
    chance, model = random.Random(seed), Model()
    for _ in range(12):
        kept = Model(dict(model.records))
        try:
            async with store.writing() as unit:
                for _ in range(chance.randrange(1, 7)):
                    await _step(unit, kept, chance)
                _sometimes_stop(chance)
        except StoppedError:
            continue
        model = kept
    async with store.reading() as snapshot:
        for _ in range(20):
            chosen = _selection(chance)
            assert [v.rid for v in await snapshot.select(chosen)] == model.select(chosen)


def _sometimes_stop(chance: random.Random) -> None:
    if chance.random() < 0.25:
        raise StoppedError


async def _step(unit: Unit, model: Model, chance: random.Random) -> None:
    kind = chance.random()
    if kind < 0.5:
        await _write(unit, model, chance)
    elif kind < 0.6 and model.records:
        name = chance.choice(list(model.records))
        rid, type_, number, at, lives, tokens = model.records[name]
        if lives:
            await unit.index(type_, rid, [token("f")])
            model.records[name] = (rid, type_, number, at, lives, tokens | {"f"})
    else:
        chosen = _selection(chance)
        assert [v.rid for v in await unit.select(chosen)] == model.select(chosen)


async def _write(unit: Unit, model: Model, chance: random.Random) -> None:
    name = f"n{chance.randrange(12)}"
    had = model.records.get(name)
    rid, type_, number = had[:3] if had else (0, chance.choice((TYPE, OTHER)), 0)
    before = had[5] if had else frozenset()
    after = frozenset(t for t in TOKENS if chance.random() < 0.4)
    at, lives = chance.randrange(1, 9), chance.random() < 0.85
    after = after if lives else frozenset()
    made = version(name, number + 1, rid, at, type_=type_, deleted=not lives)
    current = await unit.find(row(name))
    assert (current.version if current else 0) == number
    add, drop = [token(t) for t in after - before], [token(t) for t in before - after]
    rid = await unit.put(made, add, drop)
    model.records[name] = (rid, type_, number + 1, at, lives, after)


def _selection(chance: random.Random) -> Selection:
    groups = tuple(
        tuple(token(t) for t in chance.sample(TOKENS, chance.randrange(1, 3)))
        for _ in range(chance.randrange(3))
    )
    by_time = chance.random() < 0.5
    bounds = sorted((chance.randrange(1, 9), chance.randrange(1, 9)))
    place = (chance.randrange(1, 9), chance.randrange(1, 12))
    return Selection(
        chance.choice((TYPE, OTHER)),
        groups,
        rows=tuple(row(f"n{n}") for n in range(0, 12, 2)) if chance.random() < 0.2 else None,
        since=bounds[0] if chance.random() < 0.3 else None,
        until=bounds[1] if chance.random() < 0.3 else None,
        by_time=by_time,
        descending=chance.random() < 0.5,
        after=place if chance.random() < 0.3 else None,
        limit=chance.choice((1, 2, 50)),
    )
