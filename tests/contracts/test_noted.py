"""What every store's small records promise (``anchoring/records.py``)."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.store.database import Database
from fhir_server.store.noted import NotedRecords

from .stores import StoppedError, database

__all__ = ["database"]


def counted(record: bytes | None) -> bytes:
    return b"%d" % (int(record or b"0") + 1)


async def test_a_record_is_what_the_last_change_made_of_it(database: Database) -> None:
    records = NotedRecords(database.store)
    assert await records.find("one") is None
    assert await records.change("one", counted) == b"1"
    assert await records.change("one", counted) == b"2"
    assert await records.find("one") == b"2"
    assert await records.find("two") is None


async def test_of_changes_at_once_none_is_lost(database: Database) -> None:
    records = NotedRecords(database.store)
    await asyncio.gather(*(records.change("one", counted) for _ in range(12)))
    assert await records.find("one") == b"12"


async def test_a_change_that_fails_changes_nothing(database: Database) -> None:
    def fail(_: bytes | None) -> bytes:
        raise StoppedError

    records = NotedRecords(database.store)
    await records.change("one", counted)
    with pytest.raises(StoppedError):
        await records.change("one", fail)
    assert await records.find("one") == b"1"
