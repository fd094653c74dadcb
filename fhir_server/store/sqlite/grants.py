"""What the authorization server keeps, in the same SQLite file."""

import sqlite3

from fhir_server.store.sqlite.store import SqliteStore
from smart_auth.errors import AlreadyThereError


class SqliteGrantItems:
    """A ``store.database.GrantItems``."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def put(self, kind: str, key: str, sealed: bytes, expires: int, now: int) -> None:
        """See ``GrantItems.put``."""
        async with self._store.writing() as unit:
            unit.execute("DELETE FROM grant_item WHERE expires <= ?", (now,))
            unit.execute(
                "INSERT OR REPLACE INTO grant_item (kind, key, value, expires) VALUES (?, ?, ?, ?)",
                (kind, key, sealed, expires),
            )

    async def add(self, kind: str, key: str, sealed: bytes, expires: int, now: int) -> None:
        """See ``GrantItems.add``."""
        async with self._store.writing() as unit:
            unit.execute("DELETE FROM grant_item WHERE expires <= ?", (now,))
            try:
                unit.execute(
                    "INSERT INTO grant_item (kind, key, value, expires) VALUES (?, ?, ?, ?)",
                    (kind, key, sealed, expires),
                )
            except sqlite3.IntegrityError as error:
                raise AlreadyThereError("it is there already") from error

    async def find(self, kind: str, key: str, now: int) -> bytes | None:
        """See ``GrantItems.find``."""
        async with self._store.reading() as snapshot:
            found = snapshot.execute(
                "SELECT value FROM grant_item WHERE kind = ? AND key = ? AND expires > ?",
                (kind, key, now),
            )
        return found[0][0] if found else None

    async def take(self, kind: str, key: str, now: int) -> bytes | None:
        """See ``GrantItems.take``."""
        async with self._store.writing() as unit:
            found = unit.execute(
                "DELETE FROM grant_item WHERE kind = ? AND key = ? AND expires > ? RETURNING value",
                (kind, key, now),
            )
        return found[0][0] if found else None

    async def drop(self, kind: str, key: str) -> None:
        """See ``GrantItems.drop``."""
        async with self._store.writing() as unit:
            unit.execute("DELETE FROM grant_item WHERE kind = ? AND key = ?", (kind, key))
