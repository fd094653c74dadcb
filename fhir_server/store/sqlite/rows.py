"""New records on their way into the database: rows that are written by the commit, not by the unit.

Every answer writes an AuditEvent, so this is what an answer costs.  The rows of a new record (record, version, audit) need
nothing of the database but their numbers, and those are known as long as nobody else writes.  So a unit that only records
an answer touches no table: its rows wait here and go in with those of the whole batch, in the commit's thread, many by one
statement, on which SQLite works without the interpreter's lock.  A unit that looks for what waits has it written first.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

from fhir_server.store.protocol import SealedVersion

_RECORD = ("record", "rid, row, type, version, at, deleted")
_VERSION = ("version", "rid, type, version, at, deleted, key_id, patients, wraps, sealed")
_AUDIT = ("audit", "n, rid, commitment, opening")
_AT_ONCE = 64  # rows of a statement
Row = tuple[int, bytes, bytes]  # record, commitment, opening
Placed = tuple[int, SealedVersion]  # record, whatever ``rid`` the version has


def insert_versions(connection: sqlite3.Connection, versions: Sequence[Placed]) -> None:
    """Versions of records that are there."""
    rows = [
        (rid, v.type_, v.version, v.at, v.deleted, v.key_id, v.patients, v.wraps, v.sealed)
        for rid, v in versions
    ]
    _insert(connection, _VERSION, rows)


def _insert(
    connection: sqlite3.Connection, into: tuple[str, str], rows: Sequence[Sequence[object]]
) -> None:
    for at in range(0, len(rows), _AT_ONCE):
        some = rows[at : at + _AT_ONCE]
        connection.execute(_statement(*into, len(some)), tuple(chain.from_iterable(some)))


@cache
def _statement(table: str, columns: str, rows: int) -> str:
    row = f"({', '.join('?' * len(columns.split(', ')))})"
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608


class RowQueue:
    """The rows of one batch, and the numbers that it gives out.  Units run one after another."""

    def __init__(self) -> None:
        self._rid = self._number = 0  # the next ones; asked of the database when a batch begins
        self._versions: list[Placed] = []
        self._rows: set[bytes] = set()  # of ``_versions``: every look for a record asks here first
        self._audit: list[tuple[int, *Row]] = []
        self._before_unit = (0, 0, 0, 0)
        self._written: tuple[list[Placed], list[tuple[int, *Row]]] = ([], [])

    def begin_batch(self, connection: sqlite3.Connection) -> int:
        """Nobody else writes from now on: learn the next numbers; return the next ``rid``."""
        query = "SELECT coalesce(max(rid) + 1, 1), (SELECT coalesce(max(n) + 1, 0) FROM audit) FROM record"
        self._rid, self._number = connection.execute(query).fetchone()
        return self._rid

    def begin_unit(self) -> None:
        """Remember what waits from the units before."""
        self._before_unit = (self._rid, self._number, len(self._versions), len(self._audit))
        self._written = ([], [])

    def undo_unit(self) -> None:
        """The unit was taken back, and with it what it wrote of the units before: that waits again."""
        self._rid, self._number, versions, audit = self._before_unit
        self._versions = self._written[0] + self._versions[:versions]
        self._rows = {version.row for _, version in self._versions}
        self._audit = self._written[1] + self._audit[:audit]

    def number(self) -> int:
        """The next ``rid``."""
        self._rid += 1
        return self._rid - 1

    def put(self, rid: int, version: SealedVersion) -> None:
        """A new record waits."""
        self._versions.append((rid, version))
        self._rows.add(version.row)

    def append(self, row: Row) -> int:
        """The audit row of a new AuditEvent waits; return its number."""
        self._audit.append((self._number, *row))
        self._number += 1
        return self._number - 1

    def holds(self, row: bytes) -> bool:
        """Whether the record of this row key waits."""
        return row in self._rows

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what waits, in the batch's transaction."""
        if not self._versions and not self._audit:
            return
        records = [(r, v.row, v.type_, v.version, v.at, v.deleted) for r, v in self._versions]
        _insert(connection, _RECORD, records)
        insert_versions(connection, self._versions)
        _insert(connection, _AUDIT, self._audit)
        _, _, versions, audit = self._before_unit
        self._written[0].extend(self._versions[:versions])
        self._written[1].extend(self._audit[:audit])
        self._before_unit = (*self._before_unit[:2], 0, 0)
        self.clear()

    def clear(self) -> None:
        """Nothing waits any more: it is written, or the batch has failed."""
        self._versions, self._audit = [], []
        self._rows = set()
