"""EIP-712: what a holder's key signs, for one contract on one chain.

Structs of static members only (``bytes32``, ``uint64``, ``address``), each a word of 32 bytes.
Signatures are written as EIP-2098 has them: ``r``, and ``s`` with the parity in its highest bit.
"""

from dataclasses import dataclass

from eth_keys.datatypes import PrivateKey

from anchoring.chain.transaction import keccak256

_DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_VERSION = b"1"


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
    struct = keccak256(keccak256(type_.encode()) + members)
    digest = keccak256(b"\x19\x01" + domain.separator + struct)
    signature = PrivateKey(key).sign_msg_hash(digest)
    return word(signature.r) + word(signature.v << 255 | signature.s)


def word(value: int | bytes) -> bytes:
    """Give a number, or an address, as the 32 bytes that the ABI has for it."""
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes(32 - len(value)) + value
