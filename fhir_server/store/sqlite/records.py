"""Records, tokens, data keys and audit rows in SQLite: the statements behind ``Snapshot`` and ``Unit``."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.errors import LostDocumentError, TamperedRecordError
from fhir_server.store.protocol import AuditRow, Changes, SealedVersion, Selection, WrappedKey
from fhir_server.store.sqlite.keys import KEYS, SqliteKeys, SqliteNotes, epoch_of, wrapped_key
from fhir_server.store.sqlite.parts import OF_ONE, OF_SOME, PROBE, delete
from fhir_server.store.sqlite.rows import RowQueue, insert_versions
from fhir_server.store.sqlite.shelf import COLUMNS, SqliteShelf, version_of
from fhir_server.store.sqlite.tokens import TokenQueue

_FOREVER = 2**62
_CHECKED = f"{COLUMNS}, v.at = r.at AND v.deleted = r.deleted"
_CURRENT = "JOIN version v ON v.rid = r.rid AND v.version = r.version"


class SqliteSnapshot:
    """See ``store.protocol.Snapshot``."""

    def __init__(self, connection: sqlite3.Connection, *, complete: bool) -> None:
        self.connection = connection
        self._complete = complete

    @property
    def keys(self) -> SqliteKeys:
        """See ``Snapshot.keys``."""
        return SqliteKeys(self.connection)

    @property
    def notes(self) -> SqliteNotes:
        """See ``Snapshot.notes``."""
        return SqliteNotes(self.connection)

    @property
    def shelf(self) -> SqliteShelf:
        """See ``Snapshot.shelf``."""
        return SqliteShelf(self.connection)

    def execute(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run one statement for the other tables of this database (``grants.py``, ``log.py``)."""
        return self.connection.execute(query, tuple(values)).fetchall()

    async def epoch(self) -> int:
        """See ``Snapshot.epoch``."""
        return epoch_of(self.connection)

    async def find(self, row: bytes, version: int | None = None) -> SealedVersion | None:
        """See ``Snapshot.find``."""
        if version is None:
            query = f"SELECT {_CHECKED} FROM record r LEFT {_CURRENT} WHERE r.row = ?"  # noqa: S608
            found = self.connection.execute(query, (row,)).fetchone()
            return _current(found) if found else None
        query = (
            f"SELECT {COLUMNS} FROM record r JOIN version v ON v.rid = r.rid "  # noqa: S608
            "WHERE r.row = ? AND v.version = ?"
        )
        found = self.connection.execute(query, (row, version)).fetchone()
        return version_of(found) if found else None

    async def history(self, changes: Changes) -> Sequence[SealedVersion]:
        """See ``Snapshot.history``."""
        query, values = _changes(changes)
        return [version_of(found) for found in self.connection.execute(query, values)]

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """See ``Snapshot.select``."""
        assert self._complete or selection.type_ != "AuditEvent", (
            "ask for a complete snapshot to search AuditEvents"
        )
        if selection.type_ == "AuditEvent" and selection.all_of:
            return [_current(found) for found in self._select_events(selection)]
        query, values = _statement(selection, _RECORDS)
        return [_current(found) for found in self.connection.execute(query, values)]

    def _select_events(self, selection: Selection) -> list[tuple[Any, ...]]:
        """Window after window of the index, so that the first page of a common token does not read all of its rows."""
        (first, *others), after = selection.all_of[0], selection.after
        whole = bool(others) or selection.by_time or selection.descending
        low = after[1] if after and not whole else 0
        found: list[tuple[Any, ...]] = []
        while True:
            high = _FOREVER if whole else self._window(first, low)
            rest = replace(selection, limit=selection.limit - len(found))
            query, values = _statement(rest, _EVENTS, (low, high))
            found += self.connection.execute(query, values).fetchall()
            if high == _FOREVER or len(found) == selection.limit:
                return found
            low = high

    def _window(self, token: bytes, low: int) -> int:
        """Where the window ends that begins at ``low``: it begins some rows of the index later."""
        query = "SELECT first FROM event_token WHERE token = ? AND first > ? ORDER BY first LIMIT 1 OFFSET 3"
        found = self.connection.execute(query, (token, low)).fetchone()
        return int(found[0]) if found else _FOREVER

    async def key(self, *, id_: bytes = b"", owner: bytes = b"") -> WrappedKey | None:
        """See ``Snapshot.key``."""
        if id_:
            query, value = f"{KEYS} WHERE id = ?", id_
        else:
            query, value = f"{KEYS} WHERE owner = ? ORDER BY rowid DESC LIMIT 1", owner
        found = self.connection.execute(query, (value,)).fetchone()
        return wrapped_key(found) if found else None

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
        return [AuditRow(*found) for found in self.connection.execute(query, values)]


