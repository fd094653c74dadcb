"""The index of AuditEvents: rows of many events give the same answers as one row an event would."""

import random
from pathlib import Path

import pytest

from fhir_server.store.protocol import SealedVersion, Selection
from fhir_server.store.sqlite.store import SqliteStore

COMMON, HALF, RARE = b"c" * 12, b"h" * 12, b"r" * 12
EVENTS = 3000


def event(number: int) -> SealedVersion:
    row = number.to_bytes(16, "big")
    return SealedVersion(0, row, "AuditEvent", 1, 10_000 - number, False, b"", b"", b"", b"")


async def fill(store: SqliteStore, numbers: range) -> dict[int, set[bytes]]:
    """Events in several batches, so that a token has several rows; rids by their tokens."""
    tokens: dict[int, set[bytes]] = {}
    for start in range(numbers.start, numbers.stop, 1500):
        async with store.writing() as unit:
            for number in range(start, min(start + 1500, numbers.stop)):
                own = (
                    {COMMON}
                    | ({HALF} if number % 2 else set())
                    | ({RARE} if number % 700 == 1 else set())
                )
                tokens[await unit.put(event(number), sorted(own), [])] = own
        async with store.reading(complete=True):
            pass  # writes what waits
    return tokens


async def walk(store: SqliteStore, selection: Selection) -> list[int]:
    """All pages."""
    found: list[int] = []
    after = None
    while True:
        async with store.reading(complete=True) as snapshot:
            page = await snapshot.select(
                Selection(
                    "AuditEvent",
                    selection.all_of,
                    by_time=selection.by_time,
                    descending=selection.descending,
                    after=after,
                    limit=selection.limit,
                )
            )
        found += [v.rid for v in page]
        if len(page) < selection.limit:
            return found
        after = (page[-1].at, page[-1].rid)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("by_time", [False, True])
@pytest.mark.parametrize(
    "groups",
    [
        ((COMMON,),),
        ((HALF,),),
        ((RARE,), (COMMON,)),
        ((COMMON,), (RARE,)),
        ((HALF, RARE), (COMMON,)),
    ],
)
async def test_pages_hold_every_event_once_in_order(
    folder: Path, groups: tuple[tuple[bytes, ...], ...], by_time: bool, descending: bool
) -> None:
    store = SqliteStore(folder / "db.sqlite")
    tokens = await fill(store, range(EVENTS))
    selection = Selection(
        "AuditEvent",
        groups,
        by_time=by_time,
        descending=descending,
        limit=random.Random(1).randint(90, 400),
    )
    wanted = [rid for rid, own in tokens.items() if all(own & set(group) for group in groups)]
    # later events have earlier times here, so that both orders are told apart
    assert await walk(store, selection) == sorted(wanted, reverse=by_time != descending)
    await store.close()


async def test_events_indexed_again_after_a_crash_are_found_once(folder: Path) -> None:
    store = SqliteStore(folder / "db.sqlite")
    tokens = await fill(store, range(EVENTS))
    rids = sorted(tokens)
    async with store.writing() as unit:
        for rid in rids[1000:1700]:
            await unit.index("AuditEvent", rid, sorted(tokens[rid]))
    assert await walk(store, Selection("AuditEvent", ((COMMON,),), limit=333)) == rids
    await store.close()


async def test_a_unit_that_is_taken_back_leaves_what_waited_before(folder: Path) -> None:
    store = SqliteStore(folder / "db.sqlite")
    async with store.writing() as unit:
        kept = await unit.put(event(1), [COMMON], [])
    with pytest.raises(RuntimeError):
        await _write_and_fail(store)
    assert await walk(store, Selection("AuditEvent", ((COMMON,),))) == [kept]
    await store.close()


async def _write_and_fail(store: SqliteStore) -> None:
    async with store.writing() as unit:
        await unit.put(event(2), [COMMON], [])
        assert len(await unit.select(Selection("AuditEvent", ((COMMON,),)))) == 2
        raise RuntimeError
