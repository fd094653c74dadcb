"""Ed25519 (RFC 8032) and ML-DSA-44 (FIPS 204) signatures over bytes: the door to cryptography.

Private keys are their 32-byte seeds and come in as arguments; nothing here makes one.  Two kinds of
signature, so that a log signed today stays proved when one of the two assumptions falls.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from anchoring.errors import CheckpointError

SEED_BYTES = 32
ED25519_PUBLIC_BYTES = 32
ED25519_SIGNATURE_BYTES = 64
MLDSA44_PUBLIC_BYTES = 1312
MLDSA44_SIGNATURE_BYTES = 2420


def ed25519_public(seed: bytes) -> bytes:
    """Give the 32-byte public key of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """Sign; 64 bytes, the same every time."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def ed25519_verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Prove a signature; returning means proved.

    Raises:
        CheckpointError: The signature does not verify, or the key is none.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise CheckpointError("an Ed25519 signature does not verify") from error


def mldsa44_public(seed: bytes) -> bytes:
    """Give the 1,312-byte public key of a 32-byte seed."""
    return MLDSA44PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def mldsa44_sign(seed: bytes, message: bytes) -> bytes:
    """Sign with an empty context; 2,420 bytes, hedged, so different every time."""
    return MLDSA44PrivateKey.from_seed_bytes(seed).sign(message)


def mldsa44_verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Prove a signature; returning means proved.

    Raises:
        CheckpointError: The signature does not verify, or the key is none.
    """
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise CheckpointError("an ML-DSA-44 signature does not verify") from error
