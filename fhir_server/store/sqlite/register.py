"""What the authorization server keeps for good, in the same SQLite file."""

from collections.abc import Sequence

from fhir_server.store.sqlite.store import SqliteStore
from smart_auth.errors import ChangedError
from smart_auth.store import Entry

_COLUMNS = "SELECT key, owner, version, value FROM register_item"


class SqliteRegisterItems:
    """A ``store.database.RegisterItems``."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def find(self, kind: str, key: str) -> Entry | None:
        """See ``RegisterItems.find``."""
        async with self._store.reading() as snapshot:
            found = snapshot.execute(f"{_COLUMNS} WHERE kind = ? AND key = ?", (kind, key))
        return Entry(*found[0]) if found else None

    async def of(self, kind: str, owner: str | None = None) -> Sequence[Entry]:
        """See ``RegisterItems.of``."""
        where, values = ("", (kind,)) if owner is None else (" AND owner = ?", (kind, owner))
        async with self._store.reading() as snapshot:
            found = snapshot.execute(f"{_COLUMNS} WHERE kind = ?{where} ORDER BY key", values)
        return [Entry(*row) for row in found]

    async def save(self, kind: str, entry: Entry) -> None:
        """See ``RegisterItems.save``."""
        async with self._store.writing() as unit:
            if entry.version:
                done = unit.execute(
                    "UPDATE register_item SET owner = ?, version = version + 1, value = ?"
                    " WHERE kind = ? AND key = ? AND version = ? RETURNING 1",
                    (entry.owner, entry.value, kind, entry.key, entry.version),
                )
            else:
                done = unit.execute(
                    "INSERT INTO register_item (kind, key, owner, version, value)"
                    " VALUES (?, ?, ?, 1, ?) ON CONFLICT DO NOTHING RETURNING 1",
                    (kind, entry.key, entry.owner, entry.value),
                )
        if not done:  # now, and not in the unit: what was faster is durable with it, and found by who looks again
            raise ChangedError("another was faster")

    async def drop(self, kind: str, key: str) -> None:
        """See ``RegisterItems.drop``."""
        async with self._store.writing() as unit:
            unit.execute("DELETE FROM register_item WHERE kind = ? AND key = ?", (kind, key))
