"""The anchorer under crashes, chains that misbehave, and stores that were rolled back."""

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from anchoring.chain.embedded import EmbeddedChain
from anchoring.chain.journal import decode_anchor, decode_pending
from anchoring.errors import (
    AnchorRevertedError,
    ChainUnavailableError,
    CommitmentError,
    HistoryError,
    MerkleError,
    NonceTakenError,
    NotYetAnchoredError,
    WrongChainError,
)
from anchoring.log.checkpoint import log_id
from anchoring.publishing.anchorer import Cadence
from anchoring.receipts import receipt

STEPS = 47  # one more than a run of two anchors has points to die at


class CrashError(Exception):
    """The process dies here."""


class Crashing:
    """Wraps a journal or chain and dies before or after its n-th call from now."""

    def __init__(self, inner: Any, countdown: "Countdown") -> None:
        self._inner, self._countdown = inner, countdown

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)
        if asyncio.iscoroutinefunction(method):

            async def called(*args: Any) -> Any:
                self._countdown.step()
                answer = await method(*args)
                self._countdown.step()
                return answer

            return called

        def blocking(*args: Any) -> Any:
            self._countdown.step()
            answer = method(*args)
            self._countdown.step()
            return answer

        return blocking


class Countdown:
    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise CrashError


async def test_an_empty_log_anchors_nothing(world: Any, now: datetime) -> None:
    anchorer = await world.start()
    assert await anchorer.run_once(now) is None
    assert world.chain.mined == {}
    with pytest.raises(NotYetAnchoredError):
        await anchorer.prove(0, b"", bytes(32))


async def test_each_new_event_is_anchored_once(world: Any, now: datetime) -> None:
    anchorer = await world.start()
    for size in (1, 2, 5):
        world.log.append(size - len(world.log.events))
        anchored = await anchorer.run_once(now)
        assert (anchored.made.size, anchorer.lag) == (size, 0)
        assert await anchorer.run_once(now) is None
    assert [mined.size for mined in world.chain.accepted()] == [1, 2, 5]


async def test_it_waits_for_enough_events_or_enough_time(world: Any, now: datetime) -> None:
    world.cadence = Cadence(events=10, interval=timedelta(seconds=60))
    anchorer = await world.start()
    world.log.append(9)
    assert await anchorer.run_once(now) is None
    assert await anchorer.run_once(now + timedelta(seconds=59)) is None
    assert anchorer.lag == 9
    world.log.append(1)
    assert (await anchorer.run_once(now + timedelta(seconds=59))).made.size == 10
    world.log.append(1)
    assert await anchorer.run_once(now + timedelta(seconds=90)) is None
    assert (await anchorer.run_once(now + timedelta(seconds=150))).made.size == 11


async def test_events_left_over_from_before_a_restart_do_not_wait_again(
    world: Any, now: datetime
) -> None:
    world.cadence = Cadence(events=1000)
    world.log.append(3)
    assert (await (await world.start()).run_once(now)).made.size == 3


@pytest.mark.parametrize("steps", range(1, STEPS + 1))
async def test_a_crash_at_any_step_anchors_nothing_twice_and_loses_nothing(
    make_world: Any, now: datetime, steps: int
) -> None:
    world, countdown = make_world(), Countdown(steps)
    journal, chain = world.journal, world.chain
    world.log.append(3)
    with contextlib.suppress(CrashError):
        world.journal, world.chain = Crashing(journal, countdown), Crashing(chain, countdown)
        anchorer = await world.start()
        await anchorer.run_once(now)
        world.log.append(4)
        await anchorer.run_once(now)
    assert (countdown.left > 0) == (steps == STEPS)  # every step of such a run was crashed at
    world.journal, world.chain = journal, chain
    world.log.append(7 - len(world.log.events))
    anchorer = await world.start()
    await anchorer.run_once(now)
    await anchorer.run_once(now)
    sizes = [mined.size for mined in chain.accepted()]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == 7
    assert len(sizes) == len(chain.mined)  # nothing was refused by the contract either
    assert set(journal.anchors) == set(sizes)  # each anchor's transaction was found again
    assert journal.pending is None
    assert decode_anchor(journal.anchors[7]).made.hash_ in chain.mined


async def test_the_transaction_is_journalled_before_it_is_sent(world: Any, now: datetime) -> None:
    world.log.append(3)
    world.chain.send = lambda raw: (_ for _ in ()).throw(ChainUnavailableError("down"))
    anchorer = await world.start()
    with pytest.raises(ChainUnavailableError):
        await anchorer.run_once(now)
    pending = decode_pending(world.journal.pending)
    assert pending.size == 3
    del world.chain.send
    await (await world.start()).run_once(now)
    assert world.chain.sent == [pending.transaction]


