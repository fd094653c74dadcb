"""Relaying: bringing versions of Consents to the status that is wanted for them, by transactions.

Nothing has to be remembered between two rounds.  A round looks how each version stands and sends
what is missing; a status is reached once, so a transaction that is sent twice does nothing the
second time.  A round that was killed anywhere is simply followed by the next one.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from anchoring.chain import transaction as tx
from anchoring.errors import AnchorRevertedError
from anchoring.registry.consents import Holder, Status, change_call, read_status, status_call
from anchoring.registry.node import Means, Node, final_block
from anchoring.registry.typed_data import Domain

GAS = 120_000  # a filing needs about 53,000
_PATIENCE = 60.0  # seconds until a transaction that waits is replaced by one that pays more
_GWEI = 10**9
_LOG = logging.getLogger("consentry")


@dataclass(frozen=True, slots=True)
class Wish:
    """A version, and the status that it should have on the chain."""

    holder: Holder
    status: Status


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

    def round(self, wishes: Sequence[Wish], confirmations: int, now: float) -> list[Wish]:
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
        done, missing = [], []
        for wish in wishes:
            if wish.holder.expiry <= newest.time or _is_true(wish, self._stands(wish, final)):
                done.append(wish)
            elif not _is_true(wish, self._stands(wish, None)):
                missing.append(wish)
        done += self._send(missing, newest.time, now)
        return done

    def _stands(self, wish: Wish, block: int | None) -> Status:
        asked = status_call(wish.holder.address, wish.holder.id)
        return read_status(self._node.call(self._domain.contract, asked, block))

    def _send(self, wishes: Sequence[Wish], time: int, now: float) -> list[Wish]:
        """Send for each wish, unless what was sent before waits still; give those for which there is nothing to do."""
        if not wishes:
            return []
        means = self._node.means(tx.address(self._payer.key))
        if means.waiting and not self._is_stuck(means, now):
            return []
        idle, nonce = [], means.nonce
        for wish in wishes:
            if wish.status is Status.REPLACED and self._stands(wish, None) is Status.NONE:
                idle.append(wish)  # it was never filed, and nothing of ours waits that could do it
                continue
            deadline = time + self._lasting()
            call = change_call(self._domain, wish.holder, wish.status, deadline)
            try:
                self._node.call(self._domain.contract, call)
            except AnchorRevertedError:
                _LOG.error("registry refuses", extra={"kind": wish.status.name})
                continue
            said = self._node.send(self._signed(means, nonce, call))
            if said:
                _LOG.warning("not relayed", extra={"reason": said})
                break
            nonce += 1
        return idle

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


def _is_true(wish: Wish, status: Status) -> bool:
    """Tell whether a version stands as wanted, or has gone beyond it: it never goes back."""
    return status >= wish.status
