"""Relaying: bringing what registries hold to the status that is wanted, by transactions.

Nothing has to be remembered between two rounds.  A round looks how everything stands and sends
what is missing; a status is reached once, so a transaction that is sent twice does nothing the
second time.  A round that was killed anywhere is simply followed by the next one.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from anchoring.chain import transaction as tx
from anchoring.errors import AnchorRevertedError
from anchoring.registry.node import Means, Node, final_block
from anchoring.registry.typed_data import Domain

GAS = 120_000  # a filing needs about 53,000
_PATIENCE = 60.0  # seconds until a transaction that waits is replaced by one that pays more
_GWEI = 10**9
_TOLD = 1000
_LOG = logging.getLogger("consentry")


class Standing(Enum):
    """How a wish stands: come true, to be sent, waiting for somebody else, or with nothing left to wish."""

    TRUE = "true"
    MISSING = "missing"
    WAITING = "waiting"
    IDLE = "idle"


class Wish(Protocol):
    """Something, and the status that it should have on the chain."""

    @property
    def expiry(self) -> int:
        """From when on nothing is wanted any more, seconds since 1970."""
        ...

    @property
    def question(self) -> bytes:
        """The call that asks the registry how it stands."""
        ...

    def standing(self, answer: bytes) -> Standing:
        """Tell what the registry's answer means."""
        ...

    def call(self, domain: Domain, answer: bytes, deadline: int) -> bytes:
        """Write the signed call that brings it nearer, from where the answer says that it stands."""
        ...


W = TypeVar("W", bound=Wish)


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays, and how much at most.

    Attributes:
        key: Private key, 32 bytes.
        max_fee: Wei per gas.
    """

    key: bytes = field(repr=False)
    max_fee: int = 200 * _GWEI


class Relay:
    """Relays for one registry."""

    def __init__(
        self, node: Node, domain: Domain, payer: Payer, lasting: Callable[[], int]
    ) -> None:
        """Relay through a node.

        Args:
            node: The chain.
            domain: The registry.
            payer: Whose transactions it are.
            lasting: Says for how long a signature made now is good, in seconds from the newest block; no two are the
                same, so that they link nothing.
        """
        self._node = node
        self._domain = domain
        self._payer = payer
        self._lasting = lasting
        self._stuck: tuple[int, float, int] = (-1, 0.0, 0)  # nonce, since when, times raised
        self._told: set[object] = set()  # what was said of late, so as not to say it every second

    def round(self, wishes: Sequence[W], confirmations: int, now: float) -> list[W]:
        """Send what is missing; give the wishes that have come true for good.

        Args:
            wishes: What is wanted.
            confirmations: Blocks, its own included, until a status counts, or ``FINALIZED``.
            now: Monotonic seconds.

        Raises:
            ChainUnavailableError: No answer; the next round does what is left.
        """
        newest = self._node.block()
        assert newest is not None, "the newest block is always there"
        final = final_block(self._node, confirmations)
        done, open_ = [], []
        for wish in wishes:
            expired = wish.expiry <= newest.time
            if expired or wish.standing(self._ask(wish, final)) is Standing.TRUE:
                done.append(wish)
            else:
                open_.append((wish, self._ask(wish, None)))
        done += self._send(open_, newest.time, now)
        return done

    def _ask(self, wish: Wish, block: int | None) -> bytes:
        return self._node.call(self._domain.contract, wish.question, block)

    def _send(self, wishes: Sequence[tuple[W, bytes]], time: int, now: float) -> list[W]:
        """Send for each wish, unless what was sent before waits still; give those for which there is nothing to do."""
        undone = (Standing.MISSING, Standing.IDLE)
        wanted = [(w, a, w.standing(a)) for w, a in wishes if w.standing(a) in undone]
        if not wanted:
            return []
        means = self._node.means(tx.address(self._payer.key))
        if means.waiting and not self._is_stuck(means, now):
            return []  # nor is anything idle for sure, while something of ours waits
        nonce = means.nonce
        for wish, answer, standing in wanted:
            if standing is Standing.IDLE:
                continue
            call = wish.call(self._domain, answer, time + self._lasting())
            try:
                self._node.call(self._domain.contract, call)
            except AnchorRevertedError:
                self._tell("registry refuses", self._domain.name, wish.question)
                continue
            said = self._node.send(self._signed(means, nonce, call))
            if said:
                self._tell("not relayed", said, said)
                break
            nonce += 1
        return [wish for wish, _, standing in wanted if standing is Standing.IDLE]

    def _tell(self, words: str, reason: str, about: object) -> None:
        """Say something in the log, once until something else goes wrong for a while."""
        if about not in self._told:
            _LOG.error(words, extra={"reason": reason})
        if len(self._told) > _TOLD:
            self._told.clear()
        self._told.add(about)

    def _is_stuck(self, means: Means, now: float) -> bool:
        """Tell whether the first transaction that waits has done so for too long; then the next ones pay more."""
        nonce, since, raised = self._stuck
        if nonce != means.nonce:
            self._stuck = (means.nonce, now, 0)
            return False
        if now - since < _PATIENCE:
            return False
        self._stuck = (nonce, now, raised + 1)
        return True

    def _signed(self, means: Means, nonce: int, call: bytes) -> bytes:
        raised = self._stuck[2] if self._stuck[0] == means.nonce else 0
        more = (9 / 8) ** raised  # what clients ask of a transaction that replaces another
        fee = min(int((2 * means.base_fee + means.tip) * more) + raised, self._payer.max_fee)
        tip = min(int(means.tip * more) + raised, fee)
        to = self._domain.contract
        content = tx.Transaction(self._domain.chain_id, nonce, tip, fee, GAS, to, call)
        return tx.sign(content, self._payer.key).raw
