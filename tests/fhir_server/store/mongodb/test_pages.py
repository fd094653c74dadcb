"""Rows of the audit log lie in pages: nobody who asks for rows may see where one page ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.database import Database
from fhir_server.store.mongodb.database import open_mongo
from fhir_server.store.mongodb.pages import PAGE, commitments, pages, rows, rows_between
from fhir_server.store.protocol import AuditRow, Snapshot, Store
from tests import mongo_server
from tests.contracts.stores import version

_MOST = 64


def _row(n: int) -> AuditRow:
    return AuditRow(n, n + 1000, n.to_bytes(32, "big"), b"opening %d" % n)


_NUMBERS = st.sets(st.integers(0, 400)).map(sorted)


@given(_NUMBERS)
def test_pages_give_back_their_rows_with_their_numbers_also_around_gaps(numbers: list[int]) -> None:
    made = list(pages(map(_row, numbers)))
    assert list(rows(made)) == [_row(n) for n in numbers]
    assert dict(commitments(made)) == {n: _row(n).commitment for n in numbers}
    assert all(0 < len(page["rows"]) <= _MOST for page in made)


@given(st.lists(_NUMBERS), st.integers(0, 400), st.integers(0, 400))
def test_a_question_for_some_rows_meets_all_pages_that_have_one(
    commits: list[list[int]], start: int, stop: int
) -> None:
    bounds = rows_between(start, stop).where["n"]
    for page in (page for numbers in commits for page in pages(map(_row, numbers))):
        asked = bounds["$gt"] < page["n"] < bounds["$lt"]
        assert asked or not any(start <= row.n < stop for row in rows([page]))


def test_rows_of_one_commit_share_pages() -> None:
    made = list(pages(_row(n) for n in range(5, 205)))
    assert [(page["n"], len(page["rows"])) for page in made] == [
        (5, 64), (69, 64), (133, 64), (197, 8),
    ]  # fmt: skip


@pytest.fixture
async def database(folder: Path) -> AsyncIterator[Database]:
    opened = await open_mongo(mongo_server.url(folder))
    yield opened
    await opened.close()


async def _log(store: Store, *sizes: int) -> list[int]:
    """Commits of so many AuditEvents each; their records."""
    rids = []
    for size in sizes:
        async with store.writing() as unit:
            for _ in range(size):
                rid = await unit.put(version(f"e{len(rids)}", type_="AuditEvent"), [], [])
                await unit.append_audit(rid, rid.to_bytes(32, "big"), b"o%d" % rid)
                rids.append(rid)
    return rids


async def _numbers(snapshot: Snapshot, start: int, stop: int) -> list[int]:
    return [row.n for row in await snapshot.audit(start=start, stop=stop)]


@mongo_server.needs_mongo
async def test_rows_are_found_by_number_and_by_record_wherever_they_lie(
    folder: Path, database: Database
) -> None:
    rids = await _log(database.store, 1, 130, 3, 1)
    assert mongo_server.count(folder, PAGE) == 6
    assert mongo_server.log_size(folder) == await database.leaves.size() == 135
    async with database.store.reading() as snapshot:
        for start, stop in ((0, 135), (0, 1), (64, 66), (100, 132), (134, 200), (135, 200), (5, 5)):
            assert await _numbers(snapshot, start, stop) == list(range(start, min(stop, 135)))
        for n in (0, 1, 64, 65, 130, 134):
            (row,) = await snapshot.audit(rid=rids[n])
            assert (row.n, row.opening) == (n, b"o%d" % rids[n])
        assert await snapshot.audit(rid=max(rids) + 1) == []
    found = await database.leaves.commitments(60, 133)
    assert found == [rid.to_bytes(32, "big") for rid in rids[60:133]]


@mongo_server.needs_mongo
async def test_another_opening_is_that_of_one_row_only_also_before_its_page_is_sent(
    database: Database,
) -> None:
    (first, second) = await _log(database.store, 2)
    async with database.store.writing() as unit:
        third = await unit.put(version("x", type_="AuditEvent"), [], [])
        await unit.append_audit(third, b"c" * 32, b"third")
        await unit.shelf.bury({third: b"proof", second: b"proof"})
    async with database.store.reading() as snapshot:
        openings = [row.opening for row in await snapshot.audit(start=0, stop=9)]
    assert openings == [b"o%d" % first, b"", b""]
