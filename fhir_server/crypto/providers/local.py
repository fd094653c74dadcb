"""A KEK in this process' memory, from a file or from the environment.

A wrapped key's body is an HPKE seal (RFC 9180) with MLKEM768_X25519, HKDF-SHA256 and AES-256-GCM, so that a backup made
today stays closed to tomorrow's quantum computer.  A KEK's material is
``version (1 byte, 0x01) | ML-KEM-768 seed (64) | X25519 private key (32)``; a key file holds it in base64, the current one
in the first line.  During a rotation the lines below hold KEKs that are still needed (``rotate_file``).
"""

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fhir_server.crypto.provider import kek_of, missing, named
from fhir_server.errors import SettingsError, WrongKeyError

_VERSION = b"\x01"
_SEED = 64
_LENGTH = 1 + _SEED + 32
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class LocalKeyProvider:
    """A KEK in this process' memory, named by a fingerprint: ``local:`` and 8 hexadecimal digits."""

    remote = False

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
        print_ = hashlib.sha256(b"consentry-kek|" + material).hexdigest()  # of 96 random bytes
        self.name = f"local:{print_[:8]}"

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.wrap``."""
        return named(self.name, _SUITE.encrypt(key, self._public, info=purpose))

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """See ``KeyProvider.unwrap``."""
        name, body = kek_of(wrapped)
        if name not in ("", self.name):
            raise missing(name)
        try:
            return _SUITE.decrypt(body, self._key, info=purpose)
        except (InvalidTag, ValueError) as error:
            raise WrongKeyError(
                f"the key-encryption key '{self.name}' does not open this store: give back the key it was made with"
            ) from error

    def is_current(self, wrapped: bytes) -> bool:
        """See ``KeyProvider.is_current``."""
        return kek_of(wrapped)[0] == self.name

    def refresh(self) -> None:
        """See ``KeyProvider.refresh``: this one has one key."""


def new_key_material() -> bytes:
    """Make the material of a fresh KEK (97 bytes)."""
    return _VERSION + secrets.token_bytes(_SEED) + secrets.token_bytes(32)


def from_text(text: str) -> LocalKeyProvider:
    """A provider from base64, as ``CONSENTRY_KEY`` carries it."""
    try:
        return LocalKeyProvider(base64.b64decode(text.strip(), validate=True))
    except ValueError as error:  # binascii.Error is one
        raise SettingsError("the key-encryption key is not base64") from error


def from_file(path: Path, *, may_create: bool) -> tuple[LocalKeyProvider, ...]:
    """The providers of a key file, the current one first; made with mode 0600 if ``may_create`` and there is none.

    Raises:
        WrongKeyError: The file is missing and may not be made.
        SettingsError: It is readable by others, or holds no key.
    """
    if not path.exists() and not may_create:
        raise WrongKeyError(
            f"the key file {path.name} is missing: put it back; without it nothing opens"
        )
    try:
        if not path.exists():
            _write(path, [new_key_material()])
        mode, text = path.stat().st_mode, path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise SettingsError(
            f"the key file {path.name} cannot be made or read: {error.strerror}"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(
            f"the key file {path.name} is readable by others: run 'chmod 600' on it"
        )
    return tuple(from_text(line) for line in text.splitlines() or [""])


def rotate_file(path: Path) -> None:
    """Put a fresh KEK before those of a key file, in one step: a crash leaves the old file or the new one."""
    from_file(path, may_create=False)
    _write(path, [new_key_material(), *_materials(path)])


def retire_file(path: Path) -> list[Path]:
    """Keep only the current KEK of a key file; whoever calls this knows that the database needs no other.

    The others go into files beside it, ``KEYFILE.former-`` and the fingerprint, because backups may need them; these are
    given back.
    """
    current, *others = _materials(path)
    retired = []
    for material in others:
        print_ = LocalKeyProvider(material).name.partition(":")[2]
        retired.append(path.with_name(f"{path.name}.former-{print_}"))
        _write(retired[-1], [material])
    if others:
        _write(path, [current])
    return retired


def _materials(path: Path) -> list[bytes]:
    return [base64.b64decode(line) for line in path.read_bytes().splitlines()]


def _write(path: Path, materials: Sequence[bytes]) -> None:
    written = path.with_name(f"{path.name}.new")
    written.unlink(missing_ok=True)
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(base64.b64encode(material) + b"\n" for material in materials)
        file.flush()
        os.fsync(file.fileno())
    written.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
