"""The index in parts: what is found does not depend on how many there are, nor on who began them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fhir_server.store.protocol import SealedVersion, Selection
from fhir_server.store.sqlite import parts
from fhir_server.store.sqlite.store import SqliteStore

TOKENS = [f"token-{n:06}".encode() for n in range(6)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_FULL", 10)


def version(number: int, rid: int = 0, at: int = 1) -> SealedVersion:
    row = f"{number}".encode().ljust(16, b".")
    return SealedVersion(rid, row, "Observation", at, at, False, b"k" * 16, b"", b"", b"sealed")


async def put(store: SqliteStore, number: int, *tokens: bytes) -> int:
    async with store.writing() as unit:
        return await unit.put(version(number), tokens, [])


async def found(store: SqliteStore, *all_of: tuple[bytes, ...], **more: object) -> list[int]:
    chosen = Selection("Observation", all_of, **{"limit": 1000, **more})  # type: ignore[arg-type]
    async with store.reading() as snapshot:
        return [each.rid for each in await snapshot.select(chosen)]


async def state(store: SqliteStore) -> list[tuple[int, int, int]]:
    """Number, first record and tokens of each part, of which the last are counted."""
    async with store.reading() as snapshot:
        kept = snapshot.execute("SELECT n, first, tokens FROM part ORDER BY n", ())
        counted = dict(snapshot.execute("SELECT part, count(*) FROM token GROUP BY part", ()))
    assert all(counted.get(n, 0) == tokens for n, _, tokens in kept)
    return list(kept)


async def test_a_full_part_is_followed_by_another_of_the_records_after_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    rids = [await put(store, number, *TOKENS[:4]) for number in range(8)]
    assert await state(store) == [(0, 0, 12), (1, rids[3], 12), (2, rids[6], 8)]
    await store.close()


async def test_records_come_in_their_order_page_by_page_whatever_part_they_are_in(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "x.db")
    rids = [await put(store, number, *TOKENS[:4]) for number in range(20)]
    assert await found(store, (TOKENS[0],), limit=7) == rids[:7]
    assert await found(store, (TOKENS[0],), limit=7, after=(1, rids[6])) == rids[7:14]
    assert await found(store, (TOKENS[0],), limit=7, descending=True) == rids[:-8:-1]
    assert await found(store, TOKENS[:2], limit=7) == rids[:7]
    await store.close()


async def test_tokens_of_an_older_record_go_into_its_part_and_come_out_of_it(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "x.db")
    rids = [await put(store, number, *TOKENS[:4]) for number in range(8)]
    async with store.writing() as unit:
        await unit.put(version(1, rids[1], 2), [TOKENS[5]], [TOKENS[0]])
        await unit.put(version(7, rids[7], 2), [TOKENS[5]], [TOKENS[1]])
    assert await found(store, (TOKENS[5],)) == [rids[1], rids[7]]
    assert await found(store, (TOKENS[0],)) == [rid for rid in rids if rid != rids[1]]
    assert await found(store, (TOKENS[5],), (TOKENS[0],)) == [rids[7]]
    async with store.reading() as snapshot:
        held = snapshot.execute("SELECT part FROM token WHERE token = ?", (TOKENS[5],))
    assert [part for (part,) in held] == [0, 2]
    await store.close()


async def test_a_unit_that_fails_begins_no_part_that_lasts(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    for number in range(3):
        await put(store, number, *TOKENS[:4])

    async def failing() -> None:
        async with store.writing() as unit:
            await unit.put(version(3), TOKENS, [])
            raise RuntimeError("changed its mind")

    with pytest.raises(RuntimeError, match="changed its mind"):
        await failing()
    assert await state(store) == [(0, 0, 12)]
    rid = await put(store, 4, TOKENS[0])
    assert await state(store) == [(0, 0, 12), (1, rid, 1)]
    await store.close()


async def test_processes_that_both_find_a_part_full_begin_one(tmp_path: Path) -> None:
    one, other = (SqliteStore(tmp_path / "x.db") for _ in range(2))
    chance, expected = random.Random(7), dict[bytes, list[int]]()
    for number in range(60):
        tokens = chance.sample(TOKENS, 3)
        rid = await put(chance.choice((one, other)), number, *tokens)
        for token in tokens:
            expected.setdefault(token, []).append(rid)
    kept = await state(one)
    assert [n for n, _, _ in kept] == list(range(len(kept)))
    assert all(10 <= tokens <= 15 for _, _, tokens in kept[:-1])  # each tells only itself
    for token in TOKENS:
        assert await found(other, (token,)) == expected[token]
        both = [rid for rid in expected[token] if rid in expected[TOKENS[0]]]
        assert await found(one, (token,), (TOKENS[0],)) == both
    await one.close()
    await other.close()
