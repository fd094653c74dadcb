"""Chains that hold less than they held before, without a real node."""

from datetime import datetime
from typing import Any

import pytest

from anchoring.chain.chain import Head
from anchoring.errors import ChainUnavailableError


async def test_what_a_contract_forgot_is_anchored_again_as_the_same_bytes(
    world: Any, now: datetime
) -> None:
    anchorer = await world.start()
    for _ in range(3):
        world.log.append(5)
        await anchorer.run_once(now)
    sent = list(world.chain.sent)
    world.chain.mined.clear()  # a reorganisation, deeper than any number of confirmations
    world.log.append(1)
    assert await anchorer.run_once(now) is None
    while await anchorer.run_once(now) is None:
        pass
    assert [m.size for m in world.chain.accepted()] == [5, 10, 15, 16]
    assert world.chain.sent[:-1] == sent * 2
    assert anchorer.figures.moved == 3


async def test_a_node_that_lags_behind_what_it_told_is_waited_for(
    world: Any, now: datetime
) -> None:
    anchorer = await world.start()
    world.log.append(5)
    await anchorer.run_once(now)
    world.chain.head = lambda log: Head(bytes(20), 0, bytes(32))
    world.log.append(1)
    with pytest.raises(ChainUnavailableError, match="lags"):
        await anchorer.run_once(now)
    del world.chain.head
    assert (await anchorer.run_once(now)).made.size == 6
