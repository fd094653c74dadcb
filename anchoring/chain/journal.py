"""What the anchorer keeps between restarts: the anchor under way, and those that were made.

The records are JSON with a version member, written and read here; whoever stores them needs to know
nothing but their size.  Version 1, which knew one transaction of a checkpoint, is still read.
"""

import json
from dataclasses import dataclass, replace
from typing import Protocol

from anchoring.chain.chain import ChainIdentity, SignedTransaction
from anchoring.errors import MalformedReceiptError
from anchoring.strict_json import Members, parse_object, read_hex, write_hex

_PENDING = "consentry-pending/v2"
_ANCHOR = "consentry-anchor/v2"
_MOST_ATTEMPTS = 256  # each raises the fee by an eighth at least, so that far fewer reach any cap
_FIRST_NAMES = frozenset({"version", "size", "root", "checkpoint", "transaction", "hash"})
_PENDING_NAMES = _FIRST_NAMES | {"since", "former", "formerHashes"}
_PLACE_NAMES = frozenset({"block", "blockHash", "chain"})
_CHAIN_NAMES = frozenset({"chainId", "genesisHash", "contract", "codeHash", "assurance"})


@dataclass(frozen=True, slots=True)
class Pending:
    """A checkpoint with the transaction that is to anchor it, which may or may not have been sent.

    Attributes:
        size: Leaves.
        root: Root over them, 32 bytes.
        checkpoint: The signed note.
        transaction: Raw signed transaction, the newest one.
        hash_: Its hash, 32 bytes.
        since: Leaves that the contract held before; 0 for the first, or if it was not noted.
        former: Transactions that it replaces, any of which may be mined in its place; oldest first.
    """

    size: int
    root: bytes
    checkpoint: str
    transaction: bytes
    hash_: bytes
    since: int = 0
    former: tuple[SignedTransaction, ...] = ()

    @property
    def attempts(self) -> tuple[SignedTransaction, ...]:
        """Every transaction that may anchor it, the newest first."""
        newest = SignedTransaction(self.transaction, self.hash_)
        return (newest, *reversed(self.former))

    def with_newest(self, signed: SignedTransaction) -> "Pending":
        """Give the same checkpoint with this transaction, known or not, as the newest."""
        others = (each for each in reversed(self.attempts) if each.hash_ != signed.hash_)
        return replace(self, transaction=signed.raw, hash_=signed.hash_, former=tuple(others))


@dataclass(frozen=True, slots=True)
class Anchored:
    """A checkpoint that the contract accepted.

    Attributes:
        made: What was sent; the transaction that was mined is the newest.
        block: Number of the block that holds the transaction.
        block_hash: Its hash, 32 bytes; zeros if none ever will, because a later anchor was there first.
        chain: The chain and contract.
    """

    made: Pending
    block: int
    block_hash: bytes
    chain: ChainIdentity

    @property
    def is_void(self) -> bool:
        """Whether it anchors nothing any more: the next one proves what it did."""
        return not any(self.block_hash)


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
    return _read_pending(*_parse(record, _PENDING, frozenset()))


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
    members, version = _parse(record, _ANCHOR, _PLACE_NAMES)
    chain = members.members("chain", _CHAIN_NAMES)
    return Anchored(
        made=_read_pending(members, version),
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


def _parse(record: bytes, version: str, more: frozenset[str]) -> tuple[Members, str]:
    """Read a record of the present form or of the first one, which has fewer members; and which it is."""
    try:
        return parse_object(record, _PENDING_NAMES | more), version
    except MalformedReceiptError:
        return parse_object(record, _FIRST_NAMES | more), version.replace("/v2", "/v1")


def _pending_members(pending: Pending) -> dict[str, object]:
    return {
        "size": pending.size,
        "root": write_hex(pending.root),
        "checkpoint": pending.checkpoint,
        "transaction": write_hex(pending.transaction),
        "hash": write_hex(pending.hash_),
        "since": pending.since,
        "former": [write_hex(each.raw) for each in pending.former],
        "formerHashes": [write_hex(each.hash_) for each in pending.former],
    }


def _read_pending(members: Members, version: str) -> Pending:
    if members.text("version") != version:
        raise MalformedReceiptError(f"the record is not {version}")
    first = version.endswith("/v1")
    return Pending(
        size=members.number("size"),
        root=members.hex("root", 32),
        checkpoint=members.text("checkpoint"),
        transaction=members.hex("transaction"),
        hash_=members.hex("hash", 32),
        since=0 if first else members.number("since"),
        former=() if first else _read_former(members),
    )


def _read_former(members: Members) -> tuple[SignedTransaction, ...]:
    raws = members.texts("former", _MOST_ATTEMPTS)
    hashes = members.texts("formerHashes", _MOST_ATTEMPTS)
    if len(raws) != len(hashes):
        raise MalformedReceiptError("former transactions and their hashes are not as many")
    return tuple(
        SignedTransaction(read_hex(raw, "former"), read_hex(hash_, "formerHashes", 32))
        for raw, hash_ in zip(raws, hashes, strict=True)
    )
