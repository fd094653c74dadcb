"""Records where they lie, in SQLite: the statements behind ``Shelf``."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.store.shelf import SealedVersion, Stretch
from fhir_server.store.sqlite.parts import delete
from fhir_server.store.sqlite.tokens import DEFERRED, TokenQueue

COLUMNS = (
    "r.rid, r.row, r.type, v.version, v.at, v.deleted, v.key_id, v.patients, v.wraps, v.sealed"
)
_WALK = f"SELECT {COLUMNS} FROM record r CROSS JOIN version v ON v.rid = r.rid WHERE r.rid > ? AND r.rid <= ?"  # noqa: S608


class SqliteShelf:
    """See ``store.shelf.Shelf``."""

    def __init__(self, connection: sqlite3.Connection, tokens: TokenQueue | None = None) -> None:
        self._connection = connection
        self._tokens = tokens

    async def last(self) -> int:
        """See ``Shelf.last``."""
        found = self._connection.execute("SELECT coalesce(max(rid), 0) FROM record").fetchone()
        return int(found[0])

    async def walk(self, stretch: Stretch) -> Sequence[SealedVersion]:
        """See ``Shelf.walk``."""
        values: list[object] = [stretch.low, stretch.high]
        if stretch.shared:  # word for word as in the index ``version_shared``
            query = (
                f"SELECT {COLUMNS} FROM version v CROSS JOIN record r ON r.rid = v.rid"  # noqa: S608
                " WHERE length(v.wraps) > 0 AND v.rid > ? AND v.rid <= ? ORDER BY v.rid, v.version"
            )
        elif stretch.everything:
            query = f"{_WALK} ORDER BY v.rid, v.version"
        else:
            marks = ",".join("?" * len(stretch.keys))
            deleted = " AND r.deleted = 1" if stretch.deleted else ""
            query = f"{_WALK}{deleted} AND v.key_id IN ({marks}) ORDER BY v.rid, v.version"
            values += stretch.keys
        return [version_of(found) for found in self._connection.execute(query, values)]

    async def replace(self, version: SealedVersion, opening: bytes = b"") -> None:
        """See ``Shelf.replace``."""
        self._connection.execute(
            "UPDATE version SET key_id = ?, patients = ?, wraps = ?, sealed = ? WHERE rid = ? AND version = ?",
            (
                *(version.key_id, version.patients, version.wraps, version.sealed),
                *(version.rid, version.version),
            ),
        )
        if opening:
            self._connection.execute(
                "UPDATE audit SET opening = ? WHERE rid = ?", (opening, version.rid)
            )

    async def bury(self, proofs: Mapping[int, bytes]) -> None:
        """See ``Shelf.bury``."""
        each = [(rid,) for rid in proofs]
        self._connection.executemany(
            "UPDATE record SET row = randomblob(16), deleted = 1 WHERE rid = ?", each
        )
        self._connection.executemany(
            "UPDATE version SET deleted = 1, patients = x'', wraps = x'', sealed = ? WHERE rid = ?",
            [(proof, rid) for rid, proof in proofs.items()],
        )
        self._connection.executemany("UPDATE audit SET opening = x'' WHERE rid = ?", each)
        self._connection.executemany(
            "UPDATE document SET rid = NULL, touched = 0 WHERE rid = ?", each
        )

    async def unindex(self, type_: str, postings: Mapping[bytes, Sequence[int]]) -> None:
        """See ``Shelf.unindex``."""
        assert self._tokens is not None, "a snapshot changes nothing"
        if type_ == DEFERRED:
            self._tokens.forget(postings)
            self._unindex_events(postings)
            return
        self._tokens.write_now(self._connection)
        delete(self._connection, [(t, rid) for t in sorted(postings) for rid in postings[t]])

    def _unindex_events(self, postings: Mapping[bytes, Sequence[int]]) -> None:
        """Events lie in rows of up to 512: each row is read and written once."""
        for token in sorted(postings):
            gone = set(postings[token])
            found = self._connection.execute(
                "SELECT first, rids FROM event_token WHERE token = ? AND first <= ? AND last >= ?",
                (token, max(gone), min(gone)),
            ).fetchall()
            for first, rids in found:
                kept = [rid for rid in json.loads(rids) if rid not in gone]
                self._connection.execute(
                    "DELETE FROM event_token WHERE token = ? AND first = ?", (token, first)
                )
                if kept:
                    self._connection.execute(
                        "INSERT INTO event_token (token, first, last, rids) VALUES (?, ?, ?, ?)",
                        (token, kept[0], kept[-1], json.dumps(kept)),
                    )


def version_of(found: Sequence[Any]) -> SealedVersion:
    """A version from the columns of ``COLUMNS``."""
    rid, row, type_, version, at, deleted, key_id, patients, wraps, sealed = found
    # typed by the STRICT columns
    return SealedVersion(
        rid, row, type_, version, at, bool(deleted), key_id, patients, wraps, sealed
    )
