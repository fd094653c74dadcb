"""What the authorization server keeps, and the server's own keys, in the same SQLite file.

Values are sealed under a key of their own; keys of grants are hashes already (``smart_auth/store.py``).
"""

import sqlite3
from collections.abc import Callable
from datetime import datetime

from fhir_server.crypto.provider import KeyProvider
from fhir_server.crypto.seal import DataKey, place
from fhir_server.store.sqlite import SqliteStore
from smart_auth.errors import AlreadyThereError


class SqliteGrants:
    """A ``smart_auth.store.GrantStore``."""

    def __init__(self, store: SqliteStore, key: bytes, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._key = DataKey(b"grants", key)
        self._clock = clock

    async def put(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        """See ``GrantStore.put``."""
        async with self._store.writing() as unit:
            unit.execute("DELETE FROM grant_item WHERE expires <= ?", (_ms(self._clock()),))
            unit.execute(
                "INSERT OR REPLACE INTO grant_item (kind, key, value, expires) VALUES (?, ?, ?, ?)",
                (kind, key, self._seal(kind, key, value), _ms(expires)),
            )

    async def add(self, kind: str, key: str, value: bytes, expires: datetime) -> None:
        """See ``GrantStore.add``."""
        async with self._store.writing() as unit:
            now = _ms(self._clock())
            unit.execute("DELETE FROM grant_item WHERE expires <= ?", (now,))
            try:
                unit.execute(
                    "INSERT INTO grant_item (kind, key, value, expires) VALUES (?, ?, ?, ?)",
                    (kind, key, self._seal(kind, key, value), _ms(expires)),
                )
            except sqlite3.IntegrityError as error:
                raise AlreadyThereError("it is there already") from error

    async def find(self, kind: str, key: str) -> bytes | None:
        """See ``GrantStore.find``."""
        async with self._store.reading() as snapshot:
            found = snapshot.execute(
                "SELECT value FROM grant_item WHERE kind = ? AND key = ? AND expires > ?",
                (kind, key, _ms(self._clock())),
            )
        return self._open(kind, key, found[0][0]) if found else None

    async def take(self, kind: str, key: str) -> bytes | None:
        """See ``GrantStore.take``."""
        async with self._store.writing() as unit:
            found = unit.execute(
                "DELETE FROM grant_item WHERE kind = ? AND key = ? AND expires > ? RETURNING value",
                (kind, key, _ms(self._clock())),
            )
        return self._open(kind, key, found[0][0]) if found else None

    async def drop(self, kind: str, key: str) -> None:
        """See ``GrantStore.drop``."""
        async with self._store.writing() as unit:
            unit.execute("DELETE FROM grant_item WHERE kind = ? AND key = ?", (kind, key))

    def _seal(self, kind: str, key: str, value: bytes) -> bytes:
        return self._key.seal(value, place((kind.encode(), key.encode())))

    def _open(self, kind: str, key: str, sealed: bytes) -> bytes:
        return self._key.open(sealed, place((kind.encode(), key.encode())))


class Secrets:
    """The server's own keys, made when first asked for and kept wrapped by the key provider."""

    def __init__(self, store: SqliteStore, provider: KeyProvider, tenant: str) -> None:
        self._store = store
        self._provider = provider
        self._tenant = tenant.encode()

    async def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The secret ``name``.

        Raises:
            WrongKeyError: The key provider is not the one that wrapped it.
        """
        purpose = b"secret|" + self._tenant + b"|" + name.encode()
        query = "SELECT wrapped FROM secret WHERE name = ?"
        async with (
            self._store.reading() as snapshot
        ):  # a command beside a busy server must not wait for its writes
            found = snapshot.execute(query, (name,))
        if found:
            return self._provider.unwrap(found[0][0], purpose)
        async with self._store.writing() as unit:
            found = unit.execute(query, (name,))
            if found:
                return self._provider.unwrap(found[0][0], purpose)
            made = make()
            wrapped = self._provider.wrap(made, purpose)
            unit.execute("INSERT INTO secret (name, wrapped) VALUES (?, ?)", (name, wrapped))
        return made


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
