"""Records, tokens, data keys and audit rows in SQLite: the statements behind ``Snapshot`` and ``Unit``."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from fhir_server.store.protocol import AuditRow, SealedVersion, Selection, WrappedKey
from fhir_server.store.sqlite_tokens import TokenQueue

_COLUMNS = (
    "r.rid, r.row, r.type, v.version, v.at, v.deleted, v.key_id, v.patients, v.wraps, v.sealed"
)
_CURRENT = "JOIN version v ON v.rid = r.rid AND v.version = r.version"


class SqliteSnapshot:
    """See ``store.protocol.Snapshot``."""

    def __init__(self, connection: sqlite3.Connection, *, complete: bool) -> None:
        self._connection = connection
        self._complete = complete

    def execute(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run one statement for the other tables of this database (``sqlite_grants.py``, ``sqlite_log.py``)."""
        return self._connection.execute(query, tuple(values)).fetchall()

    async def find(self, row: bytes, version: int | None = None) -> SealedVersion | None:
        """See ``Snapshot.find``."""
        if version is None:
            query = f"SELECT {_COLUMNS} FROM record r {_CURRENT} WHERE r.row = ?"  # noqa: S608
            found = self._connection.execute(query, (row,)).fetchone()
        else:
            query = (
                f"SELECT {_COLUMNS} FROM record r JOIN version v ON v.rid = r.rid "  # noqa: S608
                "WHERE r.row = ? AND v.version = ?"
            )
            found = self._connection.execute(query, (row, version)).fetchone()
        return _version(found) if found else None

    async def history(self, rid: int) -> Sequence[SealedVersion]:
        """See ``Snapshot.history``."""
        query = (
            f"SELECT {_COLUMNS} FROM record r JOIN version v ON v.rid = r.rid "  # noqa: S608
            "WHERE r.rid = ? ORDER BY v.version DESC"
        )
        return [_version(found) for found in self._connection.execute(query, (rid,))]

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """See ``Snapshot.select``."""
        assert self._complete or selection.type_ != "AuditEvent", (
            "ask for a complete snapshot to search AuditEvents"
        )
        query, values = _statement(selection)
        return [_version(found) for found in self._connection.execute(query, values)]

    async def key(self, *, id_: bytes = b"", owner: bytes = b"") -> WrappedKey | None:
        """See ``Snapshot.key``."""
        if id_:
            query, value = "SELECT id, owner, wrapped FROM data_key WHERE id = ?", id_
        else:
            query = "SELECT id, owner, wrapped FROM data_key WHERE owner = ? ORDER BY rowid DESC LIMIT 1"
            value = owner
        found = self._connection.execute(query, (value,)).fetchone()
        return WrappedKey(found[0], found[1], found[2] or b"") if found else None

    async def audit(
        self, *, start: int = 0, stop: int = 0, rid: int | None = None
    ) -> Sequence[AuditRow]:
        """See ``Snapshot.audit``."""
        values: tuple[int, ...]
        if rid is not None:
            query, values = "SELECT n, rid, commitment, opening FROM audit WHERE rid = ?", (rid,)
        else:
            query = (
                "SELECT n, rid, commitment, opening FROM audit WHERE n >= ? AND n < ? ORDER BY n"
            )
            values = (start, stop)
        return [AuditRow(*found) for found in self._connection.execute(query, values)]


