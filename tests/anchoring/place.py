"""An AuditAnchor on a real node, an account that publishes there, and a log: for tests of the worker."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from anchoring.chain import transaction as tx
from anchoring.chain.contract import ANCHORED_EVENT
from anchoring.chain.evm import JsonRpcChain, RpcSettings, connect
from anchoring.chain.journal import decode_anchor
from anchoring.log.checkpoint import log_id
from anchoring.publishing.anchorer import Anchorer
from tests.anchoring.anvil import Anvil

MINUTE = timedelta(minutes=1)


class Place:
    """A node with an AuditAnchor of the test's own, and an account that publishes there."""

    def __init__(self, node: Anvil, make_world: Callable[..., Any], **settings: Any) -> None:
        self.node = node
        self.key = node.account()
        signed, self.contract = self.chain(contract=bytes(20)).deployment()
        node.send(signed.raw)
        self.world = make_world(chain=self.chain(**settings))
        self.log = log_id(self.world.seeds.origin)

    def chain(self, timeout_s: float = 5.0, **settings: Any) -> JsonRpcChain:
        chosen = {"contract": getattr(self, "contract", b""), "key": self.key, "confirmations": 1}
        return JsonRpcChain(connect(self.node.url, timeout_s), RpcSettings(**chosen | settings))

    async def start(self, **changed: Any) -> Anchorer:
        return await self.world.start(**changed)

    @property
    def size(self) -> int:
        """What the contract holds."""
        return self.chain().head(self.log).size

    @property
    def anchors(self) -> list[Any]:
        """The journal's."""
        journalled = self.world.journal.anchors
        return [decode_anchor(journalled[size]) for size in sorted(journalled)]

    def events(self) -> list[int]:
        """The sizes that the contract logged, in the order of the blocks."""
        topic = "0x" + tx.keccak256(ANCHORED_EVENT.encode()).hex()
        asked = {"address": "0x" + self.contract.hex(), "fromBlock": "0x0", "topics": [topic]}
        return [int(each["topics"][2], 16) for each in self.node.rpc("eth_getLogs", asked)]


async def until_anchored(anchorer: Anchorer, now: datetime, size: int) -> Any:
    """Run until an anchor of this size is final: automining takes a moment."""
    for _ in range(500):
        anchored = await anchorer.run_once(now)
        if anchored is not None and anchored.made.size >= size:
            return anchored
        await asyncio.sleep(0.002)
    raise AssertionError("it was not anchored")
