"""EIP-712: what a holder's key signs, for one contract on one chain.

Structs of static members only (``bytes32``, ``uint64``, ``address``), each a word of 32 bytes.
Signatures are written as EIP-2098 has them: ``r``, and ``s`` with the parity in its highest bit.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from anchoring.chain.transaction import HALF_N, keccak256
from anchoring.errors import ChainError

_DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_VERSION = b"1"
S = TypeVar("S", bound=IntEnum)


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a signature is good.

    Attributes:
        name: Of the contract, such as ``ConsentRegistry``.
        chain_id: EIP-155 chain id.
        contract: Its address, 20 bytes.
    """

    name: str
    chain_id: int
    contract: bytes

    @property
    def separator(self) -> bytes:
        """Its hash, 32 bytes."""
        named = keccak256(self.name.encode()) + keccak256(_VERSION)
        return keccak256(keccak256(_DOMAIN) + named + word(self.chain_id) + word(self.contract))


def sign(domain: Domain, type_: str, members: bytes, key: bytes) -> bytes:
    """Sign a struct with a 32-byte private key; ``r`` and ``vs``, 64 bytes.

    Args:
        domain: Where the signature is good.
        type_: Its encoded type, such as ``Revoke(bytes32 id,uint64 deadline)``.
        members: Their words, one after the other.
        key: The private key, 32 bytes.
    """
    signature = PrivateKey(key).sign_msg_hash(_digest(domain, type_, members))
    return word(signature.r) + word(signature.v << 255 | signature.s)


def compacted(domain: Domain, type_: str, members: bytes, signature: bytes, by: bytes) -> bytes:
    """Give a signature as wallets make it (``r``, ``s``, ``v``: 65 bytes) as ``r`` and ``vs``, if it is that of an address.

    Raises:
        ChainError: It is not.
    """
    v = signature[64] - 27 if len(signature) == 65 and signature[64] > 1 else signature[64:]
    try:
        parity = v if isinstance(v, int) else v[0]
        read = Signature(signature[:64] + bytes([parity]))
        signer = read.recover_public_key_from_msg_hash(_digest(domain, type_, members))
    except (BadSignature, ValidationError, ValueError, IndexError) as error:
        raise ChainError("these bytes are no signature") from error
    if signer.to_canonical_address() != by or read.s > HALF_N:
        raise ChainError("the signature is another key's, or spelt in a second way")
    return word(read.r) + word(parity << 255 | read.s)


def _digest(domain: Domain, type_: str, members: bytes) -> bytes:
    struct = keccak256(keccak256(type_.encode()) + members)
    return keccak256(b"\x19\x01" + domain.separator + struct)


def status_in(answer: bytes, statuses: type[S], what: str) -> S:
    """Give the status that a registry's answer of two words ends with.

    Raises:
        ChainError: It is no such answer: that registry is not at the address.
    """
    status = int.from_bytes(answer[32:], "big")
    if len(answer) != 64 or status not in list(statuses):
        raise ChainError(f"the registry's answer is not {what}")
    return statuses(status)


def word(value: int | bytes) -> bytes:
    """Give a number, or an address, as the 32 bytes that the ABI has for it."""
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes(32 - len(value)) + value
