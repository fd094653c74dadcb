"""Publishing on a real node: whatever it, the network or this process does, each checkpoint is anchored once."""

import asyncio
import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.chain import check_identity
from anchoring.chain.contract import artifact, grant_calldata
from anchoring.chain.evm import FINALIZED
from anchoring.chain.journal import decode_pending
from anchoring.chain.nodes import Facts
from anchoring.errors import (
    ChainUnavailableError,
    HistoryError,
    NotYetAnchoredError,
    WrongChainError,
)
from anchoring.publishing.anchorer import Cadence
from anchoring.receipts import receipt
from tests.anchoring.anvil import Anvil, started
from tests.anchoring.place import MINUTE, Place, until_anchored

ROOM = Path(__file__).resolve().parents[3]


async def test_each_checkpoint_is_anchored_once_with_its_gas_and_fees(
    place: Place, now: datetime
) -> None:
    anchorer = await place.start()
    for size in (3, 4, 1024 + 4):
        place.world.log.append(size - len(place.world.log.events))
        await until_anchored(anchorer, now, size)
    assert place.events() == [3, 4, 1028]
    figures = anchorer.figures
    assert figures.anchors == 3
    assert 40 < figures.gas_per_event < 75
    assert figures.block == place.anchors[-1].block
    assert figures.paid > 0


async def test_a_node_that_hangs_for_minutes_loses_nothing_and_is_not_waited_for(
    place: Place, now: datetime
) -> None:
    place.world.chain = place.chain(timeout_s=0.2)
    anchorer = await place.start()
    place.node.freeze()
    started_at = time.monotonic()
    for minutes in range(4):
        place.world.log.append(10)
        with pytest.raises(ChainUnavailableError):
            await anchorer.run_once(now + minutes * MINUTE)
    assert time.monotonic() - started_at < 4 * (0.2 + 1.5)
    assert anchorer.lag == 40
    assert anchorer.waiting_since == now
    place.node.thaw()
    await until_anchored(anchorer, now + 5 * MINUTE, 40)
    assert (anchorer.lag, anchorer.waiting_since) == (0, None)
    assert place.events() == [40]


