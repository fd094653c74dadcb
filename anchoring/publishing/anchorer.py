"""The anchorer: has tiles written, decides when a checkpoint is due, signs it, makes receipts.

Off the request path: leaves are durable before it sees them, and a chain that is down only makes it
wait.  Before each checkpoint it asks the contract for its size and root, and finds that root in our
own log (``log.py``).  How a checkpoint comes onto the chain is in ``publication.py``.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from anchoring.chain.chain import Chain, ChainIdentity, check_identity
from anchoring.chain.journal import Anchored, AnchorJournal, decode_anchor
from anchoring.errors import (
    ChainUnavailableError,
    CommitmentError,
    HistoryError,
    InclusionError,
    NotYetAnchoredError,
)
from anchoring.log.checkpoint import log_id
from anchoring.log.commitment import commit
from anchoring.log.log import Log
from anchoring.log.merkle import leaf_hash, verify_inclusion
from anchoring.publishing.publication import Figures, Growth, Publication
from anchoring.publishing.waiting import Waiting
from anchoring.receipts import receipt
from anchoring.witnessing.announcing import Announcer


@dataclass(frozen=True, slots=True)
class Cadence:
    """When to anchor: whichever comes first.

    Attributes:
        events: Anchor when so many events wait; 1 anchors each at once.
        interval: Anchor when an event has been waiting so long.
    """

    events: int = 1024
    interval: timedelta = timedelta(seconds=60)


class Anchorer:
    """Anchors one log on one chain; one at a time per log.  Made by ``open_anchorer``."""

    def __init__(
        self,
        log: Log,
        journal: AnchorJournal,
        chain: Chain,
        announcer: Announcer,
        cadence: Cadence,
        identity: ChainIdentity | None,
        patience: timedelta = timedelta(seconds=60),
    ) -> None:
        """Keep the parts; ``open_anchorer`` checks them."""
        self._log = log
        self._journal = journal
        self._publication = Publication(
            journal, chain, log_id(announcer.origin), identity, patience
        )
        self._announcer = announcer
        self._cadence = cadence
        self._anchored_size = 0
        self._waiting = Waiting()
        self._overdue = False
        self._one_run = asyncio.Lock()

    @property
    def lag(self) -> int:
        """How many events are in the log that no anchor covers yet, as far as was seen."""
        return self._log.size - self._anchored_size

    @property
    def waiting_since(self) -> datetime | None:
        """Since when the oldest event that no anchor covers is known to wait (UTC); None if none waits."""
        return self._waiting.since

    @property
    def under_way(self) -> bool:
        """Whether a transaction is waited for: it takes some blocks, so nobody need look each second."""
        return self._publication.under_way

    @property
    def figures(self) -> Figures:
        """What anchoring has come to, since this process started."""
        return self._publication.figures

    @property
    def size(self) -> int:
        """How many events are in the log, as far as was seen."""
        return self._log.size

    async def resume(self) -> None:
        """Check the log and the chain against the last anchor, find work under way.

        Raises:
            WrongChainError: That anchor is on another chain or contract.  Do not start.
            HistoryError: The log is shorter than, or differs from, what was anchored.
        """
        last = await self._publication.resume()
        await self._log.look()
        if last is not None:
            await self._log.require_past(last.made.size, last.made.root)
            self._cover(last.made.size)
        self._overdue = self.lag > 0  # how long they have been waiting is not known

    async def run_once(self, now: datetime) -> Anchored | None:
        """Do what is due at ``now`` (UTC): finish the anchor under way, or make the next.

        Returns:
            The newest anchor that became final in this run; None if there is none, whether because
            nothing is due or because the chain has not confirmed yet.

        Raises:
            ChainUnavailableError: Nothing is lost; call again later.
            WrongChainError: The chain was changed under us.  Stop.
            HistoryError: The contract's root is not in this log.  Stop: somebody must look.
            NotCosignedError: Too few witnesses cosigned, and the policy is to wait; call again later.
            AnchorRevertedError: The contract refused twice in a row, so not for a race: another
                account publishes this log, or ours cannot pay.  Stop: somebody must look.
        """
        async with self._one_run:
            await self._log.grow()
            self._waiting.seen(self._log.size, now)
            settled = self._note(await self._publication.settle(now))
            if self._publication.renounced:
                await self._uncover()
            if self._publication.under_way:
                return settled
            if not self._is_due(now):
                return settled
            return self._note(await self._anchor(now)) or settled

    async def follow(self, now: datetime | None = None) -> None:
        """Look at the log and at what was anchored, without anchoring: another process does that, or the chain is down.

        Raises:
            WrongChainError: The last anchor is on another chain or contract.
            HistoryError: The log differs from what was anchored.
        """
        async with self._one_run:
            record = await self._journal.last_anchor()
            size = decode_anchor(record).made.size if record else 0
            if size > self._anchored_size:
                await self.resume()
            else:
                await self._log.look()
            if now is not None:
                self._waiting.seen(self._log.size, now)

    def hurry(self, index: int) -> None:
        """Anchor at the next run, whatever the cadence says, unless event ``index`` is anchored."""
        self._overdue = self._overdue or index >= self._anchored_size

    async def prove(self, index: int, event: bytes, k: bytes) -> bytes:
        """Make the receipt for one event; JSON.

        Args:
            index: The event's position in the log.
            event: The AuditEvent's stored bytes.
            k: Its commitment's key.

        Raises:
            NotYetAnchoredError: No anchor covers it yet.
            CommitmentError: Event and key are not those that the log committed to.
            HistoryError: The log in the store is not what was anchored.
        """
        record = await self._journal.anchor_covering(index)
        if record is None:
            raise NotYetAnchoredError(f"no anchor covers event {index} yet")
        anchored = decode_anchor(record)
        while anchored.is_void and record is not None:
            record = await self._journal.anchor_covering(anchored.made.size)
            anchored = decode_anchor(record) if record is not None else anchored
        if anchored.is_void:
            raise NotYetAnchoredError(f"no anchor covers event {index} any more")
        if self._publication.has_lost(anchored.made.size):
            raise NotYetAnchoredError(f"the anchor of event {index} is being made again")
        leaf, size = leaf_hash(commit(event, k)), anchored.made.size
        path = await self._log.inclusion_path(index, size)
        if await self._log.leaf(index) != leaf:
            raise CommitmentError(f"event {index} is not what the log committed to")
        try:
            verify_inclusion(leaf, index, size, path, anchored.made.root)
        except InclusionError as error:
            raise HistoryError(f"the first {size} events are not those anchored") from error
        entry = receipt.Entry(index, event, k)
        signatories = await self._announcer.signed_by(anchored.made.checkpoint)
        return receipt.build(entry, path, anchored, signatories).encode()

    def _is_due(self, now: datetime) -> bool:
        since = self._waiting.since
        if self.lag <= 0 or since is None:
            self._overdue = False
            return False
        waited = now - since
        return self._overdue or self.lag >= self._cadence.events or waited >= self._cadence.interval

    async def _anchor(self, now: datetime) -> Anchored | None:
        """Make and publish the next checkpoint."""
        head = await self._publication.head()
        size = self._log.size
        if head.size < self._anchored_size:
            await self._explain(now)
            return None
        if head.size:
            await self._log.require_past(head.size, head.root)
        if head.size == size:  # anchored before, by a journal that is lost
            self._cover(size)
            return None
        signed = await self._announcer.announce(size, now)
        proof = await self._log.consistency_path(head.size, size)
        growth = Growth(head.size, size, signed.checkpoint.root, signed.note, proof)
        return await self._publication.publish(growth, now)

    async def _explain(self, now: datetime) -> None:
        """The contract holds less than was final: find what was lost, to be anchored again.

        Raises:
            ChainUnavailableError: Nothing was: the node that was asked lags behind.
        """
        await self._publication.look_back(now)
        if not self._publication.under_way:
            raise ChainUnavailableError("the node lags behind what it has told before")

    def _note(self, anchored: Anchored | None) -> Anchored | None:
        if anchored is not None:
            self._overdue = False
            self._cover(anchored.made.size)
        return anchored

    async def _uncover(self) -> None:
        """An anchor became void for good: what it covered waits again."""
        self._anchored_size = await self._publication.covered()
        self._waiting.covered(self._anchored_size)
        self._publication.renounced = False
        self._overdue = True

    def _cover(self, size: int) -> None:
        self._anchored_size = max(self._anchored_size, size)
        self._waiting.covered(self._anchored_size)


async def open_anchorer(
    log: Log,
    journal: AnchorJournal,
    chain: Chain,
    announcer: Announcer,
    cadence: Cadence | None = None,
    expected: ChainIdentity | None = None,
) -> Anchorer:
    """Give an anchorer that has checked its log, and its chain unless that is down.

    Args:
        log: The log.
        journal: Where its records are durable.
        chain: Where to publish.
        announcer: Signs the log's states.
        cadence: When to anchor.
        expected: The chain that the settings ask for; None trusts the one that was used first.

    Raises:
        WrongChainError: Another chain or contract.  Do not start.
        HistoryError: The log is not a continuation of what was anchored.  Do not start.
    """
    found: ChainIdentity | None = None
    with suppress(ChainUnavailableError):  # it is checked when it comes
        found = await asyncio.to_thread(chain.identity)
    if found is not None and expected is not None:
        check_identity(found, expected)
    anchorer = Anchorer(log, journal, chain, announcer, cadence or Cadence(), found or expected)
    await anchorer.resume()
    return anchorer
