"""Passwords and client secrets: argon2id (RFC 9106), the only importer of argon2.

Hashes are the PHC strings of argon2 (``$argon2id$v=19$m=...``), which name their own parameters.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from smart_auth.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class HashCost:
    """Cost of one hash: ``memory`` in KiB; the defaults are RFC 9106's second choice."""

    memory: int = 65536
    passes: int = 3
    lanes: int = 4


class WrongPasswordError(Exception):
    """The password is not the one that was hashed; nothing else is said."""


def hash_password(password: str, cost: HashCost | None = None) -> str:
    """Return the PHC string of ``password`` with a random salt."""
    return _hasher(cost or HashCost()).hash(password)


def decoy_hash() -> str:
    """Return a PHC string that nobody knows a password for; to check one takes as long as with a real hash.

    It is drawn, not computed: a hash takes 64 MiB, and each process would take that when it starts.
    """
    cost = HashCost()
    hasher = _hasher(cost)
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19$m={cost.memory},t={cost.passes},p={cost.lanes}${salt}${digest}"


def verify_password(password: str, hashed: str) -> None:
    """Return when ``password`` is the one that was hashed (constant-time).

    Raises:
        WrongPasswordError: It is not, or the hash is not one of argon2.
    """
    try:
        _hasher(HashCost()).verify(hashed, password)
    except (VerificationError, InvalidHashError) as error:
        raise WrongPasswordError from error


def require_hash(name: str, hashed: str) -> None:
    """Return when ``hashed`` is an argon2id PHC string.

    Raises:
        ConfigurationError: It is not, for instance a password in clear; ``name`` is in the message.
    """
    if not hashed.startswith("$argon2id$v=19$"):
        raise ConfigurationError(f"{name} must be an argon2id hash ($argon2id$v=19$...)")


def _hasher(cost: HashCost) -> PasswordHasher:
    return PasswordHasher(cost.passes, cost.memory, cost.lanes)
