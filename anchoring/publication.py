"""Publication: brings one checkpoint, as one signed transaction, to its end on the chain.

The order is fixed, so that a crash between any two steps anchors nothing twice: sign the
transaction, journal it, send it, find it mined, journal the anchor.  After a restart a journalled
transaction is looked for first, and the same bytes are sent again if the chain does not know them.

Which checkpoint is due, and its proofs, are the anchorer's business (``anchorer.py``).
"""

import asyncio
from dataclasses import dataclass

from anchoring.chain import Chain, ChainIdentity, Head, Mined, check_identity
from anchoring.errors import AnchorRevertedError, HistoryError, NonceTakenError
from anchoring.journal import (
    Anchored,
    AnchorJournal,
    Pending,
    decode_anchor,
    decode_pending,
    encode_anchor,
    encode_pending,
)


@dataclass(frozen=True, slots=True)
class Growth:
    """A checkpoint that is to be published, and the proof that the log only grew until then.

    Attributes:
        size: Leaves.
        root: Root over them, 32 bytes.
        checkpoint: The signed note that says both.
        proof: Consistency proof from what the contract holds now; empty for the first checkpoint.
    """

    size: int
    root: bytes
    checkpoint: str
    proof: list[bytes]


class Publication:
    """Publishes the checkpoints of one log on one chain, one at a time."""

    def __init__(
        self, journal: AnchorJournal, chain: Chain, log: bytes, identity: ChainIdentity
    ) -> None:
        """Keep the parts.

        Args:
            journal: Where transactions and anchors are durable.
            chain: Where to publish.
            log: Log id, 32 bytes.
            identity: What the chain must go on to be.
        """
        self._journal = journal
        self._chain = chain
        self._log = log
        self._identity = identity
        self._pending: Pending | None = None
        self._refused_before = False

    @property
    def under_way(self) -> bool:
        """Whether a transaction has not come to its end: nothing else can be published before."""
        return self._pending is not None

    async def resume(self) -> Anchored | None:
        """Find in the journal what is under way, and give the newest anchor.

        Raises:
            WrongChainError: That anchor is on another chain or contract.  Do not start.
        """
        record = await self._journal.last_anchor()
        last = decode_anchor(record) if record else None
        if last is not None:
            check_identity(self._identity, last.chain)
        pending = await self._journal.load_pending()
        self._pending = decode_pending(pending) if pending else None
        return last

    async def head(self) -> Head:
        """Give what the contract holds of the log, after a look whether it is still the same chain.

        Raises:
            WrongChainError: It is not.
            ChainUnavailableError: It gives no answer.
        """
        check_identity(await asyncio.to_thread(self._chain.identity), self._identity)
        return await asyncio.to_thread(self._chain.head, self._log)

    async def publish(self, growth: Growth) -> Anchored | None:
        """Sign, journal and send; ``settle`` says with which errors and what comes of it."""
        signed = await asyncio.to_thread(
            self._chain.prepare, self._log, growth.size, growth.root, growth.proof
        )
        pending = Pending(growth.size, growth.root, growth.checkpoint, signed.raw, signed.hash_)
        await self._journal.save_pending(encode_pending(pending))
        self._pending = pending
        return await self.settle()

    async def settle(self) -> Anchored | None:
        """Bring the journalled transaction to its end: anchored, given up, or still waiting.

        Returns:
            The anchor, if it became final; None if nothing is under way any more (the transaction
            can never be mined, so ask for the head anew) or if it is still to be waited for.

        Raises:
            ChainUnavailableError: Nothing is lost; call again later.
            AnchorRevertedError: The contract refused twice in a row.
            HistoryError: The contract logged another checkpoint than was sent.
        """
        if self._pending is None:
            return None
        try:
            mined = await asyncio.to_thread(self._send, self._pending)
        except NonceTakenError:
            self._pending = None  # it can never be mined; the next one asks the contract anew
            return None
        except AnchorRevertedError:
            self._pending = None
            if self._refused_before:
                raise
            self._refused_before = True
            return None
        if mined is None:
            return None
        return await self._save(self._pending, mined)

    def _send(self, pending: Pending) -> Mined | None:
        """Look for the transaction, send it if it is unknown, look again; runs in a thread."""
        mined = self._chain.find(pending.hash_)
        if mined is None:
            self._chain.send(pending.transaction)
            mined = self._chain.find(pending.hash_)
        return mined

    async def _save(self, pending: Pending, mined: Mined) -> Anchored:
        if (mined.log, mined.size, mined.root) != (self._log, pending.size, pending.root):
            raise HistoryError("the contract logged another checkpoint than was sent")
        anchored = Anchored(pending, mined.block, mined.block_hash, self._identity)
        await self._journal.save_anchor(pending.size, encode_anchor(anchored))
        self._pending = None
        self._refused_before = False
        return anchored
