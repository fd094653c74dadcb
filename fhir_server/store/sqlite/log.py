"""The audit log's leaves and the anchorer's journal in SQLite: two seams that ``anchoring`` owns."""

from fhir_server.store.sqlite.store import SqliteStore

_PENDING = "anchor-pending"


class SqliteLeaves:
    """An ``anchoring.log.log.LeafSource``."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def size(self) -> int:
        """See ``LeafSource.size``."""
        async with self._store.reading() as snapshot:
            found = snapshot.execute("SELECT coalesce(max(n) + 1, 0) FROM audit", ())
        return int(found[0][0])

    async def commitments(self, start: int, stop: int) -> list[bytes]:
        """See ``LeafSource.commitments``."""
        async with self._store.reading() as snapshot:
            found = snapshot.execute(
                "SELECT commitment FROM audit WHERE n >= ? AND n < ? ORDER BY n", (start, stop)
            )
        return [commitment for (commitment,) in found]


class SqliteJournal:
    """A ``store.database.Anchors``."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def load_pending(self) -> bytes | None:
        """See ``AnchorJournal.load_pending``."""
        return await self._one("SELECT value FROM meta WHERE name = ?", _PENDING)

    async def save_pending(self, record: bytes) -> None:
        """See ``AnchorJournal.save_pending``."""
        async with self._store.writing() as unit:
            unit.execute(
                "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (_PENDING, record)
            )

    async def save_anchor(self, size: int, record: bytes) -> None:
        """See ``AnchorJournal.save_anchor``."""
        async with self._store.writing() as unit:
            unit.execute(
                "INSERT OR REPLACE INTO anchor (size, content) VALUES (?, ?)", (size, record)
            )
            unit.execute("DELETE FROM meta WHERE name = ?", (_PENDING,))

    async def last_anchor(self) -> bytes | None:
        """See ``AnchorJournal.last_anchor``."""
        return await self._one(
            "SELECT content FROM anchor WHERE size > ? ORDER BY size DESC LIMIT 1", 0
        )

    async def anchor_covering(self, index: int) -> bytes | None:
        """See ``AnchorJournal.anchor_covering``."""
        return await self._one(
            "SELECT content FROM anchor WHERE size > ? ORDER BY size LIMIT 1", index
        )

    async def all_anchors(self) -> list[bytes]:
        """See ``Anchors.all_anchors``."""
        async with self._store.reading() as snapshot:
            return [
                content
                for (content,) in snapshot.execute("SELECT content FROM anchor ORDER BY size", ())
            ]

    async def _one(self, query: str, value: object) -> bytes | None:
        async with self._store.reading() as snapshot:
            found = snapshot.execute(query, (value,))
        return found[0][0] if found else None
