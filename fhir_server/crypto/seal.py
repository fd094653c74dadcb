"""Sealing one record: AES-256-GCM under a data key, bound to the place where the record lies.

Sealed form: ``version (1 byte, 0x01) | nonce (12) | ciphertext and tag``.  The plaintext is
``length (4, big-endian) | content | zeros`` up to a Padmé length (Nikitin et al., PoPETs 2019), so that the length
tells at most 12 % of itself.  The associated data is ``place``: tenant, type, row key, version, patient tokens and key id,
each length-prefixed: a row copied elsewhere, an older version put back or an edited column does not open.
"""

import secrets
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.errors import TamperedRecordError

_VERSION = b"\x01"
_NONCE = 12
SEAL_HEAD = 1 + _NONCE  # the version and the nonce: no two seals begin alike
_PREFIX = 4


class DataKey:
    """A data-encryption key (32 bytes), ready to use, and the name of whom it belongs to."""

    __slots__ = ("_cipher", "id", "owner")

    def __init__(self, id_: bytes, secret: bytes, owner: str = "") -> None:
        self.id = id_
        self.owner = owner
        self._cipher = AESGCM(secret)

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Seal ``content`` for ``place``; ``open`` with the same key and place gives it back."""
        nonce = secrets.token_bytes(_NONCE)  # random: at most 2**32 seals per key (SP 800-38D, 8.3)
        return _VERSION + nonce + self._cipher.encrypt(nonce, _pad(content), place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Open what ``seal`` made for the same ``place``.

        Raises:
            TamperedRecordError: Bytes, key or place are not those that were sealed.
        """
        if sealed[:1] != _VERSION:
            raise TamperedRecordError("unknown seal version")
        nonce = sealed[1 : 1 + _NONCE]
        try:
            padded = self._cipher.decrypt(nonce, sealed[1 + _NONCE :], place)
        except (InvalidTag, ValueError) as error:
            raise TamperedRecordError("authentication tag does not match") from error
        return padded[_PREFIX : _PREFIX + int.from_bytes(padded[:_PREFIX], "big")]


def place(parts: Iterable[bytes]) -> bytes:
    """Join the parts of a place, each with its length before it (4 bytes), so that no two places look the same."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def _pad(content: bytes) -> bytes:
    framed = len(content).to_bytes(_PREFIX, "big") + content
    return framed.ljust(padded_length(len(framed)), b"\x00")


def padded_length(length: int) -> int:
    """The Padmé length for ``length`` bytes, at least 256."""
    if length <= 256:
        return 256
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask
