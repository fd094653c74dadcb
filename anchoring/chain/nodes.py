"""Several nodes of one chain, asked in turn: the one that answered last first.

They must agree on which chain it is.  One that tells of another chain is left out, and it is told
in the log by its place in the list (an address may carry a key).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from anchoring.errors import ChainUnavailableError, WrongChainError

N = TypeVar("N")
T = TypeVar("T")
_LOG = logging.getLogger("consentry")


@dataclass(frozen=True, slots=True)
class Facts:
    """Which chain a node serves.

    Attributes:
        chain_id: EIP-155 chain id; 0 where any is right.
        genesis_hash: Hash of block 0; empty where any is right.
    """

    chain_id: int = 0
    genesis_hash: bytes = b""

    def fits(self, found: "Facts") -> bool:
        """Tell whether a chain that was found is the one meant."""
        return self.chain_id in (0, found.chain_id) and self.genesis_hash in (
            b"",
            found.genesis_hash,
        )


ANY_CHAIN = Facts()


class Nodes(Generic[N]):
    """The nodes of one chain."""

    def __init__(self, nodes: Sequence[N], facts: Callable[[N], Facts], meant: Facts) -> None:
        """Keep the nodes.

        Args:
            nodes: At least one, the preferred one first.
            facts: Asks a node which chain it serves.
            meant: What the chain must be.  What is left open, the first node that answers decides.
        """
        self._nodes = tuple(nodes)
        self._facts = facts
        self._meant = meant
        self._checks = len(self._nodes) > 1 or meant != ANY_CHAIN
        self._first = 0
        self._known: set[int] = set()
        self._left_out: set[int] = set()

    def ask(self, question: Callable[[N], T]) -> T:
        """Give the first answer.

        Raises:
            ChainUnavailableError: No node answers that could.
            WrongChainError: Each of them is of another chain.
        """
        failed: ChainUnavailableError | None = None
        for place in self._order():
            try:
                self._check(place)
                if place in self._left_out:
                    continue
                answer = question(self._nodes[place])
            except ChainUnavailableError as error:
                failed = error
                self._known.discard(place)  # behind the same address there may be another one then
                continue
            self._first = place
            return answer
        if failed is not None:
            raise failed
        raise WrongChainError("the chain's id or genesis_hash is not the expected one")

    def _order(self) -> Iterator[int]:
        many = len(self._nodes)
        for i in range(many):
            place = (self._first + i) % many
            if place not in self._left_out or many == 1:
                yield place

    def _check(self, place: int) -> None:
        if not self._checks or place in self._known:
            return
        found = self._facts(self._nodes[place])
        if not self._meant.fits(found):
            self._left_out.add(place)
            _LOG.error("a node of another chain is left out", extra={"node": place + 1})
            return
        self._left_out.discard(place)
        self._meant = found
        self._known.add(place)
