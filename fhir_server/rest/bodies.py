"""The body of a request, read no further than the limit, whatever it unpacks to (RFC 9110, 8.4)."""

import zlib
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from fhir_server.errors import (
    BadRequestError,
    MalformedError,
    TooLargeError,
    UnsupportedMediaTypeError,
)

_GZIP = 16 + zlib.MAX_WBITS
_WITHOUT = frozenset({"GET", "HEAD"})


async def read_body(request: Request, limit: int) -> bytes:
    """The bytes that were sent, unpacked if they are gzip; empty for a method that has none.

    Raises:
        TooLargeError: There are more than ``limit``, packed or unpacked; they are not kept.
        UnsupportedMediaTypeError: They are packed in another way than gzip.
        MalformedError: They are not gzip, though they say so.
    """
    if request.method in _WITHOUT:
        return b""
    return b"".join([part async for part in body_parts(request, limit)])


async def body_parts(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The same, part by part.

    Raises:
        TooLargeError: As ``read_body``, and its other errors; the parts before it were given.
        BadRequestError: The caller went away.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        parts: AsyncIterator[bytes] = request.stream()
    elif coding in ("gzip", "x-gzip"):
        parts = _unpacked(request.stream(), limit)
    else:
        raise UnsupportedMediaTypeError("send the body as it is, or packed as gzip")
    size = 0
    try:
        async for part in parts:
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            yield part
    except ClientDisconnect as error:
        raise BadRequestError("the body ended early") from error


async def _unpacked(packed: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Never more than one byte beyond the limit is unpacked: a bomb does not go off."""
    gzip = zlib.decompressobj(_GZIP)
    left = limit + 1
    try:
        async for chunk in packed:
            unpacked = gzip.decompress(gzip.unconsumed_tail + chunk, left)
            left -= len(unpacked)
            yield unpacked
            if left <= 0:
                return
    except zlib.error as error:
        raise MalformedError("the body is not gzip") from error
    if not gzip.eof or gzip.unused_data:
        raise MalformedError("the body is not whole gzip")


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit} bytes")
