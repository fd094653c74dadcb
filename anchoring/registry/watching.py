"""Watching contracts: every event of confirmed blocks, at least once, whatever stops in between.

How far the watch has come is a block with its hash.  When the chain has another block at that
number, it was reorganised deeper than the confirmations: the watch goes back and reads again.
So whoever applies events must bear to be told of one twice; what a block said that is gone stays
applied, since a patient's word does not become untrue by a reorganisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from anchoring.errors import ChainUnavailableError, MalformedAnswerError
from anchoring.registry.node import Log, Node, final_block

MOST_BLOCKS = 2_000  # asked for at once
BACK = 256  # blocks that are read again after a deep reorganisation


@dataclass(frozen=True, slots=True)
class Place:
    """How far a watch has come: up to this block, included."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What a look has found.

    Attributes:
        logs: New events, in their order.
        place: How far that is; the next look goes on there.
        whole: Whether there is nothing more to read for now.
        reorganised: Whether the chain has other blocks than those read before: they are read again.
    """

    logs: list[Log]
    place: Place
    whole: bool
    reorganised: bool = False


def begin(node: Node, confirmations: int) -> Place:
    """Give the place of a watch that begins now: only what comes is told."""
    return _place(node, final_block(node, confirmations))


def look(node: Node, contracts: Sequence[bytes], place: Place, confirmations: int) -> Heard:
    """Read on behind ``place``.

    Args:
        node: The chain.
        contracts: Addresses of those watched.
        place: How far the watch had come.
        confirmations: Blocks, its own included, until a block counts, or ``FINALIZED``.

    Raises:
        ChainUnavailableError: No answer; nothing is lost, look again later.
    """
    last = final_block(node, confirmations)
    if last == place.number:
        return Heard([], place, whole=True)  # another block in its place shows with the next one
    standing = node.block(place.number)
    if standing is None or standing.hash != place.hash:
        back = _place(node, max(0, min(place.number, last) - BACK))
        return Heard([], back, whole=False, reorganised=True)
    first = place.number + 1
    if last < first:
        return Heard([], place, whole=True)
    stop, logs = _read(node, contracts, first, min(last, place.number + MOST_BLOCKS))
    return Heard(logs, _place(node, stop), whole=stop == last)


def _read(node: Node, contracts: Sequence[bytes], first: int, last: int) -> tuple[int, list[Log]]:
    """Give the events from ``first`` on, and up to which block they are: fewer if the answer is too long."""
    while True:
        try:
            return last, node.logs(contracts, first, last)
        except (MalformedAnswerError, ChainUnavailableError):
            if last == first:
                raise
            last = first + (last - first) // 2


def _place(node: Node, number: int) -> Place:
    block = node.block(number)
    if block is None:
        raise ChainUnavailableError("the node has lost a block")
    return Place(block.number, block.hash)
