"""Publication: brings checkpoints, each as one signed transaction, to their end on the chain.

The order is fixed, so that a crash between any two steps anchors nothing twice: sign the
transaction, journal it, send it, find it mined, journal the anchor.  After a restart a journalled
transaction is looked for first, and the same bytes are sent again while no block holds them.  One
that stays out of the blocks is replaced by one with higher fees; each is journalled before it is
sent, and all of them are looked for.

An anchor that became final is looked at again now and then: a reorganisation deeper than the
confirmations may have moved or removed it.  Moved, it is journalled where it stands now; removed,
the same bytes are sent again, oldest first, since each starts from where the one before ended.

Which checkpoint is due, and its proofs, are the anchorer's business (``anchorer.py``).
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from anchoring.chain.chain import (
    Chain,
    ChainIdentity,
    Head,
    Mined,
    SignedTransaction,
    check_identity,
)
from anchoring.chain.journal import (
    Anchored,
    AnchorJournal,
    Pending,
    decode_anchor,
    decode_pending,
    encode_anchor,
    encode_pending,
)
from anchoring.errors import AnchorRevertedError, HistoryError, NonceTakenError

_LOOK_BACK = timedelta(seconds=60)  # some six questions to the node each time


@dataclass(frozen=True, slots=True)
class Growth:
    """A checkpoint that is to be published, and the proof that the log only grew until then.

    Attributes:
        since: Leaves that the contract holds now.
        size: Leaves.
        root: Root over them, 32 bytes.
        checkpoint: The signed note that says both.
        proof: Consistency proof between both sizes; empty for the first checkpoint.
    """

    since: int
    size: int
    root: bytes
    checkpoint: str
    proof: list[bytes]


@dataclass(slots=True)
class Figures:
    """What publishing has come to, since this process started.

    Attributes:
        anchors: Anchors that became final.
        gas_per_event: Of the newest anchor.
        block: Block of the newest anchor.
        paid: Wei paid for all of them.
        replaced: Transactions that were replaced by one with higher fees, or another nonce.
        moved: Anchors that a reorganisation took from where they stood after they were final.
    """

    anchors: int = 0
    gas_per_event: float = 0.0
    block: int = 0
    paid: int = 0
    replaced: int = 0
    moved: int = 0

    def take(self, pending: Pending, mined: Mined) -> None:
        """Count an anchor that became final."""
        self.anchors += 1
        self.gas_per_event = mined.gas / max(pending.size - pending.since, 1)
        self.block = mined.block
        self.paid += mined.paid


class Publication:
    """Publishes the checkpoints of one log on one chain, one at a time."""

    def __init__(
        self,
        journal: AnchorJournal,
        chain: Chain,
        log: bytes,
        identity: ChainIdentity | None,
        patience: timedelta = timedelta(seconds=60),
    ) -> None:
        """Keep the parts.

        Args:
            journal: Where transactions and anchors are durable.
            chain: Where to publish.
            log: Log id, 32 bytes.
            identity: What the chain must go on to be; None if it has not been reached yet.
            patience: After how long out of the blocks a transaction is replaced.
        """
        self._journal = journal
        self._chain = chain
        self._log = log
        self._identity = identity
        self._patience = patience
        self._lost: list[Anchored] = []  # anchors that stand nowhere, oldest first
        self._pending: Pending | None = None
        self._sent_at: datetime | None = None
        self._looked_back: datetime | None = None
        self._refused_before = False
        self.renounced = False  # whether an anchor became void: ask again what is covered
        self.figures = Figures()

    @property
    def under_way(self) -> bool:
        """Whether something has not come to its end: nothing else can be published before."""
        return self._pending is not None or bool(self._lost)

    def has_lost(self, size: int) -> bool:
        """Tell whether the anchor of this size stands nowhere at the moment."""
        return any(lost.made.size == size for lost in self._lost)

    async def resume(self) -> Anchored | None:
        """Find in the journal what is under way, and give the newest anchor that holds.

        Raises:
            WrongChainError: That anchor is on another chain or contract.  Do not start.
        """
        last = await self._holding()
        if last is not None:
            if self._identity is not None:
                check_identity(self._identity, last.chain)
            self._identity = last.chain
        pending = await self._journal.load_pending()
        self._pending = decode_pending(pending) if pending else None
        self._lost, self._sent_at, self._looked_back = [], None, None
        return last

    async def head(self) -> Head:
        """Give what the contract holds of the log, after a look whether it is still the same chain.

        Raises:
            WrongChainError: It is not.
            ChainUnavailableError: It gives no answer.
        """
        await self._same_chain()
        return await asyncio.to_thread(self._chain.head, self._log)

    async def publish(self, growth: Growth, now: datetime) -> Anchored | None:
        """Sign, journal and send; ``settle`` says with which errors and what comes of it."""
        size, root = growth.size, growth.root
        signed = await asyncio.to_thread(self._chain.prepare, self._log, size, root, growth.proof)
        pending = Pending(
            size, root, growth.checkpoint, signed.raw, signed.hash_, since=growth.since
        )
        await self._keep(pending)
        self._sent_at = None
        return await self.settle(now)

    async def settle(self, now: datetime) -> Anchored | None:
        """Bring what is journalled to its end: anchored, given up, or still waiting.

        Returns:
            The newest anchor that became final; None if there is none.  A transaction that can
            never be mined is forgotten: ask for the head anew.

        Raises:
            ChainUnavailableError: Nothing is lost; call again later.
            AnchorRevertedError: The contract refused twice in a row.
            HistoryError: The contract logged another checkpoint than was sent.
        """
        if self._looked_back is None or now - self._looked_back >= _LOOK_BACK:
            await self.look_back(now)
        while self._lost:
            if not await self._restore(self._lost[0], now):
                return None
            self._sent_at = None
        return None if self._pending is None else await self._finish(self._pending, now)

    async def look_back(self, now: datetime) -> None:
        """See whether the newest anchors stand where the journal says; note those that do not.

        Raises:
            WrongChainError: It is another chain by now, and nothing may be sent to it.
        """
        await self._same_chain()
        if not self._lost:
            await self._find_lost(await self._newest())
        self._looked_back = now

    async def _find_lost(self, at: Anchored | None) -> bool:
        """Walk back from an anchor to the first one that stands; whether anything between is to be restored first."""
        lost: list[Anchored] = []
        while at is not None and not await asyncio.to_thread(self._stands, at):
            if not at.is_void:
                lost.insert(0, at)
            at = await self._before(at.made)
        self._lost = lost + self._lost
        self.figures.moved += len(lost)
        return bool(lost)

    async def _before(self, made: Pending) -> Anchored | None:
        """Give the anchor from which a checkpoint began."""
        record = await self._journal.anchor_covering(made.since - 1) if made.since else None
        return decode_anchor(record) if record else None

    async def _finish(self, pending: Pending, now: datetime) -> Anchored | None:
        """Bring the transaction under way to its end."""
        try:
            mined = await self._send(pending, now)
        except NonceTakenError:
            self._pending = None  # it can never be mined; the next one asks the contract anew
            return None
        except AnchorRevertedError:
            self._pending = None
            if self._refused_before:
                raise
            self._refused_before = True
            return None
        if mined is None or not mined[1].final:
            return None
        if await self._find_lost(await self._before(pending)):
            return None  # they come first
        anchored = await self._save(self._pending or pending, *mined)
        self._pending, self._sent_at = None, None
        self._refused_before = False
        self.figures.take(pending, mined[1])
        return anchored

    async def _restore(self, lost: Anchored, now: datetime) -> bool:
        """Anchor again what a reorganisation took; whether that has come to an end.

        An anchor is journalled only while the one before it stands where the journal says: so the
        later one can not stand without the earlier one, and looking at the newest is enough.
        """
        try:
            mined = await self._send(lost.made, now)
        except NonceTakenError:
            signed = await asyncio.to_thread(self._chain.replace, lost.made.transaction)
            await self._keep(lost.made.with_newest(signed))
            return False
        except AnchorRevertedError:
            return await self._renounce(lost)
        if mined is None or not mined[1].final:
            return False
        if not await self._find_lost(await self._before(lost.made)):
            await self._save(self._lost[0].made, *mined)
            self._lost.pop(0)
            self._refused_before = False
        return True

    async def _renounce(self, lost: Anchored) -> bool:
        """The contract refused what was lost: sign it again if it only came too early, else leave it to the next anchor.

        Raises:
            AnchorRevertedError: It was refused twice in a row, although it goes on from what the contract holds.
        """
        if (await self.head()).size == lost.made.since:
            if self._refused_before:
                raise AnchorRevertedError("the contract refuses what it had accepted before")
            self._refused_before = True
            signed = await asyncio.to_thread(self._chain.replace, lost.made.transaction)
            await self._keep(lost.made.with_newest(signed))
            return False
        void = replace(self._lost.pop(0), block_hash=bytes(32))
        await self._save_record(void.made.size, encode_anchor(void))
        self.renounced = True
        return True

    async def covered(self) -> int:
        """Give the size of the newest anchor that holds; 0 if there is none."""
        holds = await self._holding()
        return holds.made.size if holds else 0

    async def _holding(self) -> Anchored | None:
        at = await self._newest()
        while at is not None and at.is_void:
            at = await self._before(at.made)
        return at

    async def _send(
        self, pending: Pending, now: datetime
    ) -> tuple[SignedTransaction, Mined] | None:
        """Look for a transaction of these, send the newest if none is in a block, look again."""
        found = await asyncio.to_thread(self._find, pending)
        if found is not None:
            return found
        self._sent_at = self._sent_at or now
        if now - self._sent_at >= self._patience:
            pending = await self._replaced(pending, now)
        try:
            await asyncio.to_thread(self._chain.send, pending.transaction)
        except NonceTakenError:
            found = await asyncio.to_thread(self._find, pending)  # by one of ours, just now?
            if found is None:
                raise
            return found
        return await asyncio.to_thread(self._find, pending)

    async def _replaced(self, pending: Pending, now: datetime) -> Pending:
        """Replace a transaction that nobody mines, journalled before it can be sent."""
        signed = await asyncio.to_thread(self._chain.replace, pending.transaction)
        self._sent_at = now
        if signed.hash_ == pending.hash_:
            return pending
        self.figures.replaced += 1
        newer = pending.with_newest(signed)
        await self._keep(newer)
        return newer

    def _find(self, pending: Pending) -> tuple[SignedTransaction, Mined] | None:
        """Find which of the transactions a block holds; runs in a thread.

        Raises:
            AnchorRevertedError: The contract refused the newest one, and accepted none.
        """
        refused: AnchorRevertedError | None = None
        for attempt in pending.attempts:
            try:
                mined = self._chain.find(attempt.hash_)
            except AnchorRevertedError as error:
                refused = error if attempt.hash_ == pending.hash_ else refused
                continue
            if mined is not None:
                return attempt, mined
        if refused is not None:
            raise refused
        return None

    def _stands(self, anchored: Anchored) -> bool:
        try:
            mined = self._chain.find(anchored.made.hash_)
        except AnchorRevertedError:
            return False
        return mined is not None and mined.block_hash == anchored.block_hash

    async def _save(self, pending: Pending, attempt: SignedTransaction, mined: Mined) -> Anchored:
        """Journal an anchor where it stands now."""
        if (mined.log, mined.size, mined.root) != (self._log, pending.size, pending.root):
            raise HistoryError("the contract logged another checkpoint than was sent")
        made = pending.with_newest(attempt)
        identity = self._identity or await self._same_chain()
        anchored = Anchored(made, mined.block, mined.block_hash, identity)
        await self._save_record(pending.size, encode_anchor(anchored))
        return anchored

    async def _save_record(self, size: int, record: bytes) -> None:
        """Journal an anchor, and go on remembering what is under way if it is another one."""
        await self._journal.save_anchor(size, record)
        if self._pending is not None and self._pending.size != size:
            await self._journal.save_pending(encode_pending(self._pending))

    async def _keep(self, pending: Pending) -> None:
        """Journal the newest transaction of a checkpoint: of a lost anchor's, or of the one under way."""
        if self._lost:
            self._lost[0] = replace(self._lost[0], made=pending)
            await self._save_record(pending.size, encode_anchor(self._lost[0]))
            return
        await self._journal.save_pending(encode_pending(pending))
        self._pending = pending

    async def _newest(self) -> Anchored | None:
        record = await self._journal.last_anchor()
        return decode_anchor(record) if record else None

    async def _same_chain(self) -> ChainIdentity:
        """Ask which chain it is, and refuse another than before; the first one that is met is the one."""
        found = await asyncio.to_thread(self._chain.identity)
        if self._identity is not None:
            check_identity(found, self._identity)
        self._identity = found
        return found
