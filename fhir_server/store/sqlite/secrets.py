"""The server's own keys in the same SQLite file, wrapped."""

from collections.abc import Sequence

from fhir_server.store.sqlite.store import SqliteStore

_QUERY = "SELECT wrapped FROM secret WHERE name = ?"


class SqliteSecretItems:
    """A ``store.database.SecretItems``."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def find(self, name: str) -> bytes | None:
        """See ``SecretItems.find``."""
        async with self._store.reading() as snapshot:
            found = snapshot.execute(_QUERY, (name,))
        return found[0][0] if found else None

    async def add(self, name: str, wrapped: bytes) -> bytes:
        """See ``SecretItems.add``."""
        async with self._store.writing() as unit:
            found = unit.execute(_QUERY, (name,))
            if found:
                kept: bytes = found[0][0]
                return kept
            unit.execute("INSERT INTO secret (name, wrapped) VALUES (?, ?)", (name, wrapped))
        return wrapped

    async def names(self) -> Sequence[str]:
        """See ``SecretItems.names``."""
        async with self._store.reading() as snapshot:
            return [
                name for (name,) in snapshot.execute("SELECT name FROM secret ORDER BY name", ())
            ]

    async def replace(self, name: str, former: bytes, wrapped: bytes) -> None:
        """See ``SecretItems.replace``."""
        async with self._store.writing() as unit:
            unit.execute(
                "UPDATE secret SET wrapped = ? WHERE name = ? AND wrapped = ?",
                (wrapped, name, former),
            )