def test_killed_between_send_and_save_it_finds_its_own_transaction(
    place: Place, now: datetime, tmp_path: Path
) -> None:
    """Another process anchors and is killed by SIGKILL where it would journal the anchor."""
    script = ROOM / "tests" / "anchoring" / "dying_anchorer.py"
    given = [place.node.url, place.contract.hex(), place.key.hex(), str(tmp_path)]
    died = subprocess.run([sys.executable, script, *given], cwd=ROOM, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    pending = (tmp_path / "pending").read_bytes()
    place.world.journal.pending = pending
    place.world.log.append(5)

    async def go_on() -> None:
        anchorer = await place.start()
        anchored = await until_anchored(anchorer, now, 5)
        assert anchored.made.hash_ == decode_pending(pending).hash_
        place.world.log.append(1)
        await until_anchored(anchorer, now, 6)

    asyncio.run(go_on())
    assert place.events() == [5, 6]


async def test_a_stuck_transaction_is_replaced_and_either_may_be_mined(
    place: Place, now: datetime
) -> None:
    place.node.automine(False)
    anchorer = await place.start()
    place.world.log.append(3)
    assert await anchorer.run_once(now) is None
    first = decode_pending(place.world.journal.pending)
    assert await anchorer.run_once(now + MINUTE) is None
    second = decode_pending(place.world.journal.pending)
    assert second.former == (first.attempts[0],)
    old, new = (tx.read(each.transaction).content for each in (first, second))
    assert (new.nonce, new.call) == (old.nonce, old.call)
    assert new.fee * 8 >= old.fee * 9
    assert new.priority_fee * 8 >= old.priority_fee * 9
    place.node.drop(second.hash_)
    place.node.rpc("eth_sendRawTransaction", "0x" + first.transaction.hex())
    place.node.mine()  # the first one was mined after all
    anchored = await until_anchored(anchorer, now + MINUTE, 3)
    assert anchored.made.hash_ == first.hash_
    assert anchorer.figures.replaced == 1
    assert place.events() == [3]


async def test_a_dropped_transaction_is_sent_again_as_the_same_bytes(
    place: Place, now: datetime
) -> None:
    place.node.automine(False)
    anchorer = await place.start()
    place.world.log.append(3)
    await anchorer.run_once(now)
    sent = decode_pending(place.world.journal.pending)
    place.node.drop(sent.hash_)
    place.node.mine()
    assert place.size == 0
    await anchorer.run_once(now)
    place.node.mine()
    assert (await until_anchored(anchorer, now, 3)).made.hash_ == sent.hash_


async def test_a_nonce_gap_is_filled(place: Place, now: datetime) -> None:
    """A transaction of the account's that came before ours is gone for good: ours can never be mined as it is."""
    place.node.automine(False)
    other = place.chain().signed_call(grant_calldata(bytes(32), b"\x01" * 20))
    place.node.rpc("eth_sendRawTransaction", "0x" + other.raw.hex())
    place.node.mine()
    anchorer = await place.start()
    place.world.log.append(3)
    await anchorer.run_once(now)
    waiting = decode_pending(place.world.journal.pending)
    place.node.drop(waiting.hash_)
    place.node.reorg(1)
    assert await anchorer.run_once(now) is None
    place.node.mine()
    assert place.size == 0
    assert await anchorer.run_once(now + MINUTE) is None
    place.node.mine()
    anchored = await until_anchored(anchorer, now + MINUTE, 3)
    nonces = [tx.read(each.raw).content.nonce for each in anchored.made.attempts]
    assert nonces[0] == nonces[1] - 1
    assert place.events() == [3]


async def test_a_reorganisation_before_it_is_final_is_outlived(
    patient_place: Place, now: datetime
) -> None:
    place = patient_place
    anchorer = await place.start()
    place.world.log.append(3)
    assert await anchorer.run_once(now) is None
    place.node.mine(2)
    assert await anchorer.run_once(now) is None  # mined, and not final
    place.node.reorg(2)
    assert place.size == 0
    assert await anchorer.run_once(now) is None
    place.node.mine(3)
    anchored = await until_anchored(anchorer, now, 3)
    assert anchored.block == place.node.block - 2
    assert len(set(anchored.made.attempts)) == 1
    assert anchorer.figures.moved == 0


async def test_a_reorganisation_deeper_than_finality_is_noticed_and_anchored_again(
    patient_place: Place, now: datetime
) -> None:
    place = patient_place
    anchorer = await place.start()
    for size in (3, 5):
        place.world.log.append(size - len(place.world.log.events))
        await anchorer.run_once(now)
        place.node.mine(3)
        await until_anchored(anchorer, now, size)
    before = place.anchors
    place.node.reorg(6)
    assert place.size == 0
    later = now + MINUTE
    assert await anchorer.run_once(later) is None
    with pytest.raises(NotYetAnchoredError, match="again"):
        await anchorer.prove(0, *place.world.log.events[0])
    for _ in range(4):
        place.node.mine(3)
        await anchorer.run_once(later)
    after = place.anchors
    assert [a.made.transaction for a in after] == [b.made.transaction for b in before]
    assert all(a.block > b.block for a, b in zip(after, before, strict=True))
    told = receipt.parse(await anchorer.prove(4, *place.world.log.events[4]))
    assert (told.anchor.block, told.anchor.block_hash) == (after[1].block, after[1].block_hash)
    assert place.node.rpc("eth_getBlockByNumber", hex(told.anchor.block), False)["hash"] == (
        "0x" + told.anchor.block_hash.hex()
    )
    assert anchorer.figures.moved == 2
    assert place.events() == [3, 5]


async def test_an_anchor_that_another_block_holds_now_is_told_with_that_block(
    patient_place: Place, now: datetime
) -> None:
    place = patient_place
    anchorer = await place.start()
    place.world.log.append(3)
    await anchorer.run_once(now)
    place.node.mine(3)
    await until_anchored(anchorer, now, 3)
    before = place.anchors[0]
    place.node.reorg(3)
    place.node.rpc("eth_sendRawTransaction", "0x" + before.made.transaction.hex())  # as nodes do
    place.node.mine(3)
    await anchorer.run_once(now + MINUTE)
    assert place.anchors[0].block > before.block
    assert place.anchors[0].made == before.made


async def test_only_what_the_chain_finalized_counts_where_that_is_asked_for(
    anvil: Anvil, make_world: Callable[..., Any], now: datetime
) -> None:
    place = Place(anvil, make_world, confirmations=FINALIZED)
    anchorer = await place.start()
    place.world.log.append(3)
    assert await anchorer.run_once(now) is None
    anvil.mine(40)
    assert await anchorer.run_once(now) is None
    anvil.mine(40)
    assert await until_anchored(anchorer, now, 3)


@pytest.mark.parametrize("asked", ["chain_id", "genesis_hash", "code_hash"])
async def test_a_chain_that_is_not_the_one_of_the_settings_does_not_start(
    place: Place, asked: str
) -> None:
    wrong: dict[str, Any] = {
        "chain_id": {"meant": Facts(chain_id=1)},
        "genesis_hash": {"meant": Facts(genesis_hash=b"g" * 32)},
        "code_hash": {"code_hash": b"c" * 32},
    }
    place.world.chain = place.chain(**wrong[asked])
    with pytest.raises(WrongChainError, match=asked.partition("_")[0]):
        await place.start()


async def test_a_chain_that_was_reset_stops_it(
    make_world: Callable[..., Any], now: datetime
) -> None:
    with started() as node:
        place = Place(node, make_world)
        anchorer = await place.start()
        place.world.log.append(3)
        await until_anchored(anchorer, now, 3)
    with started("--timestamp", "1000000000", port=node.port):
        place.world.log.append(1)
        with pytest.raises(WrongChainError, match=r"genesis_hash|AuditAnchor"):
            await anchorer.run_once(now + MINUTE)
        with pytest.raises(WrongChainError, match=r"genesis_hash|AuditAnchor"):
            await place.start()


async def test_of_two_that_anchor_at_once_one_sends_for_good(place: Place, now: datetime) -> None:
    """For a moment a lease may have two holders: the contract takes one checkpoint of each size."""
    other = dataclasses.replace(place.world, journal=type(place.world.journal)())
    one, two = await place.start(), await other.start()
    place.world.log.append(7)
    await asyncio.gather(one.run_once(now), two.run_once(now))
    place.world.log.append(2)
    for _ in range(20):
        await asyncio.gather(one.run_once(now), two.run_once(now))
    assert place.events() == [7, 9]
    assert (one.lag, two.lag) == (0, 0)


async def test_it_starts_without_the_chain_and_anchors_when_that_comes(
    place: Place, now: datetime
) -> None:
    place.node.freeze()
    place.world.chain = place.chain(timeout_s=0.1)
    place.world.log.append(3)
    anchorer = await place.start()
    with pytest.raises(ChainUnavailableError):
        await anchorer.run_once(now)
    assert anchorer.lag == 3
    place.node.thaw()
    place.world.chain = place.chain()
    await until_anchored(anchorer, now, 3)
    check_identity(place.anchors[0].chain, place.chain().identity())
    assert place.anchors[0].chain.code_hash == artifact().code_hash


async def test_another_log_under_our_name_on_the_chain_stops_it(
    place: Place, now: datetime
) -> None:
    place.node.send(place.chain().prepare(place.log, 3, b"r" * 32, []).raw)
    anchorer = await place.start()
    place.world.log.append(4)
    with pytest.raises(HistoryError):
        await anchorer.run_once(now)


async def test_every_event_is_anchored_at_once_where_that_is_asked_for(
    place: Place, now: datetime
) -> None:
    place.world.cadence = Cadence(events=1)
    anchorer = await place.start()
    for size in range(1, 6):
        place.world.log.append(1)
        await until_anchored(anchorer, now, size)
    assert place.events() == [1, 2, 3, 4, 5]
