"""A large document on its way out: opened chunk by chunk, after its AuditEvent is durable (``forms.Stream``).

Each chunk is proved before a byte of it goes out.  One that is damaged breaks the answer off, on record; at the beginning of
what is wanted it does so before there is any answer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

from fhir_server.errors import IntegrityError
from fhir_server.forms import Stream
from fhir_server.vault.documents import Documents


async def pour(
    stream: Stream, documents: Documents, broken: Callable[[], Awaitable[object]]
) -> AsyncIterator[bytes]:
    """The bytes of a stream, the first of them opened already.

    Args:
        broken: Puts on record that a later chunk is damaged.

    Raises:
        IntegrityError: The first chunk is damaged; also while iterating, after ``broken``.
    """
    parts = documents.read(stream.document, stream.row, stream.start, stream.stop)
    first = await anext(parts)
    return _poured(first, parts, broken)


async def _poured(
    first: bytes, parts: AsyncIterator[bytes], broken: Callable[[], Awaitable[object]]
) -> AsyncIterator[bytes]:
    yield first
    try:
        async for part in parts:
            yield part
    except IntegrityError:
        await broken()
        raise
