"""What the anchorer keeps between restarts: the anchor under way, and those that were made.

The records are JSON with a version member, written and read here; whoever stores them needs to know
nothing but their size.
"""

import json
from dataclasses import dataclass
from typing import Protocol

from anchoring.chain import ChainIdentity
from anchoring.errors import MalformedReceiptError
from anchoring.strict_json import Members, parse_object, write_hex

_PENDING = "consentry-pending/v1"
_ANCHOR = "consentry-anchor/v1"
_PENDING_NAMES = frozenset({"version", "size", "root", "checkpoint", "transaction", "hash"})
_CHAIN_NAMES = frozenset({"chainId", "genesisHash", "contract", "codeHash", "assurance"})
_ANCHOR_NAMES = _PENDING_NAMES | {"block", "blockHash", "chain"}


@dataclass(frozen=True, slots=True)
class Pending:
    """A checkpoint with the transaction that is to anchor it, which may or may not have been sent.

    Attributes:
        size: Leaves.
        root: Root over them, 32 bytes.
        checkpoint: The signed note.
        transaction: Raw signed transaction.
        hash_: Its hash, 32 bytes.
    """

    size: int
    root: bytes
    checkpoint: str
    transaction: bytes
    hash_: bytes


@dataclass(frozen=True, slots=True)
class Anchored:
    """A checkpoint that the contract accepted.

    Attributes:
        made: What was sent.
        block: Number of the block that holds the transaction.
        block_hash: Its hash, 32 bytes.
        chain: The chain and contract.
    """

    made: Pending
    block: int
    block_hash: bytes
    chain: ChainIdentity


class AnchorJournal(Protocol):
    """Where the anchorer's records are durable: a call that returned survives a crash."""

    async def load_pending(self) -> bytes | None:
        """Give the record that ``save_pending`` stored last; None if it was anchored since."""
        ...

    async def save_pending(self, record: bytes) -> None:
        """Store the anchor under way in place of any former one."""
        ...

    async def save_anchor(self, size: int, record: bytes) -> None:
        """Store an anchor under its tree size and forget the pending record, in one commit.

        The same size may come twice, with the same meaning: the later record replaces the first.
        """
        ...

    async def last_anchor(self) -> bytes | None:
        """Give the anchor of the greatest size; None if there is none."""
        ...

    async def anchor_covering(self, index: int) -> bytes | None:
        """Give the anchor of the smallest size greater than ``index``; None if there is none."""
        ...


def encode_pending(pending: Pending) -> bytes:
    """Write a pending record."""
    return json.dumps({"version": _PENDING} | _pending_members(pending)).encode()


def decode_pending(record: bytes) -> Pending:
    """Read a pending record.

    Raises:
        MalformedReceiptError: The record is not one.
    """
    return _read_pending(parse_object(record, _PENDING_NAMES), _PENDING)


def encode_anchor(anchor: Anchored) -> bytes:
    """Write an anchor."""
    chain = {
        "chainId": anchor.chain.chain_id,
        "genesisHash": write_hex(anchor.chain.genesis_hash),
        "contract": write_hex(anchor.chain.contract),
        "codeHash": write_hex(anchor.chain.code_hash),
        "assurance": anchor.chain.assurance,
    }
    place = {"block": anchor.block, "blockHash": write_hex(anchor.block_hash), "chain": chain}
    return json.dumps({"version": _ANCHOR} | _pending_members(anchor.made) | place).encode()


def decode_anchor(record: bytes) -> Anchored:
    """Read an anchor.

    Raises:
        MalformedReceiptError: The record is not one.
    """
    members = parse_object(record, _ANCHOR_NAMES)
    chain = members.members("chain", _CHAIN_NAMES)
    return Anchored(
        made=_read_pending(members, _ANCHOR),
        block=members.number("block"),
        block_hash=members.hex("blockHash", 32),
        chain=ChainIdentity(
            chain_id=chain.number("chainId"),
            genesis_hash=chain.hex("genesisHash", 32),
            contract=chain.hex("contract", 20),
            code_hash=chain.hex("codeHash", 32),
            assurance=chain.text("assurance"),
        ),
    )


def _pending_members(pending: Pending) -> dict[str, object]:
    return {
        "size": pending.size,
        "root": write_hex(pending.root),
        "checkpoint": pending.checkpoint,
        "transaction": write_hex(pending.transaction),
        "hash": write_hex(pending.hash_),
    }


def _read_pending(members: Members, version: str) -> Pending:
    if members.text("version") != version:
        raise MalformedReceiptError(f"the record is not {version}")
    return Pending(
        size=members.number("size"),
        root=members.hex("root", 32),
        checkpoint=members.text("checkpoint"),
        transaction=members.hex("transaction"),
        hash_=members.hex("hash", 32),
    )
