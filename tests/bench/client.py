"""A bare HTTP/1.1 client, so that the load generator does not measure itself."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


class Connection:
    """One kept-alive connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._token = token

    @classmethod
    async def open(cls, port: int, token: str) -> "Connection":
        """Connect to a server on this machine."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        return cls(reader, writer, token)

    async def send(
        self, method: str, path: str, body: bytes = b"", *, form: bool = False
    ) -> Answer:
        """Send one request and read its answer."""
        kind = "application/x-www-form-urlencoded" if form else "application/fhir+json"
        own = f"Authorization: Bearer {self._token}\r\n" if self._token else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{own}"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        await self._writer.drain()
        headers = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(headers.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        return Answer(int(headers[9:12]), await self._reader.readexactly(length))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@dataclass(frozen=True, slots=True)
class Rate:
    """What a run of equal requests measured."""

    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    path: str
    method: str = "GET"
    body: bytes = b""


async def hammer(
    port: int, token: str, calls: Sequence[Call], *, clients: int, seconds: float
) -> Rate:
    """Send ``calls``, over and over, from ``clients`` connections at once for ``seconds``; all must succeed."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        connection = await Connection.open(port, token)
        at = number
        while time.perf_counter() < end:
            call = calls[at % len(calls)]
            started = time.perf_counter()
            answer = await connection.send(call.method, call.path, call.body)
            times.append(time.perf_counter() - started)
            assert answer.status in (200, 201), answer
            at += clients
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(clients)))
    elapsed = time.perf_counter() - started
    ordered = sorted(times)
    return Rate(
        len(ordered) / elapsed,
        ordered[len(ordered) // 2] * 1000,
        ordered[int(len(ordered) * 0.99)] * 1000,
    )
