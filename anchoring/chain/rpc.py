"""One HTTP exchange with a chain's node, bounded in time and memory whatever the node does.

Each exchange runs in a thread of its own with an event loop of its own, so that its time is limited
as a whole: looking up the name, connecting, each byte.  There are a handful of exchanges a minute.
"""

import asyncio
import ipaddress
import ssl
import threading
from urllib.parse import urlsplit

import httpx2

from anchoring.errors import ChainUnavailableError, MalformedAnswerError

MOST_BYTES = 8 * 1024 * 1024
_GRACE = 1.0  # seconds beyond the timeout until a thread that hangs in the system is left alone


class Endpoint:
    """The address of one node."""

    def __init__(self, url: str, timeout_s: float, most_bytes: int = MOST_BYTES) -> None:
        """Keep what an exchange needs.

        Args:
            url: http or https.  It may carry a key of the provider's, so it is never told.
            timeout_s: Most that one exchange takes, seconds.
            most_bytes: Longest answer that is read.
        """
        self._url = url
        self._timeout = timeout_s
        self._most = most_bytes
        secure = urlsplit(url).scheme == "https"
        self._trust = ssl.create_default_context() if secure else False
        self._proxied = not _is_own(urlsplit(url).hostname or "")

    def post(self, body: bytes) -> bytes:
        """Send a JSON-RPC request and give the answer's bytes.

        Raises:
            ChainUnavailableError: No answer in time, or none with status 200.
            MalformedAnswerError: The answer is longer than any should be, or packed.
        """
        outcome: list[bytes | Exception] = []

        def exchange() -> None:
            try:
                outcome.append(asyncio.run(self._exchange(body)))
            except Exception as error:  # noqa: BLE001  it is raised again, where it was asked
                outcome.append(error)

        thread = threading.Thread(target=exchange, daemon=True)
        thread.start()
        thread.join(self._timeout + _GRACE)
        found = outcome[0] if outcome else TimeoutError()
        if isinstance(found, bytes):
            return found
        if isinstance(found, ChainUnavailableError):
            raise found
        raise ChainUnavailableError(f"the node does not answer: {type(found).__name__}") from found

    async def _exchange(self, body: bytes) -> bytes:
        named = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        async with (
            asyncio.timeout(self._timeout),
            httpx2.AsyncClient(
                verify=self._trust, trust_env=self._proxied, timeout=self._timeout
            ) as client,
            client.stream("POST", self._url, content=body, headers=named) as answer,
        ):
            return await self._read(answer)

    async def _read(self, answer: httpx2.Response) -> bytes:
        if answer.status_code != 200:
            raise ChainUnavailableError(f"the node answers with status {answer.status_code}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise MalformedAnswerError("the node's answer is packed")
        found = bytearray()
        async for part in answer.aiter_raw():
            found += part
            if len(found) > self._most:
                raise MalformedAnswerError(f"the node's answer has more than {self._most} bytes")
        return bytes(found)


def _is_own(host: str) -> bool:
    """Tell whether a host is this machine, which no proxy leads to."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
