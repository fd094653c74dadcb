"""Key providers: who holds the key-encryption key (KEK) that wraps every other key of a store.

A wrapped key is an HPKE seal (RFC 9180) with MLKEM768_X25519, HKDF-SHA256 and AES-256-GCM, so that a backup made today
stays closed to tomorrow's quantum computer.  Form: ``version (1 byte, 0x01) | HPKE encapsulation and ciphertext``.
The key file holds ``version (1 byte, 0x01) | ML-KEM-768 seed (64) | X25519 private key (32)`` in base64.
"""

import base64
import os
import secrets
import stat
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fhir_server.errors import SettingsError, WrongKeyError

_VERSION = b"\x01"
_SEED = 64
_LENGTH = 1 + _SEED + 32
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class KeyProvider(Protocol):
    """Holds the KEK.  Wrapping may leave the process (an HSM, a vault): callers keep what they unwrap in memory."""

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Wrap ``key``; it opens only with the same ``purpose``."""
        ...

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Open what ``wrap`` made.  Raises ``WrongKeyError`` for another KEK, purpose or altered bytes."""
        ...


class LocalKeyProvider:
    """A KEK in this process' memory, given by a file or by the environment."""

    def __init__(self, material: bytes) -> None:
        if len(material) != _LENGTH or material[:1] != _VERSION:
            raise SettingsError(
                "the key-encryption key is not in the expected form (version 1, 97 bytes)"
            )
        self._key = hpke.MLKEM768X25519PrivateKey(
            MLKEM768PrivateKey.from_seed_bytes(material[1 : 1 + _SEED]),
            X25519PrivateKey.from_private_bytes(material[1 + _SEED :]),
        )
        self._public = self._key.public_key()

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.wrap``."""
        return _VERSION + _SUITE.encrypt(key, self._public, info=purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.unwrap``."""
        if wrapped[:1] != _VERSION:
            raise WrongKeyError("a wrapped key has an unknown version")
        try:
            return _SUITE.decrypt(wrapped[1:], self._key, info=purpose)
        except (InvalidTag, ValueError) as error:
            raise WrongKeyError(
                "the key-encryption key does not open this store: give back the key it was made with"
            ) from error


def new_key_material() -> bytes:
    """Make the material of a fresh KEK (97 bytes)."""
    return _VERSION + secrets.token_bytes(_SEED) + secrets.token_bytes(32)


def from_text(text: str) -> LocalKeyProvider:
    """A provider from base64, as ``CONSENTRY_KEY`` carries it."""
    try:
        return LocalKeyProvider(base64.b64decode(text.strip(), validate=True))
    except ValueError as error:  # binascii.Error is one
        raise SettingsError("the key-encryption key is not base64") from error


def from_file(path: Path, *, may_create: bool) -> LocalKeyProvider:
    """A provider from a key file, made with mode 0600 if ``may_create`` and there is none.

    Raises:
        SettingsError: The file is missing and may not be made, is readable by others, or is not a key.
    """
    if not path.exists() and not may_create:
        raise WrongKeyError(
            f"the key file {path.name} is missing: put it back; without it nothing opens"
        )
    try:
        if not path.exists():
            _create(path)
        mode, text = path.stat().st_mode, path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise SettingsError(
            f"the key file {path.name} cannot be made or read: {error.strerror}"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(
            f"the key file {path.name} is readable by others: run 'chmod 600' on it"
        )
    return from_text(text)


def _create(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(new_key_material()) + b"\n")
        file.flush()
        os.fsync(file.fileno())
