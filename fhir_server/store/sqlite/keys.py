"""Data keys and notes of jobs in SQLite: the statements behind ``KeyTable`` and ``Notes``."""

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fhir_server.store.shelf import WrappedKey

KEYS = "SELECT id, owner, wrapped, made FROM data_key"
_EPOCH = "key-epoch"


class SqliteKeys:
    """See ``store.shelf.KeyTable``."""

    __slots__ = ("_connection", "_unit")

    def __init__(
        self,
        connection: sqlite3.Connection,
        unit: Callable[[], sqlite3.Connection] | None = None,
    ) -> None:
        """``unit`` gives the connection on which a unit of work changes keys."""
        self._connection = connection
        self._unit = unit

    async def of(self, owner: bytes) -> Sequence[WrappedKey]:
        """See ``KeyTable.of``."""
        found = self._connection.execute(f"{KEYS} WHERE owner = ? ORDER BY rowid", (owner,))
        return [wrapped_key(row) for row in found]

    async def after(self, id_: bytes, limit: int) -> Sequence[WrappedKey]:
        """See ``KeyTable.after``."""
        query = f"{KEYS} WHERE id > ? ORDER BY id LIMIT ?"
        return [wrapped_key(row) for row in self._connection.execute(query, (id_, limit))]

    async def replace(self, key: WrappedKey) -> None:
        """See ``KeyTable.replace``."""
        self._changing().execute(
            "UPDATE data_key SET wrapped = ? WHERE id = ?", (key.wrapped, key.id)
        )

    async def advance(self) -> None:
        """See ``KeyTable.advance``."""
        following = (epoch_of(self._connection) + 1).to_bytes(8, "big")
        await SqliteNotes(self._changing()).save(_EPOCH, following)

    def _changing(self) -> sqlite3.Connection:
        assert self._unit is not None, "keys are changed in a unit of work"
        return self._unit()


class SqliteNotes:
    """See ``store.shelf.Notes``: in the table ``meta``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def find(self, name: str) -> bytes | None:
        """See ``Notes.find``."""
        query = "SELECT value FROM meta WHERE name = ?"
        found = self._connection.execute(query, (name,)).fetchone()
        return found[0] if found else None

    async def find_all(self, names: Collection[str]) -> Mapping[str, bytes]:
        """See ``Notes.find_all``."""
        query = "SELECT m.name, m.value FROM json_each(?) j CROSS JOIN meta m ON m.name = j.value"
        return dict(self._connection.execute(query, (json.dumps(list(names)),)))

    async def load(self, prefix: str) -> Mapping[str, bytes]:
        """See ``Notes.load``."""
        found = self._connection.execute(
            "SELECT name, value FROM meta WHERE name >= ?1 AND name < ?1 || char(1114111)",
            (prefix,),
        )
        return {name.removeprefix(prefix): value for name, value in found}

    async def save(self, name: str, content: bytes) -> None:
        """See ``Notes.save``."""
        self._connection.execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, content)
        )

    async def drop(self, name: str) -> None:
        """See ``Notes.drop``."""
        self._connection.execute("DELETE FROM meta WHERE name = ?", (name,))


def epoch_of(connection: sqlite3.Connection) -> int:
    """The epoch of the keys."""
    query = "SELECT value FROM meta WHERE name = 'key-epoch'"
    found = connection.execute(query).fetchone()
    return int.from_bytes(found[0], "big") if found else 0


def wrapped_key(found: Sequence[Any]) -> WrappedKey:
    """A key from the columns of ``KEYS``."""
    return WrappedKey(found[0], found[1], found[2] or b"", found[3])