class SqliteUnit(SqliteSnapshot):
    """See ``store.protocol.Unit``.

    It begins a savepoint when it first asks the database anything: one that only writes new records never does.
    """

    def __init__(self, connection: sqlite3.Connection, tokens: TokenQueue, rows: RowQueue) -> None:
        self._raw = connection
        self._tokens = tokens
        self._rows = rows
        self._complete = True
        self.saved = False

    @property
    def connection(self) -> sqlite3.Connection:  # type: ignore[override]
        """The connection, once there is a savepoint."""
        if not self.saved:
            self._raw.execute("SAVEPOINT unit")
            self.saved = True
        return self._raw

    @property
    def keys(self) -> SqliteKeys:
        """See ``Snapshot.keys``."""
        return SqliteKeys(self._raw, lambda: self.connection)

    async def epoch(self) -> int:
        """See ``Snapshot.epoch``: it needs no savepoint."""
        return epoch_of(self._raw)

    @property
    def shelf(self) -> SqliteShelf:
        """See ``Snapshot.shelf``."""
        self._rows.write(self.connection)
        return SqliteShelf(self.connection, self._tokens)

    async def find(self, row: bytes, version: int | None = None) -> SealedVersion | None:
        """See ``Snapshot.find``."""
        if self._rows.holds(row):
            self._rows.write(self.connection)
        return await super().find(row, version)

    async def history(self, changes: Changes) -> Sequence[SealedVersion]:
        """See ``Snapshot.history``."""
        self._rows.write(self.connection)
        return await super().history(changes)

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """See ``Snapshot.select``; sees what this batch has written."""
        if self._tokens.affects(selection):
            self._rows.write(self.connection)
            self._tokens.show(selection.type_, self.connection)
        return await super().select(selection)

    async def audit(
        self, *, start: int = 0, stop: int = 0, rid: int | None = None
    ) -> Sequence[AuditRow]:
        """See ``Snapshot.audit``."""
        self._rows.write(self.connection)
        return await super().audit(start=start, stop=stop, rid=rid)

    async def put(self, version: SealedVersion, add: Sequence[bytes], drop: Sequence[bytes]) -> int:
        """See ``Unit.put``."""
        rid = version.rid or self._rows.number()
        if version.rid:
            self._follow(version)
        else:
            self._rows.put(rid, version)
        if drop:
            self._rows.write(self.connection)  # tokens in the index are of rows in the database
            self._tokens.write_now(self.connection)
            delete(self.connection, [(token, rid) for token in drop])
        self._tokens.extend(version.type_, rid, add)
        return rid

    def _follow(self, version: SealedVersion) -> None:
        """Write the next version of a record."""
        if self._rows.holds(version.row):
            self._rows.write(self.connection)
        self.connection.execute(
            "UPDATE record SET version = ?, at = ?, deleted = ? WHERE rid = ?",
            (version.version, version.at, version.deleted, version.rid),
        )
        insert_versions(self.connection, ((version.rid, version),))

    async def add_key(self, key: WrappedKey) -> None:
        """See ``Unit.add_key``."""
        self.connection.execute(
            "INSERT INTO data_key (id, owner, wrapped, made) VALUES (?, ?, ?, ?)",
            (key.id, key.owner, key.wrapped, key.made),
        )

    async def append_audit(self, rid: int, commitment: bytes, opening: bytes) -> int:
        """See ``Unit.append_audit``."""
        number = self._rows.append((rid, commitment, opening))
        self._tokens.event(number)
        return number

    async def index(self, type_: str, rid: int, tokens: Sequence[bytes]) -> None:
        """Add tokens of a record again, after a crash has lost those that waited."""
        self._tokens.extend(type_, rid, tokens)

    async def attach(self, document: bytes, rid: int, chunks: int) -> None:
        """See ``Unit.attach``."""
        staged = "SELECT count(*) FROM chunk WHERE document = ?"
        [(found,)] = self.execute(staged, (document,))
        update = "UPDATE document SET rid = ? WHERE id = ? AND rid IS NULL RETURNING id"
        if found != chunks or not self.execute(update, (rid, document)):
            raise LostDocumentError("what was received is no longer there: send it again")


