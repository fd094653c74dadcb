"""Fetching the key sets of clients: the only requests that this server sends because somebody else named an address.

The name is looked up once and the connection goes to the very address that was looked at, so that a second answer of the
name server can not lead elsewhere.  Addresses that are not public are refused, all of a name's if one of them is; so are
redirects.  A proxy that the environment names is not asked: it would look the name up again.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import httpx2

from smart_auth.clients.keys import Fetched
from smart_auth.errors import KeysUnreachableError

MOST_BYTES = 64 * 1024
SECONDS = 3.0  # in all: looking up, connecting, reading

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_INNER = (
    tuple(  # reach, or may reach, an IPv4 address inside an IPv6 one, or were kept back by IANA
        ipaddress.ip_network(text)
        for text in (
            *("192.0.0.0/24", "192.88.99.0/24", "64:ff9b::/96", "64:ff9b:1::/48"),
            *("2001::/23", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10", "::/96"),
        )
    )
)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the internet at large: not private, shared, local, mapped, reserved or for many."""
    if address.version == 6 and address.ipv4_mapped is not None:
        return False
    if any(address.version == each.version and address in each for each in _INNER):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_public_or_loopback(address: Address) -> bool:
    """What a server in development, itself on loopback, may reach."""
    return address.is_loopback or is_public(address)


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


class Fetcher:
    """A ``smart_auth.clients.keys.KeyFetcher``.

    Args:
        local: Whether plain http to loopback is possible; only for a server that is on loopback itself.
        look_up: Gives the addresses of a name.
        permits: Tells whether an address may be connected to; by default ``is_public``.
        trust: What certificates are checked by.
    """

    def __init__(
        self,
        *,
        local: bool = False,
        look_up: Resolve = resolve,
        permits: Callable[[Address], bool] | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._local = local
        self._look_up = look_up
        self._permits = permits or (is_public_or_loopback if local else is_public)
        self._trust = trust

    async def fetch(self, url: str) -> Fetched:
        """See ``KeyFetcher.fetch``."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._fetch(url)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError, ValueError) as error:
            raise KeysUnreachableError("the address does not answer as it should") from error

    async def _fetch(self, url: str) -> Fetched:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" and not (
            self._local and parts.scheme == "http" and host in _LOOPBACK
        ):
            raise KeysUnreachableError("the address is not on https")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = await self._address(host, port)
        at = f"[{address}]" if address.version == 6 else str(address)
        target = httpx2.URL(url).copy_with(host=at, port=port)
        named = {"Host": parts.netloc, "Accept": "application/json", "Accept-Encoding": "identity"}
        verify = self._trust or True
        async with (
            httpx2.AsyncClient(verify=verify, trust_env=False, timeout=SECONDS) as client,
            client.stream("GET", target, headers=named, extensions={"sni_hostname": host}) as got,
        ):
            return await _read(got)

    async def _address(self, host: str, port: int) -> Address:
        found = [ipaddress.ip_address(each) for each in await self._look_up(host, port)]
        if not found or not all(self._permits(each) for each in found):
            raise KeysUnreachableError("the address is not one that this server connects to")
        return found[0]


async def _read(answer: httpx2.Response) -> Fetched:
    if answer.status_code != 200:
        raise KeysUnreachableError("the address answers with another status than 200")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise KeysUnreachableError("the answer is packed")
    body = b""
    async for part in answer.aiter_raw():
        body += part
        if len(body) > MOST_BYTES:
            raise KeysUnreachableError("the answer is larger than 64 KiB")
    return Fetched(body, answer.headers.get("cache-control", ""))
