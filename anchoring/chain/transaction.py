"""EIP-1559 transactions (EIP-2718 type 0x02): signed, read and traced to their sender, offline.

Small enough to be read by an auditor: RLP, one signature, one hash.  Any other type is refused,
and so are bytes that are not the canonical RLP of what they hold.
"""

from dataclasses import dataclass
from typing import TypeAlias

from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from anchoring.chain.chain import SignedTransaction
from anchoring.errors import UnknownTransactionError

MAX_RAW_BYTES = 128 * 1024  # what Ethereum nodes accept in their pools

Rlp: TypeAlias = "bytes | list[Rlp]"

_TYPE = b"\x02"
HALF_N = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0  # EIP-2
_FIELDS = 12
_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Transaction:
    """An unsigned call or deployment.

    Attributes:
        chain_id: EIP-155 chain id.
        nonce: How many transactions the sender made before.
        priority_fee: Most paid per gas to the block's maker, wei.
        fee: Most paid per gas in all, wei.
        gas: Most gas used.
        to: Address called; empty to deploy a contract.
        call: Calldata, or creation code.
    """

    chain_id: int
    nonce: int
    priority_fee: int
    fee: int
    gas: int
    to: bytes
    call: bytes


@dataclass(frozen=True, slots=True)
class ReadTransaction:
    """A signed transaction, read and checked.

    Attributes:
        content: What was signed.
        sender: Address that signed it, recovered from the signature.
        hash_: Its transaction hash.
    """

    content: Transaction
    sender: bytes
    hash_: bytes


def keccak256(message: bytes) -> bytes:
    """Hash as the EVM does: Keccak-256, which is not SHA3-256."""
    return bytes(keccak(message))


def selector(signature: str) -> bytes:
    """Give the 4 bytes by which a call names a function, such as ``head(bytes32)`` (Solidity ABI)."""
    return keccak256(signature.encode())[:4]


def address(key: bytes) -> bytes:
    """Give the account of a 32-byte private key."""
    return bytes(PrivateKey(key).public_key.to_canonical_address())


def contract_address(deployer: bytes, nonce: int) -> bytes:
    """Give the address at which a deployment puts its contract (CREATE)."""
    return keccak256(_encode([deployer, _number(nonce)]))[-20:]


def sign(transaction: Transaction, key: bytes) -> SignedTransaction:
    """Sign with a 32-byte private key; the same every time (RFC 6979)."""
    fields = _fields(transaction)
    signature = PrivateKey(key).sign_msg_hash(keccak256(_TYPE + _encode(fields)))
    signed = [*fields, *(_number(part) for part in (signature.v, signature.r, signature.s))]
    raw = _TYPE + _encode(signed)
    return SignedTransaction(raw=raw, hash_=keccak256(raw))


def read(raw: bytes) -> ReadTransaction:
    """Read a signed transaction and recover who signed it.

    Raises:
        UnknownTransactionError: Not a canonical type-2 transaction, or its signature is none.
    """
    if len(raw) > MAX_RAW_BYTES or raw[:1] != _TYPE:
        raise UnknownTransactionError("not an EIP-1559 transaction")
    fields = _decode(raw[1:])
    if not isinstance(fields, list) or len(fields) != _FIELDS or fields[8] != []:
        raise UnknownTransactionError("the transaction has other fields than expected")
    flat = [field for field in fields if isinstance(field, bytes)]
    if len(flat) != _FIELDS - 1 or flat[6]:
        raise UnknownTransactionError("the transaction has other fields than expected")
    numbers = [int.from_bytes(flat[i], "big") for i in (0, 1, 2, 3, 4, 8, 9, 10)]
    chain_id, nonce, priority, fee, gas, v, r, s = numbers
    content = Transaction(chain_id, nonce, priority, fee, gas, to=flat[5], call=flat[7])
    sender = _recover(content, v, r, s)
    if _TYPE + _encode([*_fields(content), *map(_number, (v, r, s))]) != raw or s > HALF_N:
        raise UnknownTransactionError("the transaction is not in canonical form")
    return ReadTransaction(content, sender, keccak256(raw))


def _fields(transaction: Transaction) -> list[Rlp]:
    numbers = (
        transaction.chain_id,
        transaction.nonce,
        transaction.priority_fee,
        transaction.fee,
        transaction.gas,
    )
    value, access_list = b"", list[Rlp]()  # an anchor moves no coins
    return [*map(_number, numbers), transaction.to, value, transaction.call, access_list]


def _recover(content: Transaction, v: int, r: int, s: int) -> bytes:
    try:
        signature = Signature(vrs=(v, r, s))
        digest = keccak256(_TYPE + _encode(_fields(content)))
        public = signature.recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError, ValueError) as error:
        raise UnknownTransactionError("the transaction's signature is none") from error
    return bytes(public.to_canonical_address())


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _encode(item: Rlp) -> bytes:
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(0x80, len(item)) + item
    body = b"".join(_encode(part) for part in item)
    return _prefix(0xC0, len(body)) + body


def _prefix(base: int, length: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = _number(length)
    return bytes([base + 55 + len(size)]) + size


def _decode(encoded: bytes) -> Rlp:
    item, stop = _decode_at(encoded, 0, _MAX_DEPTH)
    if stop != len(encoded):
        raise UnknownTransactionError("bytes follow the transaction")
    return item


def _decode_at(encoded: bytes, at: int, depth: int) -> tuple[Rlp, int]:
    """Read one item; canonical form is checked by encoding again."""
    if at >= len(encoded) or depth == 0:
        raise UnknownTransactionError("the transaction is cut short or nested too deep")
    first = encoded[at]
    if first < 0x80:
        return encoded[at : at + 1], at + 1
    base = 0x80 if first < 0xC0 else 0xC0
    length, start = first - base, at + 1
    if length > 55:
        start += length - 55
        length = int.from_bytes(encoded[at + 1 : start], "big")
    stop = start + length
    if stop > len(encoded):
        raise UnknownTransactionError("the transaction is cut short")
    if base == 0x80:
        return encoded[start:stop], stop
    items: list[Rlp] = []
    while start < stop:
        item, start = _decode_at(encoded[:stop], start, depth - 1)
        items.append(item)
    return items, stop
