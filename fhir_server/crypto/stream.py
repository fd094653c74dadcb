"""Sealing a large document in chunks, so that it streams through constant memory.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: CRYPTO 2015) as age uses it (C2SP age v1, "Payload"): a key
of its own for each document, and as nonce the chunk's number (11 bytes, big-endian) with a byte that is 1 for the last one.
So chunks can not be moved, left out, doubled or cut off behind without one that does not open.

Sealed form of a chunk: ``version (1 byte, 0x01) | ciphertext and tag``.  All chunks hold ``CHUNK`` bytes: the document is
filled up with zeros to a Padmé length (``seal.py``), and that to whole chunks.
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.crypto.seal import padded_length
from fhir_server.errors import TamperedRecordError

CHUNK = 64 * 1024
_VERSION = b"\x01"
_KEY = 32


def new_stream_key() -> bytes:
    """A key for one document."""
    return secrets.token_bytes(_KEY)


def chunks_of(size: int) -> int:
    """How many chunks hold a document of ``size`` bytes."""
    return max(1, -(-padded_length(size) // CHUNK))


class StreamSeal:
    """Seals and opens the chunks of one document.

    Args:
        key: ``new_stream_key()``; never used for a second document.
        place: What the document is bound to.
    """

    __slots__ = ("_cipher", "_place")

    def __init__(self, key: bytes, place: bytes) -> None:
        self._cipher = AESGCM(key)
        self._place = place

    def seal(self, number: int, content: bytes, *, last: bool) -> bytes:
        """Seal chunk ``number`` (from 0)."""
        return _VERSION + self._cipher.encrypt(_nonce(number, last=last), content, self._place)

    def open(self, number: int, sealed: bytes, *, last: bool) -> bytes:
        """Open what ``seal`` made for the same number and place.

        Raises:
            TamperedRecordError: It is not that chunk.
        """
        if sealed[:1] != _VERSION:
            raise TamperedRecordError("a chunk has an unknown version")
        try:
            return self._cipher.decrypt(_nonce(number, last=last), sealed[1:], self._place)
        except (InvalidTag, ValueError) as error:
            raise TamperedRecordError("a chunk is not what was sealed") from error


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