async def test_while_the_chain_is_down_events_wait_and_the_lag_shows_it(
    world: Any, now: datetime
) -> None:
    anchorer = await world.start()
    world.chain.head = lambda log: (_ for _ in ()).throw(ChainUnavailableError("down"))
    world.log.append(3)
    for _ in range(3):
        with pytest.raises(ChainUnavailableError):
            await anchorer.run_once(now)
    assert anchorer.lag == 3
    del world.chain.head
    assert (await anchorer.run_once(now)).made.size == 3


async def test_an_unconfirmed_transaction_holds_the_next_one_back(
    world: Any, now: datetime
) -> None:
    world.log.append(3)
    world.chain.confirmed = False
    anchorer = await world.start()
    assert await anchorer.run_once(now) is None
    world.log.append(1)
    assert await anchorer.run_once(now) is None
    assert len(world.chain.mined) == 1
    world.chain.confirmed = True
    assert (await anchorer.run_once(now)).made.size == 4
    assert set(world.journal.anchors) == {3, 4}


async def test_a_dropped_transaction_is_sent_again_as_the_same_bytes(
    world: Any, now: datetime
) -> None:
    world.log.append(3)
    world.chain.confirmed = False
    anchorer = await world.start()
    await anchorer.run_once(now)
    world.chain.mined.clear()  # a reorganisation
    world.chain.confirmed = True
    assert (await anchorer.run_once(now)).made.size == 3
    assert len(set(world.chain.sent)) == 1


async def test_a_transaction_whose_nonce_is_taken_is_made_anew(world: Any, now: datetime) -> None:
    world.log.append(3)
    refused = []

    def once(raw: bytes) -> None:
        if not refused:
            refused.append(raw)
            raise NonceTakenError("taken")
        type(world.chain).send(world.chain, raw)

    world.chain.send = once
    anchorer = await world.start()
    assert await anchorer.run_once(now) is None
    assert (await anchorer.run_once(now)).made.size == 3


async def test_a_chain_that_logged_another_checkpoint_is_refused(world: Any, now: datetime) -> None:
    world.log.append(3)
    find = world.chain.find
    for change in ({"size": 4}, {"root": bytes(32)}, {"log": bytes(32)}):

        def lie(transaction: bytes, change: dict[str, Any] = change) -> Any:
            found = find(transaction)
            return found and dataclasses.replace(found, **change)

        world.chain.find = lie
        with pytest.raises(HistoryError, match="another checkpoint"):
            await (await world.start()).run_once(now)
    assert world.journal.anchors == {}


async def test_a_contract_that_keeps_refusing_is_reported(world: Any, now: datetime) -> None:
    def refuse(raw: bytes) -> None:
        world.chain.mined[hashlib.sha256(raw).digest()] = None

    world.log.append(3)
    world.chain.send = refuse
    anchorer = await world.start()
    assert await anchorer.run_once(now) is None
    with pytest.raises(AnchorRevertedError):
        await anchorer.run_once(now)
    assert world.journal.anchors == {}


async def test_a_stranger_who_took_the_log_on_chain_is_noticed(world: Any, now: datetime) -> None:
    signed = world.chain.prepare(log_id(world.seeds.origin), 1, bytes(32), [])
    world.chain.send(signed.raw)
    world.log.append(3)
    with pytest.raises(HistoryError):
        await (await world.start()).run_once(now)


async def test_an_anchor_whose_journal_was_lost_is_not_made_again(
    world: Any, now: datetime
) -> None:
    world.log.append(3)
    await (await world.start()).run_once(now)
    world.journal.anchors.clear()
    anchorer = await world.start()
    assert await anchorer.run_once(now) is None
    assert len(world.chain.mined) == 1
    world.log.append(1)
    assert (await anchorer.run_once(now)).made.size == 4


@pytest.mark.parametrize("field", ["chain_id", "genesis_hash", "contract", "code_hash"])
async def test_another_chain_than_the_settings_or_the_journal_name_is_refused(
    world: Any, now: datetime, field: str
) -> None:
    good = world.chain.now
    world.log.append(1)
    anchorer = await world.start(expected=good)
    await anchorer.run_once(now)
    world.chain.now = dataclasses.replace(good, **{field: 6 if field == "chain_id" else b"x"})
    with pytest.raises(WrongChainError, match=field):
        await world.start(expected=good)
    with pytest.raises(WrongChainError, match=field):
        await world.start()
    world.log.append(1)
    with pytest.raises(WrongChainError, match=field):
        await anchorer.run_once(now)
    assert len(world.chain.mined) == 1


