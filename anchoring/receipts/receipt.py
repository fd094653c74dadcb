"""A receipt: one JSON file that proves one AuditEvent to whoever keeps it.

Members: ``version``; ``event`` (the AuditEvent's stored bytes), ``k`` and ``commitment``;
``leafIndex``, ``treeSize`` and ``inclusionProof``; ``checkpoint`` (the signed note) and ``logKeys``
(C2SP verifier keys, Ed25519 then ML-DSA-44); ``chain`` with the raw anchor transaction, its hash,
its block, and which chain and contract; since version 2, ``witnessKeys`` (verifier keys of those who
cosigned the checkpoint) and ``quorum`` (how many witnesses the log's operator asks for).  Bytes are
base64url, those of the chain hexadecimal.

A receipt holds the event in clear: it is a health record.  Verification is in ``verify.py``.
"""

import json
from dataclasses import dataclass

from anchoring.chain.chain import ASSURANCES, ChainIdentity
from anchoring.chain.journal import Anchored
from anchoring.errors import MalformedReceiptError
from anchoring.log.checkpoint import LogKey, log_id, parse_vkey
from anchoring.log.commitment import COMMITMENT_BYTES, KEY_BYTES, commit
from anchoring.log.merkle import HASH_BYTES, MAX_PROOF_NODES
from anchoring.strict_json import (
    Members,
    parse_object,
    read_base64,
    write_base64,
    write_hex,
)

VERSION = "consentry-receipt/v2"
FIRST_VERSION = "consentry-receipt/v1"  # had no witnesses
MAX_RECEIPT_BYTES = 1024 * 1024

_LOG_KEYS = 2
_EVENT_NAMES = frozenset({"event", "k", "commitment"})
_PROOF_NAMES = frozenset({"leafIndex", "treeSize", "inclusionProof", "checkpoint", "logKeys"})
_FIRST_NAMES = _EVENT_NAMES | _PROOF_NAMES | {"version", "chain"}
_NAMES = _FIRST_NAMES | {"witnessKeys", "quorum"}
_MOST_WITNESS_KEYS = 30  # as many as a note may have signatures beside the log's
_TRANSACTION_NAMES = frozenset({"transaction", "transactionHash", "block", "blockHash"})
_CHAIN_NAMES = _TRANSACTION_NAMES | {
    "chainId",
    "genesisHash",
    "contract",
    "codeHash",
    "logId",
    "assurance",
}


@dataclass(frozen=True, slots=True)
class AnchorClaim:
    """What the receipt says about the chain.

    Attributes:
        identity: Chain and contract.
        log: Log id.
        transaction: Raw signed anchor transaction.
        hash_: Its hash.
        block: Number of the block that is said to hold it.
        block_hash: Hash of that block.
    """

    identity: ChainIdentity
    log: bytes
    transaction: bytes
    hash_: bytes
    block: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class Signatories:
    """Who signed a checkpoint.

    Attributes:
        log: The log's keys.
        witnesses: Keys of those who cosigned.
        quorum: How many witnesses the log's operator asks for.
    """

    log: tuple[LogKey, ...]
    witnesses: tuple[LogKey, ...] = ()
    quorum: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt in the right form, of which nothing has been verified.

    Attributes:
        event: The AuditEvent's stored bytes.
        k: The commitment's key.
        commitment: What the log holds.
        index: The leaf's position.
        size: Leaves in the tree that the proof leads to.
        path: Inclusion proof.
        checkpoint: Signed note.
        signatories: Who must have signed it.
        anchor: Where it was anchored.
    """

    event: bytes
    k: bytes
    commitment: bytes
    index: int
    size: int
    path: tuple[bytes, ...]
    checkpoint: str
    signatories: Signatories
    anchor: AnchorClaim

    def encode(self) -> bytes:
        """Write the JSON file."""
        written = {
            "version": VERSION,
            "event": write_base64(self.event),
            "k": write_base64(self.k),
            "commitment": write_base64(self.commitment),
            "leafIndex": self.index,
            "treeSize": self.size,
            "inclusionProof": [write_base64(node) for node in self.path],
            "checkpoint": self.checkpoint,
            "logKeys": [key.vkey for key in self.signatories.log],
            "witnessKeys": [key.vkey for key in self.signatories.witnesses],
            "quorum": self.signatories.quorum,
            "chain": _chain_members(self.anchor),
        }
        return json.dumps(written, indent=1, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the log, opened.

    Attributes:
        index: Its position, from 0.
        event: The AuditEvent's stored bytes.
        k: The commitment's key.
    """

    index: int
    event: bytes
    k: bytes


