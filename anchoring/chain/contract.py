"""The AuditAnchor's code, and how a call to it and its event are written (Solidity ABI).

The artifact beside ``contracts/AuditAnchor.sol`` was made by solc; a test compiles the source again
and compares.  Encoded by hand, since there is one call and one event, and a verifier should not
need a node library to read them.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from anchoring.chain.chain import Head, Mined
from anchoring.chain.transaction import keccak256
from anchoring.errors import AnchorRevertedError, ChainError, UnknownTransactionError
from anchoring.log.merkle import HASH_BYTES, MAX_PROOF_NODES

ARTIFACT = Path(__file__).parents[1] / "contracts" / "AuditAnchor.json"
ANCHORED_EVENT = "Anchored(bytes32,uint64,bytes32,address)"

GAS = 600_000  # limit of an anchor call; a proof of 64 nodes needs about 250,000
DEPLOYMENT_GAS = 3_000_000

ANCHOR = "anchor(bytes32,uint64,bytes32,bytes32[])"
_HEAD = "head(bytes32)"
_GRANT = "grantPublisher(bytes32,address)"
_REVOKE = "revokePublisher(bytes32,address)"
_IS_PUBLISHER = "isPublisher(bytes32,address)"
# Of an AuditAnchor without grants, before which receipts were given: it accepts the same anchors.
_FORMER_CODE_HASHES = (
    bytes.fromhex("b63cf902d166e0aa48f3a89422a2daffc38c5d33fd28044e8ed92e999ec5a60d"),
)
_WORD = 32
_PROOF_OFFSET = 4 * _WORD  # the array begins behind the four head words


@dataclass(frozen=True, slots=True)
class Artifact:
    """What solc made of AuditAnchor.sol.

    Attributes:
        creation: Creation code.
        runtime: Code that lies at the contract's address.
        methods: Signature to 4-byte selector.
    """

    creation: bytes
    runtime: bytes
    methods: dict[str, bytes]

    @property
    def code_hash(self) -> bytes:
        """Keccak-256 of the code at a genuine contract's address."""
        return keccak256(self.runtime)


@dataclass(frozen=True, slots=True)
class AnchorCall:
    """The arguments of ``anchor``.

    Attributes:
        log: Log id, 32 bytes.
        size: Leaves.
        root: Root, 32 bytes.
        proof: Consistency proof, nodes of 32 bytes.
    """

    log: bytes
    size: int
    root: bytes
    proof: tuple[bytes, ...]


@cache
def artifact() -> Artifact:
    """Read the committed artifact once."""
    made = json.loads(ARTIFACT.read_text("utf-8"))
    return Artifact(
        creation=bytes.fromhex(made["creationBytecode"][2:]),
        runtime=bytes.fromhex(made["runtimeBytecode"][2:]),
        methods={name: bytes.fromhex(at) for name, at in made["methodIdentifiers"].items()},
    )


def genuine_code_hashes() -> tuple[bytes, ...]:
    """Give the Keccak-256 of the code of every AuditAnchor of ours, the present one first."""
    return (artifact().code_hash, *_FORMER_CODE_HASHES)


def is_genuine(code_hash: bytes) -> bool:
    """Tell whether code with this Keccak-256 is an AuditAnchor of ours, the present one or a former one."""
    return code_hash in genuine_code_hashes()


def anchor_calldata(call: AnchorCall) -> bytes:
    """Write a call of ``anchor``."""
    words = (
        call.log,
        _word(call.size),
        call.root,
        _word(_PROOF_OFFSET),
        _word(len(call.proof)),
        *call.proof,
    )
    return artifact().methods[ANCHOR] + b"".join(words)


def read_anchor_calldata(calldata: bytes) -> AnchorCall:
    """Read a call of ``anchor``, accepting only what ``anchor_calldata`` writes.

    Raises:
        UnknownTransactionError: It is another call, or written in another way.
    """
    words = [calldata[at : at + _WORD] for at in range(4, len(calldata), _WORD)]
    if len(words) < 5 or len(words) > 5 + MAX_PROOF_NODES:
        raise UnknownTransactionError("not a call of anchor")
    call = AnchorCall(words[0], int.from_bytes(words[1], "big"), words[2], tuple(words[5:]))
    if anchor_calldata(call) != calldata:
        raise UnknownTransactionError("not a call of anchor in canonical form")
    return call


def grant_calldata(log: bytes, account: bytes) -> bytes:
    """Write a call that lets another account anchor a log, too."""
    return artifact().methods[_GRANT] + log + account.rjust(_WORD, b"\0")


def revoke_calldata(log: bytes, account: bytes) -> bytes:
    """Write a call after which another account may not anchor a log any more."""
    return artifact().methods[_REVOKE] + log + account.rjust(_WORD, b"\0")


def is_publisher_calldata(log: bytes, account: bytes) -> bytes:
    """Write the question whether an account may anchor a log; the answer is one word, 1 or 0."""
    return artifact().methods[_IS_PUBLISHER] + log + account.rjust(_WORD, b"\0")


def head_calldata(log: bytes) -> bytes:
    """Write a call of ``head``."""
    return artifact().methods[_HEAD] + log


def read_head(answer: bytes) -> Head:
    """Read what ``head`` returned.

    Raises:
        ChainError: The answer is not three words: there is no AuditAnchor at that address.
    """
    if len(answer) != 3 * _WORD:
        raise ChainError("the contract's answer has a wrong length")
    publisher, size, root = answer[12:_WORD], answer[_WORD : 2 * _WORD], answer[2 * _WORD :]
    return Head(publisher=publisher, size=int.from_bytes(size, "big"), root=root)


def read_mined(
    block: int, block_hash: bytes, contract: bytes, logs: list[tuple[bytes, list[bytes], bytes]]
) -> Mined:
    """Find the event ``Anchored`` among a transaction's logs (address, topics, words).

    Raises:
        AnchorRevertedError: There is none by this contract: it refused the call.
    """
    for address, topics, words in logs:
        anchored = _read_anchored(topics, bytes(words)) if address == contract else None
        if anchored is not None:
            log, size, root, publisher = anchored
            return Mined(block, block_hash, publisher, log, size, root)
    raise AnchorRevertedError("the transaction is in a block and anchored nothing")


def _read_anchored(topics: list[bytes], words: bytes) -> tuple[bytes, int, bytes, bytes] | None:
    """Read the event ``Anchored``: log, size, root, publisher; None when it is another event."""
    if len(topics) != 4 or topics[0] != keccak256(ANCHORED_EVENT.encode()):
        return None
    if len(words) != HASH_BYTES:
        return None
    return topics[1], int.from_bytes(topics[2], "big"), words, topics[3][12:]


def _word(value: int) -> bytes:
    return value.to_bytes(_WORD, "big")
