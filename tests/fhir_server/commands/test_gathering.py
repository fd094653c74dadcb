"""Responses leave in as few writes as they can, in their order, and none is kept back."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import uvicorn
from starlette.types import Receive, Scope, Send

from fhir_server.commands.gathering import Gathered
from fhir_server.commands.serve import GatheringProtocol

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.seen.append(data)

    def close(self) -> None:
        self.seen.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.seen


def gathered(wire: Wire) -> Gathered:
    return Gathered(cast("asyncio.Transport", wire))


async def test_a_head_and_its_body_are_one_write() -> None:
    wire = Wire()
    transport = gathered(wire)
    for _ in range(2):
        transport.write(HEAD)
        transport.write(b"{}")
    await asyncio.sleep(0)
    assert wire.seen == [HEAD + b"{}"] * 2


async def test_a_head_whose_body_takes_its_time_goes_out_before_it() -> None:
    wire = Wire()
    transport = gathered(wire)
    transport.write(HEAD)
    assert wire.seen == []
    await asyncio.sleep(0)
    assert wire.seen == [HEAD]
    transport.write(b"{")
    transport.write(b"}")
    assert wire.seen == [HEAD, b"{", b"}"]


async def test_a_body_that_looks_like_a_head_keeps_its_place() -> None:
    wire = Wire()
    transport = gathered(wire)
    for part in (HEAD, HEAD, HEAD, b"end"):
        transport.write(part)
    await asyncio.sleep(0)
    assert b"".join(cast("list[bytes]", wire.seen)) == HEAD * 3 + b"end"


async def test_closing_sends_what_is_kept_first() -> None:
    wire = Wire()
    transport = gathered(wire)
    transport.write(HEAD)
    transport.close()
    await asyncio.sleep(0)
    assert wire.seen == [HEAD, "closed"]
    assert transport.is_closing()


async def test_a_real_client_gets_whole_and_streamed_answers_head_requests_and_the_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"two") if scope["path"] == "/slow" else ():
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"last"})

    config = uvicorn.Config(app, http=GatheringProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        for asked in (b"GET /", b"HEAD /", b"GET /slow", b"GET /"):
            last = b"" if asked == b"HEAD /" else b"0\r\n\r\n"
            writer.write(asked + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readuntil(last) if last else b""
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            parts = b"3\r\none\r\n3\r\ntwo\r\n" if asked.endswith(b"slow") else b""
            assert body == (parts + b"4\r\nlast\r\n0\r\n\r\n" if last else b"")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.read()).endswith(b"4\r\nlast\r\n0\r\n\r\n")
        writer.close()
        server.should_exit = True
        await serving
