"""Large documents: what a Binary holds, too large to stand in the resource, sealed in chunks (``crypto/stream.py``).

Chunks are staged while they come in, durable but nobody's, and become a record's in the unit of work that writes its
version.  What is needed to open them, ``Document``, stands in the sealed text of that version, as its last member: so it is
bound to the version's place, sealed for its patients, sealed again with it, and destroyed with their keys.  The member is
ours alone: ``split`` takes it off before anybody sees the text, and no client can send one (R4 has no such element).

Packed form: base64 of ``version (1 byte, 0x01) | id (16) | key (32) | size (8, big-endian) | SHA-256 of the content (32)``.
"""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fhir_server.crypto.seal import place
from fhir_server.crypto.stream import CHUNK, StreamSeal, chunks_of, new_stream_key
from fhir_server.errors import TamperedRecordError
from fhir_server.store.database import ChunkItems

_MEMBER = ',"_document":"'
_VERSION = b"\x01"
_PACKED = 1 + 16 + 32 + 8 + 32
_AT_ONCE = 8  # chunks in a unit of work, or in a look into the store: half a MiB


@dataclass(frozen=True, slots=True)
class Document:
    """A sealed document.

    Attributes:
        id: 16 random bytes, the name of its chunks.
        size: Bytes.
        digest: SHA-256 of the content.
    """

    id: bytes
    key: bytes = field(repr=False)
    size: int
    digest: bytes = field(repr=False)


def joined(text: str, document: Document | None) -> str:
    """The text of a resource with its document, as it is sealed."""
    return text if document is None else f'{text[:-1]}{_MEMBER}{_packed(document)}"}}'


def split(text: bytes) -> tuple[bytes, Document | None]:
    """The text as it was before ``joined``, and the document."""
    head, member, packed = text.rpartition(_MEMBER.encode())
    if not member:
        return text, None
    return head + b"}", _unpacked(packed.removesuffix(b'"}'))


def _packed(document: Document) -> str:
    size = document.size.to_bytes(8, "big")
    packed = _VERSION + document.id + document.key + size + document.digest
    return base64.b64encode(packed).decode()


def _unpacked(text: bytes) -> Document:
    packed = base64.b64decode(text)
    if packed[:1] != _VERSION or len(packed) != _PACKED:
        raise TamperedRecordError("a document is described in an unknown form")
    return Document(packed[1:17], packed[17:49], int.from_bytes(packed[49:57], "big"), packed[57:])


class Documents:
    """The large documents of one store."""

    def __init__(self, chunks: ChunkItems, tenant: str) -> None:
        self._chunks = chunks
        self._tenant = tenant.encode()

    def begin(self, row: bytes, at: int) -> "Incoming":
        """A document that is to belong to the Binary of this row key; ``at`` in milliseconds since 1970 UTC."""
        id_, key = secrets.token_bytes(16), new_stream_key()
        return Incoming(self._chunks, id_, key, self._seal(id_, key, row), at)

    async def read(
        self, document: Document, row: bytes, start: int, stop: int
    ) -> AsyncIterator[bytes]:
        """Bytes ``start`` to ``stop - 1``, in parts.  Chunks that are not needed are not looked at.

        Raises:
            TamperedRecordError: The next chunk is missing, or not what was sealed; nothing of it was given.
        """
        seal, last = self._seal(document.id, document.key, row), chunks_of(document.size) - 1
        number, end = start // CHUNK, -(-stop // CHUNK)
        while number < end:
            wanted = min(_AT_ONCE, end - number)
            found = await self._chunks.read(document.id, number, wanted)
            if len(found) != wanted:
                raise TamperedRecordError("a chunk is missing")
            for sealed in found:
                opened, at = seal.open(number, sealed, last=number == last), number * CHUNK
                yield opened[max(0, start - at) : stop - at]
                number += 1
                await asyncio.sleep(
                    0
                )  # a fast reader never makes us wait: let others in all the same

    async def drop(self, document: Document) -> None:
        """Forget a document that is still staged."""
        await self._chunks.drop(document.id)

    async def sweep(self, before: int) -> int:
        """Forget what was staged and not touched since ``before`` (ms), and what is left of erased records."""
        return await self._chunks.sweep(before)

    def _seal(self, id_: bytes, key: bytes, row: bytes) -> StreamSeal:
        return StreamSeal(key, place((b"document", self._tenant, row, id_)))


class Incoming:
    """A document on its way in."""

    def __init__(
        self, chunks: ChunkItems, id_: bytes, key: bytes, seal: StreamSeal, at: int
    ) -> None:
        self._chunks = chunks
        self._id = id_
        self._key = key
        self._seal = seal
        self._at = at
        self._digest = hashlib.sha256()
        self._size = 0
        self._rest = bytearray()  # shorter than what is written at once, and a part
        self._next = 0

    async def add(self, part: bytes, at: int) -> None:
        """Take the next bytes; ``at`` is now, in milliseconds since 1970 UTC.

        Raises:
            StoreFullError: The disk is full.
        """
        self._at = at
        self._digest.update(part)
        self._size += len(part)
        self._rest += part
        while len(self._rest) > _AT_ONCE * CHUNK:  # never the last chunk, whose seal says so
            await self._write(_AT_ONCE, last=-1)

    async def end(self) -> Document:
        """All bytes were taken: fill up, write the last chunk, and tell what was made."""
        count = chunks_of(self._size)
        while self._next < count:
            wanted = min(_AT_ONCE, count - self._next)
            missing = wanted * CHUNK - len(self._rest)
            self._rest += bytes(max(0, missing))
            await self._write(wanted, last=count - 1)
        return Document(self._id, self._key, self._size, self._digest.digest())

    async def drop(self) -> None:
        """Forget what was taken."""
        await self._chunks.drop(self._id)

    async def _write(self, count: int, *, last: int) -> None:
        first, rest = self._next, self._rest
        with memoryview(rest) as view:
            sealed = [
                self._seal.seal(
                    first + n, bytes(view[n * CHUNK : (n + 1) * CHUNK]), last=first + n == last
                )
                for n in range(count)
            ]
        del rest[: count * CHUNK]
        await self._chunks.add(self._id, first, sealed, self._at)
        self._next += count
