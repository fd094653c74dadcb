"""Fresh random keys of the server itself."""

import secrets

_SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def new_seed() -> bytes:
    """32 random bytes."""
    return secrets.token_bytes(32)


def new_account_key() -> bytes:
    """A private key of an Ethereum account: 32 bytes, a number from 1 to the curve's order less 1 (SEC 2, 2.4.1)."""
    return (1 + secrets.randbelow(_SECP256K1_ORDER - 1)).to_bytes(32, "big")