def _current(found: Sequence[Any]) -> SealedVersion:
    """The version that a record calls current.

    Raises:
        TamperedRecordError: There is no such version, or it is not that of which the record tells time and deletion.
    """
    if not found[-1]:
        raise TamperedRecordError("a record does not agree with its current version")
    return version_of(found[:-1])


@dataclass(frozen=True, slots=True)
class _Index:
    """One of the two tables of the index, as SQL.

    Attributes:
        one: What has one token, as ``t``, in the order of creation (``p.n, t.rid``); empty if it has no order.
        some: What has any of ``{marks}`` tokens, once, as ``t``.
        probe: Whether ``t.rid`` has any of ``{marks}`` tokens.
    """

    one: str
    some: str
    probe: str


_RECORDS = _Index(OF_ONE, OF_SOME, PROBE)
_EVENTS = _Index(
    "",
    "(SELECT DISTINCT j.value AS rid FROM event_token b, json_each(b.rids) j WHERE b.token IN ({marks})"
    " AND b.last >= ? AND b.first < ? AND j.value >= ? AND j.value < ?) t",
    "SELECT 1 FROM event_token x, json_each(x.rids) j WHERE x.token IN ({marks})"
    " AND x.first <= t.rid AND x.last >= t.rid AND j.value = t.rid",
)


def _statement(
    selection: Selection, index: _Index, window: tuple[int, ...] = ()
) -> tuple[str, list[object]]:
    """The SELECT for a selection.  Only placeholders and fixed words are joined; values are always bound."""
    values: list[object] = []
    source, creation = f"record r {_CURRENT}", "r.rid"
    order = "DESC" if selection.descending else "ASC"
    conditions: list[str] = []
    if selection.all_of:
        first, *rest = selection.all_of
        found, creation = index.some, "t.rid"
        if len(first) == 1 and index.one:
            found, creation = index.one, f"p.n {order}, t.rid"
        source = f"{found.format(marks=_marks(first))} CROSS JOIN record r ON r.rid = t.rid CROSS {_CURRENT}"
        values += (*first, *window, *window)
        for group in rest:
            conditions.append(f"EXISTS ({index.probe.format(marks=_marks(group))})")
            values += group
    conditions += ["r.type = ?", "r.deleted = 0"]
    values.append(selection.type_)
    _narrow(selection, conditions, values)
    by = f"r.at {order}, r.rid {order}" if selection.by_time else f"{creation} {order}"
    values.append(selection.limit)
    query = (
        f"SELECT {_CHECKED} FROM {source} WHERE {' AND '.join(conditions)} ORDER BY {by} LIMIT ?"  # noqa: S608
    )
    return query, values


def _changes(changes: Changes) -> tuple[str, list[object]]:
    """The SELECT for a history, along the index that has its order."""
    source, time = "version v CROSS JOIN record r ON r.rid = v.rid", "v.at, v.rid"
    values: list[object] = [changes.type_ if changes.rid is None else changes.rid]
    if changes.rid is not None:
        conditions = ["v.rid = ?"]
    elif changes.type_ == "AuditEvent":
        source, time = f"record r CROSS {_CURRENT}", "r.at, r.rid"
        conditions = ["r.type = ?", "r.deleted = 0"]
    else:
        conditions = ["v.type = ?", "v.type <> 'AuditEvent'"]
    at = time.partition(",")[0]
    for bound, sign in ((changes.since, ">="), (changes.until, "<=")):
        if bound is not None:
            conditions.append(f"{at} {sign} ?")
            values.append(bound)
    if changes.before is not None:
        conditions.append(f"({time}) < (?, ?)")
        values += changes.before
    if changes.current_at is not None:
        later = "SELECT 1 FROM version n WHERE n.rid = v.rid AND n.version = v.version + 1"
        conditions.append(f"NOT EXISTS ({later} AND n.at <= ?)")
        values.append(changes.current_at)
    order = f"{at} DESC, {time.partition(', ')[2]} DESC"
    query = (
        f"SELECT {COLUMNS} FROM {source} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"  # noqa: S608
    )
    return query, [*values, changes.limit or -1]


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