async def test_a_store_restored_from_an_old_backup_is_refused(world: Any, now: datetime) -> None:
    world.log.append(5)
    await (await world.start()).run_once(now)
    del world.log.events[3:]
    with pytest.raises(HistoryError, match="5 were anchored"):
        await world.start()
    world.journal.anchors.clear()  # even when the journal was restored with it
    with pytest.raises(HistoryError, match="5 were anchored"):
        await (await world.start()).run_once(now)


async def test_a_rewritten_store_is_refused(world: Any, now: datetime) -> None:
    world.log.append(5)
    await (await world.start()).run_once(now)
    world.log.events[2] = (b"{}", bytes(32))
    with pytest.raises(HistoryError, match="not those that were anchored"):
        await world.start()
    world.journal.anchors.clear()
    with pytest.raises(HistoryError, match="not those that were anchored"):
        await (await world.start()).run_once(now)


async def test_a_commitment_of_a_wrong_length_stops_it(world: Any, now: datetime) -> None:
    async def short(start: int, stop: int) -> list[bytes]:
        return [b"short"]

    world.log.append(1)
    world.log.commitments = short
    with pytest.raises(HistoryError, match="wrong length"):
        await (await world.start()).run_once(now)


async def test_a_receipt_is_not_made_of_tiles_that_were_changed(world: Any, now: datetime) -> None:
    world.log.append(600)
    await (await world.start()).run_once(now)
    anchorer = await world.start()
    tile = world.tiles.held[0, 1]
    broken = tile.hashes[:32] + bytes(32) + tile.hashes[64:]
    world.tiles.held[0, 1] = dataclasses.replace(tile, hashes=broken)
    assert await anchorer.prove(5, *world.log.events[5])
    with pytest.raises(HistoryError, match="not those anchored"):
        await anchorer.prove(256, *world.log.events[256])
    with pytest.raises(CommitmentError):
        await anchorer.prove(257, *world.log.events[257])


async def test_a_log_whose_edge_was_changed_does_not_start(world: Any, now: datetime) -> None:
    world.log.append(600)
    await (await world.start()).run_once(now)
    world.log.events[599] = world.log.events[0]
    with pytest.raises(HistoryError):
        await world.start()


async def test_tiles_are_written_though_the_chain_is_down(world: Any, now: datetime) -> None:
    anchorer = await world.start()
    world.log.append(600)
    world.chain.head = lambda log: (_ for _ in ()).throw(ChainUnavailableError("down"))
    with pytest.raises(ChainUnavailableError):
        await anchorer.run_once(now)
    assert sorted(world.tiles.held) == [(0, 0), (0, 1)]


async def test_two_runs_at_once_anchor_once(world: Any, now: datetime) -> None:
    world.log.append(5)
    anchorer = await world.start()
    await asyncio.gather(*(anchorer.run_once(now) for _ in range(5)))
    assert len(world.chain.mined) == 1


async def test_a_receipt_needs_the_event_that_was_committed_to(world: Any, now: datetime) -> None:
    world.log.append(5)
    anchorer = await world.start()
    await anchorer.run_once(now)
    event, k = world.log.events[3]
    with pytest.raises(CommitmentError):
        await anchorer.prove(3, event + b" ", k)
    with pytest.raises(CommitmentError):
        await anchorer.prove(2, event, k)
    with pytest.raises(MerkleError):
        await anchorer.prove(-1, event, k)
    with pytest.raises(NotYetAnchoredError):
        await anchorer.prove(5, event, k)
    assert receipt.parse(await anchorer.prove(3, event, k)).index == 3


async def test_a_log_longer_than_one_reading_is_anchored_whole(
    make_world: Any, now: datetime, tmp_path: Path
) -> None:
    world = make_world(chain=EmbeddedChain(tmp_path / "chain.db", bytes(31) + b"\x01"))
    world.log.append(10_000)
    assert (await (await world.start()).run_once(now)).made.size == 10_000


async def test_who_follows_can_prove_what_another_has_anchored_and_go_on_behind_it(
    world: Any, now: datetime
) -> None:
    leader, follower = await world.start(), await world.start()
    world.log.append(5)
    assert await leader.run_once(now)
    assert receipt.parse(await follower.prove(3, *world.log.events[3])).index == 3
    world.log.append(4)
    assert await leader.run_once(now)
    world.log.append(2)
    await follower.follow()
    assert follower.lag == 2
    await follower.resume()  # the leader has died
    assert await follower.run_once(now)
    assert follower.lag == 0
    assert [m.size for m in world.chain.accepted()] == [5, 9, 11]
