"""Announcing: the newest signed state, which only grows, whoever signs."""

from datetime import datetime

import pytest

from anchoring.errors import HistoryError, MerkleError
from anchoring.log import checkpoint
from anchoring.log.checkpoint import LogSeeds
from anchoring.log.log import Log
from anchoring.witnessing.announcing import Announcer

from ..logs import MemoryLeaves, MemoryRecords, MemoryTiles, commitments

SEEDS = LogSeeds("hospital.example/audit", b"\x02" * 32, b"\x03" * 32)


def announcer(records: MemoryRecords, seeds: LogSeeds = SEEDS) -> Announcer:
    return Announcer(Log(MemoryLeaves(commitments(600)), MemoryTiles()), seeds, records)


async def test_nothing_was_announced_in_the_beginning() -> None:
    assert await announcer(MemoryRecords()).newest() is None


async def test_what_was_signed_last_is_found_by_every_process(now: datetime) -> None:
    records = MemoryRecords()
    signed = await announcer(records).announce(300, now)
    assert await announcer(records).newest() == signed
    proved = checkpoint.verify(signed.note, SEEDS.public_keys())
    assert proved == signed.checkpoint
    assert proved.size == 300


async def test_a_smaller_state_takes_no_larger_one_s_place(now: datetime) -> None:
    records = MemoryRecords()
    larger = await announcer(records).announce(500, now)
    assert (await announcer(records).announce(300, now)).checkpoint.size == 300
    assert await announcer(records).newest() == larger


async def test_a_log_with_a_new_name_begins_anew(now: datetime) -> None:
    records = MemoryRecords()
    await announcer(records).announce(500, now)
    renamed = LogSeeds("hospital.example/audit/2", SEEDS.ed25519, SEEDS.mldsa44)
    assert await announcer(records, renamed).newest() is None
    signed = await announcer(records, renamed).announce(300, now)
    assert await announcer(records, renamed).newest() == signed


async def test_a_state_that_the_log_never_had_is_not_signed(now: datetime) -> None:
    records = MemoryRecords()
    with pytest.raises(MerkleError):
        await announcer(records).announce(601, now)
    assert records.held == {}


async def test_a_log_that_was_changed_since_is_not_signed_again(now: datetime) -> None:
    records, changed = MemoryRecords(), commitments(600)
    signed = await announcer(records).announce(500, now)
    changed[499] = changed[0]
    rewritten = Announcer(Log(MemoryLeaves(changed), MemoryTiles()), SEEDS, records)
    with pytest.raises(HistoryError):
        await rewritten.announce(600, now)
    assert await announcer(records).newest() == signed
