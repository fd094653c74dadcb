"""The way to a witness: whatever answers there, or does not, in bounded time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from anchoring.errors import WitnessSilentError
from fhir_server.portal import cosigning

OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer:
            writer.close()
        else:
            await asyncio.sleep(5)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/log/add-checkpoint"
    server.close()


async def test_an_answer_is_given_as_it_came() -> None:
    whole = (
        b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 3\r\n\r\n50\n"
    )
    async with answering(whole) as url:
        reply = await cosigning.post(url, b"old 0\n")
    assert (reply.status, reply.media_type, reply.body) == (409, "text/x.tlog.size", b"50\n")


async def test_a_redirect_is_not_followed() -> None:
    async with answering(b"HTTP/1.1 307 x\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n") as url:
        assert (await cosigning.post(url, b"")).status == 307


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000,
        OK + b"\r\n" + b"x" * 200_000,
        OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
        OK + b"Content-Length: 50\r\n\r\nshort",
        b"rubbish\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_silence(answer: bytes) -> None:
    async with answering(answer) as url:
        with pytest.raises(WitnessSilentError):
            await cosigning.post(url, b"")


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosigning, "_SECONDS", 0.2)
    async with answering(b"") as url:
        with pytest.raises(WitnessSilentError):
            await cosigning.post(url, b"")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/log", "http://nowhere.invalid/log", "x://y"])
async def test_nobody_there_is_silence(url: str) -> None:
    with pytest.raises(WitnessSilentError):
        await cosigning.post(url, b"")
