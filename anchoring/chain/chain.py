"""What this room needs of a chain, and the facts that it tells.

Hashes and log ids are 32 bytes, addresses 20.  The adapters are in ``evm.py``.
"""

from dataclasses import dataclass, field
from typing import Protocol

from anchoring.errors import WrongChainError

SELF_OPERATED = "self-operated"  # whoever runs the log runs the chain: proves nothing to outsiders
PUBLIC = "public"  # a chain that others run and watch
ASSURANCES = (SELF_OPERATED, PUBLIC)


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """Which contract on which chain.

    Attributes:
        chain_id: EIP-155 chain id.
        genesis_hash: Hash of block 0.
        contract: Address of the AuditAnchor.
        code_hash: Keccak-256 of the code at that address.
        assurance: ``self-operated`` or ``public``.
    """

    chain_id: int
    genesis_hash: bytes
    contract: bytes
    code_hash: bytes
    assurance: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest anchored state of one log, as the contract holds it.

    Attributes:
        publisher: Account that anchored last; 20 zero bytes when the log is unknown.
        size: Leaves; 0 when the log is unknown.
        root: Root over them; 32 zero bytes when the log is unknown.
    """

    publisher: bytes
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction, ready to be sent any number of times: a nonce is used once.

    Attributes:
        raw: EIP-2718 bytes, signed.
        hash_: Keccak-256 of them.
    """

    raw: bytes
    hash_: bytes


@dataclass(frozen=True, slots=True)
class Mined:
    """What the contract logged when it accepted a checkpoint.

    Attributes:
        block: Block number.
        block_hash: Hash of that block.
        publisher: Account that sent the transaction.
        log: Log id.
        size: Leaves.
        root: Root over them.
        final: Whether it has the confirmations asked for.
        gas: Gas that the transaction used.
        paid: What was paid for it, wei.
    """

    block: int
    block_hash: bytes
    publisher: bytes
    log: bytes
    size: int
    root: bytes
    final: bool = field(default=True, compare=False)
    gas: int = field(default=0, compare=False)
    paid: int = field(default=0, compare=False)


class ChainReader(Protocol):
    """A chain with an AuditAnchor on it, for whoever only asks.

    The methods block and may be called from any thread.  Each raises ChainUnavailableError when the
    chain gives no answer; then nothing is known about whether it did what was asked.
    """

    def identity(self) -> ChainIdentity:
        """Say which chain and contract answer, asked afresh."""
        ...

    def head(self, log: bytes) -> Head:
        """Read the newest anchored state of a log from the contract."""
        ...

    def find(self, transaction: bytes) -> Mined | None:
        """Find a transaction by its hash; None if no block holds it.

        Raises:
            AnchorRevertedError: It is in a block for good, and the contract refused it.
        """
        ...


class Chain(ChainReader, Protocol):
    """A chain, and an account that may publish there."""

    def prepare(self, log: bytes, size: int, root: bytes, proof: list[bytes]) -> SignedTransaction:
        """Sign the transaction that anchors a checkpoint, sending nothing."""
        ...

    def send(self, raw: bytes) -> None:
        """Hand a signed transaction to the chain; one that it already knows is no error."""
        ...

    def replace(self, raw: bytes) -> SignedTransaction:
        """Sign the same call again so that it may be mined sooner, sending nothing.

        Of the same nonce both fees rise by an eighth at least (clients refuse less); a nonce that
        is taken, not reached yet, or another account's makes way for the account's next one.

        Returns:
            The new transaction; the same one if its fees can not rise under their caps.
        """
        ...


def check_identity(found: ChainIdentity, expected: ChainIdentity) -> None:
    """Refuse a chain that is not the expected one; returning means it is.

    Raises:
        WrongChainError: Names the first fact that differs.  Do not start: the chain was reset, or
            a setting points elsewhere.
    """
    for fact in ("chain_id", "genesis_hash", "contract", "code_hash", "assurance"):
        if getattr(found, fact) != getattr(expected, fact):
            raise WrongChainError(f"the chain's {fact} is not the expected one")
