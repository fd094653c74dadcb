"""How far the index has been brought up to custom search parameters, in the table ``meta`` of the same SQLite file."""

from collections.abc import Mapping

from fhir_server.store.sqlite.store import SqliteStore

_PREFIX = "reindex|"


class SqliteReindexJournal:
    """A ``store.database.ReindexJournal``."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def load(self) -> Mapping[str, bytes]:
        """See ``ReindexJournal.load``."""
        async with self._store.reading() as snapshot:
            found = snapshot.execute(
                "SELECT name, value FROM meta WHERE substr(name, 1, ?) = ?", (len(_PREFIX), _PREFIX)
            )
        return {name.removeprefix(_PREFIX): value for name, value in found}

    async def save(self, name: str, content: bytes) -> None:
        """See ``ReindexJournal.save``."""
        async with self._store.writing() as unit:
            unit.execute(
                "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)",
                (_PREFIX + name, content),
            )

    async def drop(self, name: str) -> None:
        """See ``ReindexJournal.drop``."""
        async with self._store.writing() as unit:
            unit.execute("DELETE FROM meta WHERE name = ?", (_PREFIX + name,))

    async def extent(self, type_: str) -> tuple[int, int]:
        """See ``ReindexJournal.extent``."""
        async with self._store.reading() as snapshot:
            [(count, last)] = snapshot.execute(
                "SELECT count(*), coalesce(max(rid), 0) FROM record WHERE type = ? AND deleted = 0",
                (type_,),
            )
        return count, last
