"""The chunks of large documents in the tables ``document`` and ``chunk`` of the same SQLite file."""

from collections.abc import Sequence
from pathlib import Path
from shutil import disk_usage

from fhir_server.errors import StoreFullError
from fhir_server.store.database import Extent
from fhir_server.store.sqlite.records import SqliteUnit
from fhir_server.store.sqlite.store import SqliteStore

_RESERVE = 256 * 1024 * 1024  # bytes of the disk that documents leave free, or
_SHARE = 8  # an eighth of it, if that is less: without room for its record no answer goes out
_FORGOTTEN = 32  # chunks deleted in one unit of work: 2 MiB, a few milliseconds


class SqliteChunkItems:
    """A ``store.database.ChunkItems``."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def add(self, document: bytes, first: int, sealed: Sequence[bytes], touched: int) -> None:
        """See ``ChunkItems.add``."""
        async with self._store.writing() as unit:
            _require_room(self._store.folder, unit)
            unit.execute(
                "INSERT INTO document (id, touched) VALUES (?, ?)"
                " ON CONFLICT (id) DO UPDATE SET touched = excluded.touched",
                (document, touched),
            )
            for number, chunk in enumerate(sealed, start=first):
                unit.execute(
                    "INSERT INTO chunk (document, n, sealed) VALUES (?, ?, ?)",
                    (document, number, chunk),
                )

    async def read(self, document: bytes, first: int, count: int) -> Sequence[bytes]:
        """See ``ChunkItems.read``."""
        query = "SELECT sealed FROM chunk WHERE document = ? AND n >= ? AND n < ? ORDER BY n"
        async with self._store.reading() as snapshot:
            found = snapshot.execute(query, (document, first, first + count))
        return [sealed for (sealed,) in found]

    async def drop(self, document: bytes) -> None:
        """See ``ChunkItems.drop``."""
        staged = "SELECT 1 FROM document WHERE id = ? AND rid IS NULL"
        async with self._store.reading() as snapshot:
            found = snapshot.execute(staged, (document,))
        while found:  # a part in each unit: others must not wait for all of it
            async with self._store.writing() as unit:
                found = unit.execute(staged, (document,))
                if found and not unit.execute(_FORGET, (document, _FORGOTTEN)):
                    unit.execute("DELETE FROM document WHERE id = ?", (document,))
                    return

    async def sweep(self, before: int) -> int:
        """See ``ChunkItems.sweep``."""
        query = "SELECT id FROM document WHERE rid IS NULL AND touched < ?"
        async with self._store.reading() as snapshot:
            found = snapshot.execute(query, (before,))
        for (document,) in found:
            await self.drop(document)
        return len(found)

    async def extents(self, after: bytes, limit: int) -> Sequence[Extent]:
        """See ``ChunkItems.extents``."""
        query = (
            "SELECT d.id, d.rid, (SELECT count(*) FROM chunk c WHERE c.document = d.id)"
            " FROM document d WHERE d.id > ? ORDER BY d.id LIMIT ?"
        )
        async with self._store.reading() as snapshot:
            return [Extent(*found) for found in snapshot.execute(query, (after, limit))]


def _require_room(folder: Path, unit: SqliteUnit) -> None:
    """Refuse to fill a disk to its last byte: what comes after could not even be refused on record."""
    disk = disk_usage(folder)
    [(pages, size)] = unit.execute(_FREE, ())  # of the file itself
    if disk.free + pages * size < min(_RESERVE, disk.total // _SHARE):
        raise StoreFullError("the disk is nearly full: there is no room for documents")


_FREE = "SELECT freelist_count, page_size FROM pragma_freelist_count, pragma_page_size"
_FORGET = """DELETE FROM chunk WHERE rowid IN (SELECT rowid FROM chunk WHERE document = ? LIMIT ?)
    RETURNING n"""
