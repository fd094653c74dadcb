"""What the authorization server keeps, sealed under a key of its own, in whatever database.

Keys of grants are hashes already (``smart_auth/store.py``).
"""

from collections.abc import Callable
from datetime import datetime

from fhir_server.crypto.seal import DataKey, place
from fhir_server.store.database import GrantItems


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


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
