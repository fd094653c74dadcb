"""Connections for snapshots: each is one reader's at a time, and none is lost, whoever gives up waiting."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator

import pytest

from fhir_server.store.sqlite.connecting import Readers


@pytest.fixture
def connections() -> Iterator[list[sqlite3.Connection]]:
    made = [sqlite3.connect(":memory:") for _ in range(2)]
    yield made
    for each in made:
        each.close()


def test_the_connection_that_was_used_last_comes_first(
    connections: list[sqlite3.Connection],
) -> None:
    readers = Readers(connections)
    one, other = readers.at_hand(), readers.at_hand()
    assert one is not None
    assert other is not None
    assert {one, other} == set(connections)
    assert readers.at_hand() is None
    readers.give(other)
    readers.give(one)
    assert readers.at_hand() is one


async def test_whoever_comes_too_late_waits_until_one_is_given_back(
    connections: list[sqlite3.Connection],
) -> None:
    readers = Readers(connections)
    lent = [await readers.take() for _ in connections]
    late = [asyncio.create_task(readers.take()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in late)
    for connection in lent:
        readers.give(connection)
    assert [await late[0], await late[1]] == [lent[1], lent[0]]
    assert not late[2].done()
    readers.give(lent[0])
    assert await late[2] is lent[0]


@pytest.mark.parametrize("woken", [False, True])
async def test_a_reader_that_gives_up_waiting_leaves_its_turn_to_the_next(
    connections: list[sqlite3.Connection], woken: bool
) -> None:
    readers = Readers(connections[:1])
    lent = await readers.take()
    first, second = (asyncio.create_task(readers.take()) for _ in range(2))
    await asyncio.sleep(0)
    if woken:
        readers.give(lent)
    first.cancel()
    if not woken:
        readers.give(lent)
    assert await asyncio.wait_for(second, 5) is lent
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_one_that_comes_between_does_not_leave_a_waiting_one_behind(
    connections: list[sqlite3.Connection],
) -> None:
    readers = Readers(connections[:1])
    lent = await readers.take()
    waiting = asyncio.create_task(readers.take())
    await asyncio.sleep(0)
    readers.give(lent)
    assert readers.at_hand() is lent  # before the one that waited has run
    await asyncio.sleep(0)
    assert not waiting.done()
    readers.give(lent)
    assert await asyncio.wait_for(waiting, 5) is lent
