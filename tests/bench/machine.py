"""What the machine does to the slowest answers: two processes that do nothing but count, asked as often as the server.

The server, its load and whatever else the host of a virtual machine runs share two cores.  How much of the slowest answers
is the server's own only a server that waits for nothing can tell: no store, no commit, no thread, no garbage.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import cast

import uvloop

from tests.bench.client import Call, Rate, hammer

_PROCESSES = 2
_CLIENTS = 16
_SECONDS = 8.0
_FIRST = 20_000  # what a request counts to, until it is known how fast that is
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def counting(per_second: float) -> Rate:
    """How fast processes answer that count as long as the server worked for ``per_second`` answers."""
    tried = _asked(_FIRST, 2.0)
    return _asked(int(_FIRST * tried.per_second / per_second), _SECONDS)


def _asked(steps: int, seconds: float) -> Rate:
    command = [sys.executable, "-m", "tests.bench.machine", str(steps)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(_PROCESSES)
    ]
    try:
        ports = [int(each.stdout.readline()) for each in started if each.stdout]
        return hammer(ports, "", [Call("/")], clients=_CLIENTS, seconds=seconds)
    finally:
        for each in started:
            each.terminate()
            each.communicate()


class _Counts(asyncio.Protocol):
    """One connection."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._write: Callable[[bytes], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        """Each is a whole request."""
        count = 0
        while count < self._steps:
            count += 1
        self._write(_ANSWER)


async def _serve(steps: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Counts(steps), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
