"""The public keys of clients that registered a ``jwks_uri`` (RFC 7591, 2; SMART "Registering a
client for asymmetric authentication"): fetched when they are needed, and kept no longer than their
``Cache-Control`` says.

An unknown ``kid`` makes them be fetched again, because clients rotate their keys.  Whoever invents
kids makes that happen once a minute at most, whoever names a client whose address does not answer
once in ten seconds.  Keys whose lifetime is over are not used, also when there are no newer ones.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from smart_auth.clients.registry import Client, assertion_algorithms
from smart_auth.errors import ConfigurationError, InvalidClientError, KeysUnreachableError
from smart_auth.strict_json import read_json
from smart_auth.tokens.jwt import ClientKeys, load_client_keys

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(hours=24)
_UNSAID = timedelta(minutes=10)
_PAUSE_OF_KIDS = timedelta(minutes=1)
_PAUSE_OF_FAILURES = timedelta(seconds=10)
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,9})", re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|[,\s])(no-store|no-cache)(?:$|[,\s=])", re.IGNORECASE)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_NO_KEYS = ClientKeys(())


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came from a ``jwks_uri``."""

    body: bytes = field(repr=False)
    cache_control: str = ""


class KeyFetcher(Protocol):
    """Fetches key sets from addresses that clients named; ``fhir_server`` implements it.

    An address is somebody else's word: it may point into our own network, answer slowly, or without
    end.  The adapter promises not to reach inside, a limit of time and one of size.
    """

    async def fetch(self, url: str) -> Fetched:
        """Return the body of a 200 answer.

        Raises:
            KeysUnreachableError: Anything else.
        """
        ...


class NoFetcher:
    """Reaches nothing."""

    async def fetch(self, url: str) -> Fetched:  # noqa: ARG002
        """Refuse."""
        raise KeysUnreachableError("this server fetches no keys")


@dataclass(slots=True)
class _Kept:
    """What is known of one address.

    Attributes:
        until: How long its keys may be used.
        asked: When they were fetched last, or that was tried.
    """

    keys: ClientKeys = _NO_KEYS
    until: datetime = _LONG_AGO
    asked: datetime = _LONG_AGO
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeyShelf:
    """The keys of all clients, whether registered with them or with where they are."""

    def __init__(self, fetcher: KeyFetcher, clock: Callable[[], datetime]) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def find(self, client: Client, kid: object, algorithm: str) -> ClientKeys:
        """Return the client's keys, among them one for ``kid`` and ``algorithm`` if it has that.

        Raises:
            InvalidClientError: They had to be fetched, and could not be.
        """
        if client.jwks_uri is None:
            return client.keys or _NO_KEYS
        kept = self._kept.setdefault(client.jwks_uri, _Kept())
        async with kept.turn:
            if self._is_wanted(kept, kid, algorithm):
                await self._fetch(client.jwks_uri, kept, assertion_algorithms(client.fapi))
        if self._clock() >= kept.until:
            raise InvalidClientError("the keys at the client's jwks_uri cannot be fetched")
        return kept.keys

    def _is_wanted(self, kept: _Kept, kid: object, algorithm: str) -> bool:
        now = self._clock()
        if now >= kept.until:
            return now - kept.asked >= _PAUSE_OF_FAILURES
        return now - kept.asked >= _PAUSE_OF_KIDS and not kept.keys.fitting(kid, algorithm)

    async def _fetch(self, url: str, kept: _Kept, algorithms: tuple[str, ...]) -> None:
        kept.asked = self._clock()
        try:
            fetched = await self._fetcher.fetch(url)
            keys = load_client_keys(read_json(fetched.body), algorithms)
        except (KeysUnreachableError, ConfigurationError, ValueError):
            return  # what is there stays, for as long as it was good anyway
        kept.keys, kept.until = keys, kept.asked + lifetime_of(fetched.cache_control)


def lifetime_of(cache_control: str) -> timedelta:
    """Return how long keys may be kept (RFC 9111, 5.2.2): from a minute to a day."""
    if _NOT_KEPT.search(cache_control):
        return SHORTEST
    found = _MAX_AGE.search(cache_control)
    lifetime = timedelta(seconds=int(found[1])) if found else _UNSAID
    return min(max(lifetime, SHORTEST), LONGEST)