class SqliteUnit(SqliteSnapshot):
    """See ``store.protocol.Unit``."""

    def __init__(self, connection: sqlite3.Connection, tokens: TokenQueue) -> None:
        super().__init__(connection, complete=True)
        self._tokens = tokens

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """See ``Snapshot.select``; sees what this batch has written."""
        self._tokens.prepare(selection.type_, self._connection)
        return await super().select(selection)

    async def put(self, version: SealedVersion, add: Sequence[bytes], drop: Sequence[bytes]) -> int:
        """See ``Unit.put``."""
        rid = version.rid or self._create(version)
        if version.rid:
            self._connection.execute(
                "UPDATE record SET version = ?, at = ?, deleted = ? WHERE rid = ?",
                (version.version, version.at, version.deleted, rid),
            )
        self._connection.execute(
            "INSERT INTO version (rid, version, at, deleted, key_id, patients, wraps, sealed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(rid, version.version, version.at, version.deleted),
                *(version.key_id, version.patients, version.wraps, version.sealed),
            ),
        )
        if drop:
            self._tokens.write_now(self._connection)
            self._connection.executemany(
                "DELETE FROM token WHERE token = ? AND rid = ?", [(t, rid) for t in drop]
            )
        self._tokens.extend(version.type_, rid, add)
        return rid

    def _create(self, version: SealedVersion) -> int:
        cursor = self._connection.execute(
            "INSERT INTO record (row, type, version, at, deleted) VALUES (?, ?, ?, ?, ?)",
            (version.row, version.type_, version.version, version.at, version.deleted),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    async def add_key(self, key: WrappedKey) -> None:
        """See ``Unit.add_key``."""
        self._connection.execute(
            "INSERT INTO data_key (id, owner, wrapped) VALUES (?, ?, ?)",
            (key.id, key.owner, key.wrapped),
        )

    async def append_audit(self, rid: int, commitment: bytes, opening: bytes) -> int:
        """See ``Unit.append_audit``."""
        found = self._connection.execute(
            "INSERT INTO audit (n, rid, commitment, opening)"
            " VALUES (coalesce((SELECT max(n) FROM audit) + 1, 0), ?, ?, ?) RETURNING n",
            (rid, commitment, opening),
        ).fetchone()
        number = int(found[0])
        self._tokens.event(number)
        return number

    async def index(self, type_: str, rid: int, tokens: Sequence[bytes]) -> None:
        """Add tokens of a record again, after a crash has lost those that waited."""
        self._tokens.extend(type_, rid, tokens)


def _version(found: Sequence[Any]) -> SealedVersion:
    rid, row, type_, version, at, deleted, *sealed = found  # typed by the STRICT columns
    return SealedVersion(rid, row, type_, version, at, bool(deleted), *sealed)


def _statement(selection: Selection) -> tuple[str, list[object]]:
    """The SELECT for a selection.  Only placeholders and fixed words are joined; values are always bound."""
    values: list[object] = []
    source = f"record r {_CURRENT}"
    conditions: list[str] = []
    if selection.all_of:
        first, *rest = selection.all_of
        if len(first) == 1:  # the index is in the order of creation already
            source = f"token t CROSS JOIN record r ON r.rid = t.rid CROSS {_CURRENT}"
            conditions.append("t.token = ?")
        else:
            distinct = f"SELECT DISTINCT rid FROM token WHERE token IN ({_marks(first)})"  # noqa: S608
            source = f"({distinct}) t CROSS JOIN record r ON r.rid = t.rid CROSS {_CURRENT}"
        values += first
        for group in rest:
            probe = f"SELECT 1 FROM token x WHERE x.token IN ({_marks(group)}) AND x.rid = t.rid"  # noqa: S608
            conditions.append(f"EXISTS ({probe})")
            values += group
    conditions += ["r.type = ?", "r.deleted = 0"]
    values.append(selection.type_)
    _narrow(selection, conditions, values)
    order = "DESC" if selection.descending else "ASC"
    rid = "t.rid" if selection.all_of else "r.rid"
    by = f"r.at {order}, r.rid {order}" if selection.by_time else f"{rid} {order}"
    values.append(selection.limit)
    query = (
        f"SELECT {_COLUMNS} FROM {source} WHERE {' AND '.join(conditions)} ORDER BY {by} LIMIT ?"  # noqa: S608
    )
    return query, values


def _narrow(selection: Selection, conditions: list[str], values: list[object]) -> None:
    if selection.rows is not None:
        conditions.append(f"r.row IN ({_marks(selection.rows)})")
        values += selection.rows
    if selection.since is not None:
        conditions.append("r.at >= ?")
        values.append(selection.since)
    if selection.until is not None:
        conditions.append("r.at <= ?")
        values.append(selection.until)
    if selection.after is not None:
        sign = "<" if selection.descending else ">"
        if selection.by_time:
            conditions.append(f"(r.at, r.rid) {sign} (?, ?)")
            values += selection.after
        else:
            conditions.append(f"r.rid {sign} ?")
            values.append(selection.after[1])


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
