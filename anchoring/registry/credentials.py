"""CredentialRegistry: how a credential is asked about, and which events concern which."""

from dataclasses import dataclass

from anchoring.chain.transaction import keccak256, selector
from anchoring.errors import ChainError
from anchoring.registry.node import Log, Node
from anchoring.registry.typed_data import word

NAME = "CredentialRegistry"

_OF_ONE = tuple(
    keccak256(event)
    for event in (
        b"Attested(bytes32,address,uint8,uint64)",
        b"Renewed(bytes32,address,uint8,uint64)",
        b"Revoked(bytes32,address)",
    )
)
_OF_AN_ISSUER = tuple(
    keccak256(event) for event in (b"IssuerAdmitted(address)", b"IssuerDismissed(address)")
)
_CREDENTIAL = selector("credentialOf(bytes32)")
_ADMITTED = selector("isAdmitted(address)")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a credential stands in a block.

    Attributes:
        level: Up to which level it holds; 0 where it was revoked, never attested, or its issuer is not admitted.
        expiry: From when on it does not hold, seconds since 1970.
    """

    level: int
    expiry: int


def standing_of(node: Node, registry: bytes, id_: bytes, block: int) -> Standing:
    """Ask how a credential stands as of a block.

    Raises:
        ChainUnavailableError: No answer.
        ChainError: There is no CredentialRegistry at that address.
    """
    said = node.call(registry, _CREDENTIAL + id_, block)
    if len(said) != 96 or any(said[:12]):
        raise ChainError("the registry's answer is not a credential")
    issuer, expiry, level = said[12:32], said[32:64], said[64:]
    admitted = node.call(registry, _ADMITTED + word(issuer), block)
    if len(admitted) != 32:
        raise ChainError("the registry's answer is not whether an issuer is admitted")
    held = int.from_bytes(level, "big") if any(admitted) else 0
    return Standing(held, int.from_bytes(expiry, "big"))


def concerns(log: Log, ids: frozenset[bytes]) -> bool:
    """Tell whether an event may have changed how one of these credentials stands."""
    if not log.topics:
        return False
    if log.topics[0] in _OF_AN_ISSUER:
        return True
    return log.topics[0] in _OF_ONE and log.topics[1:2] != () and log.topics[1] in ids
