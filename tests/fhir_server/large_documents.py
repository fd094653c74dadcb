"""Large documents in a clinic in process: sent and read as ``rest/`` does it, part by part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from fhir_server.forms import Recorded

from .clinic import HOUSE, Answer, Clinic

PDF = "application/pdf"
CHUNK = 64 * 1024


def pattern(size: int) -> bytes:
    """Bytes in which each place tells where it is."""
    return b"".join(n.to_bytes(8, "big") for n in range(-(-size // 8)))[:size]


async def send(
    clinic: Clinic,
    content: bytes | Iterable[bytes],
    url: str = "Binary",
    *,
    who: str = HOUSE,
    context: str = "",
    method: str = "POST",
    **headers: str,
) -> Answer:
    """Send a document; an iterable is sent as it comes, and may raise."""
    named = {"content-type": PDF, **{k.replace("_", "-"): v for k, v in headers.items()}}
    if context:
        named["x-security-context"] = context
    received = clinic.received(who, method, url, headers=named)

    async def parts() -> AsyncIterator[tuple[bytes, int]]:
        pieces = (
            (content[at : at + 50_000] for at in range(0, len(content), 50_000))
            if isinstance(content, bytes)
            else content
        )
        for piece in pieces:
            yield piece, received.at

    return Answer(await clinic.pipeline.answer(replace(received, body=b""), parts=parts()))


async def sent(clinic: Clinic, content: bytes, **about: str) -> str:
    """Send a document, which must work; its id."""
    answer = await send(clinic, content, **about)
    assert answer.status in (200, 201), answer.body
    return answer.id_


async def fetch(clinic: Clinic, who: str, url: str, **headers: str) -> tuple[Recorded, bytes]:
    """Read what a Binary holds: the answer, and what went out."""
    named = {"accept": PDF, **{k.replace("_", "-"): v for k, v in headers.items()}}
    answer = await clinic.ask(who, "GET", url, headers=named)
    recorded, parts = await clinic.pipeline.pour(answer.recorded)
    if parts is None:
        return recorded, recorded.body
    return recorded, b"".join([part async for part in parts])
