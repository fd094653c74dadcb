"""The anchorer: takes new leaves, decides when a checkpoint is due, signs it, makes receipts.

Off the request path: leaves are durable before it sees them, and a chain that is down only makes it
wait.  Before each checkpoint it asks the contract for its size and root, and finds that root in our
own tree.  How a checkpoint comes onto the chain is in ``publication.py``.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from anchoring import checkpoint as note
from anchoring import receipt
from anchoring.chain import Chain, ChainIdentity, Head, check_identity
from anchoring.checkpoint import Checkpoint, LogSeeds
from anchoring.commitment import COMMITMENT_BYTES, commit
from anchoring.errors import CommitmentError, HistoryError, NotYetAnchoredError
from anchoring.journal import Anchored, AnchorJournal, decode_anchor
from anchoring.merkle import Tree, leaf_hash
from anchoring.publication import Growth, Publication

_CHUNK = 4096  # commitments read at once: some 10 ms of hashing between two turns of the event loop


class LeafSource(Protocol):
    """The durable log of commitments, gapless from 0, which only ever grows."""

    async def commitments(self, start: int, stop: int) -> list[bytes]:
        """Give the 32-byte commitments of events ``start`` to ``stop - 1``; fewer at the end."""
        ...


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
        leaves: LeafSource,
        journal: AnchorJournal,
        chain: Chain,
        seeds: LogSeeds,
        cadence: Cadence,
        identity: ChainIdentity,
    ) -> None:
        """Keep the parts; ``open_anchorer`` checks them."""
        self._leaves = leaves
        self._journal = journal
        self._publication = Publication(journal, chain, note.log_id(seeds.origin), identity)
        self._seeds = seeds
        self._cadence = cadence
        self._log_keys = seeds.public_keys()
        self._tree = Tree()
        self._anchored_size = 0
        self._waiting_since: datetime | None = None
        self._overdue = False
        self._one_run = asyncio.Lock()

    @property
    def lag(self) -> int:
        """How many events are in the log that no anchor covers yet, as far as was seen."""
        return self._tree.size - self._anchored_size

    @property
    def size(self) -> int:
        """How many events are in the log, as far as was seen."""
        return self._tree.size

    async def resume(self) -> None:
        """Build the tree, check it and the chain against the last anchor, find work under way.

        Raises:
            WrongChainError: That anchor is on another chain or contract.  Do not start.
            HistoryError: The log is shorter than, or differs from, what was anchored.
        """
        last = await self._publication.resume()
        await self._grow()
        if last is not None:
            require_anchored(self._tree, last.made.size, last.made.root)
            self._anchored_size = last.made.size
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
            AnchorRevertedError: The contract refused twice in a row, so not for a race: another
                account publishes this log, or ours cannot pay.  Stop: somebody must look.
        """
        async with self._one_run:
            settled = self._note(await self._publication.settle())
            if self._publication.under_way:
                return None
            await self._grow()
            if not self._is_due(now):
                return settled
            return self._note(await self._anchor(now)) or settled

    async def follow(self) -> None:
        """Look at the log and at what was anchored, without anchoring: another process does that at the moment.

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
                await self._grow()

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
        """
        record = await self._journal.anchor_covering(index)
        if record is None:
            raise NotYetAnchoredError(f"no anchor covers event {index} yet")
        anchored = decode_anchor(record)
        if self._tree.size < anchored.made.size:  # another process anchored it
            await self.follow()
        if self._tree.leaf(index) != leaf_hash(commit(event, k)):
            raise CommitmentError(f"event {index} is not what the log committed to")
        path = self._tree.inclusion_path(index, anchored.made.size)
        entry = receipt.Entry(index, event, k)
        return receipt.build(entry, path, anchored, self._log_keys).encode()

    async def _grow(self) -> None:
        """Append the log's new leaves to the tree."""
        while True:
            start = self._tree.size
            new = await self._leaves.commitments(start, start + _CHUNK)
            if any(len(commitment) != COMMITMENT_BYTES for commitment in new):
                raise HistoryError(f"a commitment from {start} on has a wrong length")
            self._tree.extend(map(leaf_hash, new))
            if len(new) < _CHUNK:
                return
            await asyncio.sleep(0)

    def _is_due(self, now: datetime) -> bool:
        if self.lag <= 0:
            self._waiting_since, self._overdue = None, False
            return False
        self._waiting_since = self._waiting_since or now
        waited = now - self._waiting_since
        return self._overdue or self.lag >= self._cadence.events or waited >= self._cadence.interval

    async def _anchor(self, now: datetime) -> Anchored | None:
        """Make and publish the next checkpoint."""
        head = await self._publication.head()
        self._check_head(head)
        size = self._tree.size
        if head.size == size:  # anchored before, by a journal that is lost
            self._anchored_size = size
            return None
        root = self._tree.root(size)
        signed_note = note.sign(Checkpoint(self._seeds.origin, size, root), self._seeds, now)
        proof = self._tree.consistency_path(head.size, size)
        return await self._publication.publish(Growth(size, root, signed_note, proof))

    def _note(self, anchored: Anchored | None) -> Anchored | None:
        if anchored is not None:
            self._waiting_since, self._overdue = None, False
            self._anchored_size = max(self._anchored_size, anchored.made.size)
        return anchored

    def _check_head(self, head: Head) -> None:
        if head.size:
            require_anchored(self._tree, head.size, head.root)
        elif self._anchored_size:
            raise HistoryError("the contract has forgotten this log")


def require_anchored(tree: Tree, size: int, root: bytes) -> None:
    """Refuse an anchored state that is not a past of a log.

    Raises:
        HistoryError: The log is shorter, or another.
    """
    if size > tree.size:
        raise HistoryError(f"the log has {tree.size} events, but {size} were anchored")
    if tree.root(size) != root:
        raise HistoryError(f"the first {size} events are not those that were anchored")


async def open_anchorer(
    leaves: LeafSource,
    journal: AnchorJournal,
    chain: Chain,
    seeds: LogSeeds,
    cadence: Cadence | None = None,
    expected: ChainIdentity | None = None,
) -> Anchorer:
    """Give an anchorer that has checked its chain and built its tree.

    Args:
        leaves: The log.
        journal: Where its records are durable.
        chain: Where to publish.
        seeds: The log's name and signing keys.
        cadence: When to anchor.
        expected: The chain that the settings ask for; None trusts the one that was used first.

    Raises:
        WrongChainError: Another chain or contract.  Do not start.
        HistoryError: The log is not a continuation of what was anchored.  Do not start.
        ChainUnavailableError: Try again later.
    """
    found = await asyncio.to_thread(chain.identity)
    if expected is not None:
        check_identity(found, expected)
    anchorer = Anchorer(leaves, journal, chain, seeds, cadence or Cadence(), found)
    await anchorer.resume()
    return anchorer
