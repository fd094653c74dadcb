"""The index of AuditEvents, by chance: whatever those of one commit share, each is found as if it had its own tokens.

Compared with a few lines that keep it all in memory.
"""

from __future__ import annotations

import random

import pytest

from fhir_server.store.protocol import Selection, Snapshot, Store

from .stores import StoppedError, database, store, token, version

__all__ = ["database", "store"]
EVENT = "AuditEvent"
COMMON = [f"c{n}" for n in range(14)]
Model = dict[int, tuple[int, set[str]]]  # event: its time and tokens


@pytest.mark.parametrize("seed", range(5))
async def test_events_are_found_by_what_they_share_and_by_what_they_do_not(
    store: Store, seed: int
) -> None:
    chance, model = random.Random(seed), Model()
    for commit in range(8):
        await _commit(store, model, chance, f"{commit}.")
        await _unindex_some(store, model, chance)
        async with store.reading(complete=True) as snapshot:
            await _look(snapshot, model, chance)


async def _commit(store: Store, model: Model, chance: random.Random, name: str) -> None:
    """A unit of some events, which looks for them now and then, and sometimes fails."""
    kept = dict(model)
    common = set(chance.sample(COMMON, 10))
    try:
        async with store.writing() as unit:
            for number in range(chance.randrange(1, 9)):
                own = common - set(chance.sample(COMMON, chance.randrange(4))) | {f"{name}{number}"}
                at = chance.randrange(1, 9)
                made = version(f"{name}{number}", at=at, type_=EVENT)
                rid = await unit.put(made, [token(t) for t in sorted(own)], [])
                await unit.append_audit(rid, b"c" * 32, b"o")
                kept[rid] = at, own
                if chance.random() < 0.2:
                    await _look(unit, kept, chance)
            _sometimes_stop(chance)
    except StoppedError:
        return
    model.update(kept)


def _sometimes_stop(chance: random.Random) -> None:
    if chance.random() < 0.2:
        raise StoppedError


async def _unindex_some(store: Store, model: Model, chance: random.Random) -> None:
    """Some tokens of some events go, as where one of several patients is erased."""
    if not model or chance.random() < 0.4:
        return
    gone = set(chance.sample(COMMON, 3))
    rids = chance.sample(sorted(model), min(3, len(model)))
    async with store.writing() as unit:
        await unit.shelf.unindex(EVENT, {token(t): sorted(rids) for t in sorted(gone)})
        for rid in rids:
            model[rid] = model[rid][0], model[rid][1] - gone
        await _look(unit, model, chance)


async def _look(snapshot: Snapshot, model: Model, chance: random.Random) -> None:
    some = [t for _, tokens in model.values() for t in tokens] + COMMON
    for _ in range(4):
        groups = tuple(
            tuple(token(t) for t in {chance.choice(some) for _ in range(chance.randrange(1, 3))})
            for _ in range(chance.randrange(3))
        )
        by_time = chance.random() < 0.5
        place = (chance.randrange(1, 9), chance.randrange(1, 40))
        chosen = Selection(
            EVENT,
            groups,
            since=chance.randrange(1, 9) if chance.random() < 0.3 else None,
            by_time=by_time,
            descending=chance.random() < 0.5,
            after=place if chance.random() < 0.3 else None,
            limit=chance.choice((1, 3, 50)),
        )
        assert [v.rid for v in await snapshot.select(chosen)] == _expected(model, chosen)


def _expected(model: Model, chosen: Selection) -> list[int]:
    found = []
    for rid, (at, own) in model.items():
        tokens = {token(t) for t in own}
        place = (at if chosen.by_time else rid, rid)
        if at >= (chosen.since or 0) and all(not tokens.isdisjoint(g) for g in chosen.all_of):
            found.append(place)
    if chosen.after is not None:
        after = chosen.after if chosen.by_time else (chosen.after[1], chosen.after[1])
        found = [p for p in found if (p < after if chosen.descending else p > after)]
    return [rid for _, rid in sorted(found, reverse=chosen.descending)][: chosen.limit]
