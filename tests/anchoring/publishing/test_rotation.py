"""Another key publishes from now on: granted by the old one, which is revoked when it has nothing under way."""

import dataclasses
from datetime import datetime

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.contract import grant_calldata, revoke_calldata
from anchoring.chain.journal import decode_pending
from anchoring.errors import AnchorRevertedError
from tests.anchoring.place import MINUTE, Place, until_anchored


async def test_a_key_is_rotated_while_a_transaction_of_the_old_one_waits(
    place: Place, now: datetime
) -> None:
    anchorer = await place.start()
    place.world.log.append(3)
    await until_anchored(anchorer, now, 3)
    place.node.automine(False)
    place.world.log.append(2)
    await anchorer.run_once(now)  # the old key's, which waits
    old_key, place.key = place.key, place.node.account()
    old = place.chain(key=old_key)
    grant = tx.read(old.signed_call(grant_calldata(place.log, tx.address(place.key))).raw).content
    granted = tx.sign(dataclasses.replace(grant, nonce=grant.nonce + 1), old_key)
    place.node.rpc("eth_sendRawTransaction", "0x" + granted.raw.hex())
    place.node.mine()
    place.node.automine(True)
    place.world.chain = place.chain()
    restarted = await place.start()
    await until_anchored(restarted, now, 5)
    place.world.log.append(1)
    await until_anchored(restarted, now, 6)
    place.node.send(place.chain().signed_call(revoke_calldata(place.log, tx.address(old_key))).raw)
    place.world.log.append(1)
    await until_anchored(restarted, now, 7)
    assert place.events() == [3, 5, 6, 7]
    assert place.chain().head(place.log).publisher == tx.address(place.key)
    assert [tx.read(a.made.transaction).sender for a in place.anchors] == [
        *[tx.address(old_key)] * 2,
        *[tx.address(place.key)] * 2,
    ]


async def test_a_stuck_transaction_of_a_former_key_is_signed_again_by_the_new_one(
    place: Place, now: datetime
) -> None:
    anchorer = await place.start()
    place.world.log.append(3)
    await until_anchored(anchorer, now, 3)
    old_key, place.key = place.key, place.node.account()
    granting = place.chain(key=old_key).signed_call(
        grant_calldata(place.log, tx.address(place.key))
    )
    place.node.send(granting.raw)
    place.node.automine(False)
    place.world.log.append(2)
    await anchorer.run_once(now)
    stuck = decode_pending(place.world.journal.pending)
    place.world.chain = place.chain()
    restarted = await place.start()
    assert await restarted.run_once(now) is None
    place.node.drop(stuck.hash_)
    assert await restarted.run_once(now + MINUTE) is None
    place.node.mine()
    anchored = await until_anchored(restarted, now + MINUTE, 5)
    assert tx.read(anchored.made.transaction).sender == tx.address(place.key)


async def test_who_lost_its_key_and_was_not_granted_is_told(place: Place, now: datetime) -> None:
    anchorer = await place.start()
    place.world.log.append(3)
    await until_anchored(anchorer, now, 3)
    place.key = place.node.account()
    place.world.chain = place.chain()
    restarted = await place.start()
    place.world.log.append(1)
    with pytest.raises(AnchorRevertedError):
        await until_anchored(restarted, now, 4)
    assert place.events() == [3]