def build(entry: Entry, path: list[bytes], anchored: Anchored, signatories: Signatories) -> Receipt:
    """Put together what proves ``entry`` in the tree of an anchor, proving nothing."""
    made = anchored.made
    return Receipt(
        event=entry.event,
        k=entry.k,
        commitment=commit(entry.event, entry.k),
        index=entry.index,
        size=made.size,
        path=tuple(path),
        checkpoint=made.checkpoint,
        signatories=signatories,
        anchor=AnchorClaim(
            identity=anchored.chain,
            log=log_id(signatories.log[0].name),
            transaction=made.transaction,
            hash_=made.hash_,
            block=anchored.block,
            block_hash=anchored.block_hash,
        ),
    )


def parse(encoded: bytes) -> Receipt:
    """Read a receipt, verifying nothing.

    Raises:
        MalformedReceiptError: More than 1 MiB, not JSON, a member missing, unknown, given twice or
            of a wrong type or length, or more than 64 proof nodes.
        CheckpointError: A log key is malformed.
    """
    if len(encoded) > MAX_RECEIPT_BYTES:
        raise MalformedReceiptError(f"a receipt has at most {MAX_RECEIPT_BYTES} bytes")
    first = f'"{FIRST_VERSION}"'.encode() in encoded
    members = parse_object(encoded, _FIRST_NAMES if first else _NAMES)
    if members.text("version") != (FIRST_VERSION if first else VERSION):
        raise MalformedReceiptError(f"the version is not {VERSION} or {FIRST_VERSION}")
    path = members.texts("inclusionProof", MAX_PROOF_NODES)
    signatories = _read_signatories(members, first=first)
    return Receipt(
        event=members.base64("event"),
        k=members.base64("k", KEY_BYTES),
        commitment=members.base64("commitment", COMMITMENT_BYTES),
        index=members.number("leafIndex"),
        size=members.number("treeSize"),
        path=tuple(read_base64(node, "a proof node", HASH_BYTES) for node in path),
        checkpoint=members.text("checkpoint"),
        signatories=signatories,
        anchor=_read_chain(members.members("chain", _CHAIN_NAMES)),
    )


def _read_signatories(members: Members, *, first: bool) -> Signatories:
    log_keys = members.texts("logKeys", _LOG_KEYS)
    if len(log_keys) != _LOG_KEYS:
        raise MalformedReceiptError(f"a receipt has {_LOG_KEYS} log keys")
    keys = tuple(parse_vkey(vkey) for vkey in log_keys)
    if first:
        return Signatories(keys)
    witness_keys = members.texts("witnessKeys", _MOST_WITNESS_KEYS)
    witnesses = tuple(parse_vkey(vkey) for vkey in witness_keys)
    return Signatories(keys, witnesses, members.number("quorum"))


def _chain_members(anchor: AnchorClaim) -> dict[str, object]:
    return {
        "chainId": anchor.identity.chain_id,
        "genesisHash": write_hex(anchor.identity.genesis_hash),
        "contract": write_hex(anchor.identity.contract),
        "codeHash": write_hex(anchor.identity.code_hash),
        "logId": write_hex(anchor.log),
        "transaction": write_hex(anchor.transaction),
        "transactionHash": write_hex(anchor.hash_),
        "block": anchor.block,
        "blockHash": write_hex(anchor.block_hash),
        "assurance": anchor.identity.assurance,
    }


def _read_chain(members: Members) -> AnchorClaim:
    assurance = members.text("assurance")
    if assurance not in ASSURANCES:
        raise MalformedReceiptError("assurance is not a known word")
    identity = ChainIdentity(
        chain_id=members.number("chainId"),
        genesis_hash=members.hex("genesisHash", 32),
        contract=members.hex("contract", 20),
        code_hash=members.hex("codeHash", 32),
        assurance=assurance,
    )
    return AnchorClaim(
        identity=identity,
        log=members.hex("logId", 32),
        transaction=members.hex("transaction"),
        hash_=members.hex("transactionHash", 32),
        block=members.number("block"),
        block_hash=members.hex("blockHash", 32),
    )
