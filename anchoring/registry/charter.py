"""ExchangeCharter: whether the institutions have a bundle of policies in force."""

from anchoring.chain.transaction import keccak256, selector
from anchoring.errors import ChainError
from anchoring.registry.node import Log, Node

NAME = "ExchangeCharter"
_IN_FORCE = selector("isInForce(bytes32)")
_CHANGES = (keccak256(b"PolicyApproved(bytes32)"), keccak256(b"PolicyWithdrawn(bytes32)"))


def is_in_force(node: Node, charter: bytes, bundle: bytes, block: int) -> bool:
    """Ask whether a bundle (its SHA-256) is in force as of a block.

    Raises:
        ChainUnavailableError: No answer.
        ChainError: There is no ExchangeCharter at that address.
    """
    said = node.call(charter, _IN_FORCE + bundle, block)
    if len(said) != 32 or any(said[:31]) or said[31] > 1:
        raise ChainError("the charter's answer is neither yes nor no")
    return bool(said[31])


def concerns(log: Log, bundle: bytes) -> bool:
    """Tell whether an event is about a bundle."""
    return log.topics[:1] != () and log.topics[0] in _CHANGES and log.topics[1:2] == (bundle,)
