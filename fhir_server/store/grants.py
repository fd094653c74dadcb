"""What the authorization server keeps, sealed under a key of its own, in whatever database.

Keys of grants are hashes already (``smart_auth/store.py``).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from fhir_server.crypto.seal import DataKey, place
from fhir_server.store.database import GrantItems, RegisterItems
from smart_auth.store import Entry


class SealedGrants:
    """A ``smart_auth.store.GrantStore``."""

    def __init__(self, items: GrantItems, key: bytes, clock: Callable[[], datetime]) -> None:
        self._items = items
        self._key = DataKey(b"grants", key)
        self._clock = clock

    async def put(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        """See ``GrantStore.put``."""
        await self._items.put(kind, key, self._seal(kind, key, value), _ms(expires), self._now())

    async def add(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        """See ``GrantStore.add``."""
        await self._items.add(kind, key, self._seal(kind, key, value), _ms(expires), self._now())

    async def find(self, kind: str, key: str) -> bytes | None:
        """See ``GrantStore.find``."""
        return self._open(kind, key, await self._items.find(kind, key, self._now()))

    async def take(self, kind: str, key: str) -> bytes | None:
        """See ``GrantStore.take``."""
        return self._open(kind, key, await self._items.take(kind, key, self._now()))

    async def drop(self, kind: str, key: str) -> None:
        """See ``GrantStore.drop``."""
        await self._items.drop(kind, key)

    def _seal(self, kind: str, key: str, value: bytes) -> bytes:
        return self._key.seal(value, place((kind.encode(), key.encode())))

    def _open(self, kind: str, key: str, sealed: bytes | None) -> bytes | None:
        if sealed is None:
            return None
        return self._key.open(sealed, place((kind.encode(), key.encode())))

    def _now(self) -> int:
        return _ms(self._clock())


class SealedRegister:
    """A ``smart_auth.store.RegisterStore``."""

    def __init__(self, items: RegisterItems, key: bytes) -> None:
        self._items = items
        self._key = DataKey(b"register", key)

    async def find(self, kind: str, key: str) -> Entry | None:
        """See ``RegisterStore.find``."""
        found = await self._items.find(kind, key)
        return self._opened(kind, found) if found else None

    async def of(self, kind: str, owner: str | None = None) -> Sequence[Entry]:
        """See ``RegisterStore.of``."""
        return [self._opened(kind, each) for each in await self._items.of(kind, owner)]

    async def save(self, kind: str, entry: Entry) -> None:
        """See ``RegisterStore.save``."""
        sealed = self._key.seal(entry.value, _place(kind, entry, entry.version + 1))
        await self._items.save(kind, replace(entry, value=sealed))

    async def drop(self, kind: str, key: str) -> None:
        """See ``RegisterStore.drop``."""
        await self._items.drop(kind, key)

    def _opened(self, kind: str, entry: Entry) -> Entry:
        opened = self._key.open(entry.value, _place(kind, entry, entry.version))
        return replace(entry, value=opened)


def _place(kind: str, entry: Entry, version: int) -> bytes:
    """What a value is sealed to: it cannot be moved to another owner, key or version."""
    told = (kind, entry.key, entry.owner, str(version))
    return place(tuple(each.encode() for each in told))


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
