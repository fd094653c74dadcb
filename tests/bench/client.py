"""A bare HTTP/1.1 client, so that the load generator does not measure itself: it shares the machine with the server.

By itself a request costs it 21 µs of processor time, two thirds of what asyncio's streams cost.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One kept-alive connection, one request at a time."""

    def __init__(self, token: str) -> None:
        self._own = f"Authorization: Bearer {token}\r\n" if token else ""
        self._come = b""
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def open(cls, port: int, token: str) -> "Connection":
        """Connect to a server on this machine."""
        loop = asyncio.get_running_loop()
        made = cls(token)
        made._transport, _ = await loop.create_connection(lambda: made, "127.0.0.1", port)
        return made

    async def send(
        self, method: str, path: str, body: bytes = b"", *, form: bool = False
    ) -> Answer:
        """Send one request and read its answer.

        Raises:
            ConnectionError: The server hung up before the answer was whole.
        """
        kind = "application/x-www-form-urlencoded" if form else "application/fhir+json"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{self._own}"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head.encode() + body)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._come += data
        start = self._come.find(b"\r\n\r\n") + 4
        if start < 4:
            return
        told = _LENGTH.search(self._come, 0, start)
        end = start + (int(told[1]) if told else 0)
        if len(self._come) >= end:
            assert self._answer, "nothing was asked"
            self._answer.set_result(Answer(int(self._come[9:12]), self._come[start:end]))
            self._come = self._come[end:]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the server hung up"))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


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


def hammer(
    ports: Sequence[int], token: str, calls: Sequence[Call], *, clients: int, seconds: float
) -> Rate:
    """Send ``calls``, over and over, from ``clients`` connections at once for ``seconds``; all must succeed."""
    started = time.perf_counter()
    times = sorted(uvloop.run(_hammer(ports, token, calls, clients, started + seconds)))
    elapsed = time.perf_counter() - started
    return Rate(
        len(times) / elapsed,
        times[len(times) // 2] * 1000,
        times[int(len(times) * 0.99)] * 1000,
    )


async def _hammer(
    ports: Sequence[int], token: str, calls: Sequence[Call], clients: int, end: float
) -> list[float]:
    """The seconds that each request took."""
    times: list[float] = []

    async def one(number: int) -> None:
        connection = await Connection.open(ports[number % len(ports)], token)
        at = number
        while time.perf_counter() < end:
            call = calls[at % len(calls)]
            began = time.perf_counter()
            answer = await connection.send(call.method, call.path, call.body)
            times.append(time.perf_counter() - began)
            assert answer.status in (200, 201), answer
            at += clients
        connection.close()

    await asyncio.gather(*(one(number) for number in range(clients)))
    return times
