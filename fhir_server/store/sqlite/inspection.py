"""All of a SQLite file, looked at in one snapshot: the statements behind ``Inspection``."""

import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from fhir_server.store.inspection import Kept
from fhir_server.store.sqlite.marks import MARK
from fhir_server.store.sqlite.parts import MISSING
from fhir_server.store.sqlite.records import SqliteSnapshot
from fhir_server.store.sqlite.shelf import version_of
from fhir_server.store.sqlite.tokens import DEFERRED

_RECORDS = """SELECT r.version, r.at, r.deleted, r.type,
    r.rid, r.row, v.type, v.version, v.at, v.deleted, v.key_id, v.patients, v.wraps, v.sealed
    FROM record r LEFT JOIN version v ON v.rid = r.rid
    WHERE r.rid > ? AND r.rid <= ? ORDER BY r.rid, v.version"""


class SqliteInspection:
    """See ``store.inspection.Inspection``."""

    def __init__(self, snapshot: SqliteSnapshot) -> None:
        self._execute = snapshot.execute
        self._counts = array("L")  # by ``rid``; at 0 those of no record

    async def records(self, low: int, high: int) -> Sequence[Kept]:
        """See ``Inspection.records``."""
        found = []
        for _, rows in groupby(self._execute(_RECORDS, (low, high)), key=lambda row: row[4]):
            each = list(rows)
            version, at, deleted, type_, rid, row = each[0][:6]
            versions = tuple(version_of(one[4:]) for one in each if one[7] is not None)
            found.append(Kept(rid, row, type_, version, at, bool(deleted), versions))
        return found

    async def missing(self, type_: str, tokens: Mapping[int, Sequence[bytes]]) -> Mapping[int, int]:
        """See ``Inspection.missing``."""
        if type_ == DEFERRED:
            return self._missing_events(tokens)
        rids = [rid for rid, own in tokens.items() for _ in own]
        joined = b"".join(token for own in tokens.values() for token in own)
        return dict(self._execute(MISSING, (joined, json.dumps(rids))))

    def _missing_events(self, tokens: Mapping[int, Sequence[bytes]]) -> Mapping[int, int]:
        wanted: dict[bytes, set[int]] = {}
        for rid, own in tokens.items():
            for token in own:
                wanted.setdefault(token, set()).add(rid)
        missing: Counter[int] = Counter()
        query = "SELECT rids FROM event_token WHERE token = ? AND first <= ? AND last >= ?"
        for token, rids in wanted.items():
            rows = self._execute(query, (token, max(rids), min(rids)))
            missing.update(rids.difference(*(json.loads(row) for (row,) in rows)))
        return missing

    async def counts(self, low: int, high: int) -> Mapping[int, int]:
        """See ``Inspection.counts``.  The index is read once, as a whole: it has no order by record."""
        counts = self._counted()
        return {rid: counts[rid] for rid in range(low + 1, min(high + 1, len(counts)))}

    def _counted(self) -> "array[int]":
        if self._counts:
            return self._counts
        [(last,)] = self._execute("SELECT coalesce(max(rid), 0) FROM record", ())
        counts = array("L", bytes(array("L").itemsize * (last + 1)))
        for rid, count in self._execute("SELECT rid, count(*) FROM token GROUP BY rid", ()):
            _count(counts, rid, count)
        for (rids,) in self._execute("SELECT rids FROM event_token", ()):
            for rid in json.loads(rids):
                _count(counts, rid, 1)
        self._counts = counts
        return counts

    async def strays(self) -> tuple[int, int]:
        """See ``Inspection.strays``."""
        orphans = "SELECT count(*) FROM chunk WHERE document NOT IN (SELECT id FROM document)"
        [(chunks,)] = self._execute(orphans, ())
        return self._counted()[0], int(chunks)

    async def indexed(self) -> int:
        """See ``Inspection.indexed``."""
        [(size,)] = self._execute("SELECT coalesce(max(n) + 1, 0) FROM audit", ())
        [(mark,)] = self._execute(
            "SELECT min(value) FROM meta WHERE substr(name, 1, 14) = ?", (MARK,)
        )
        return int(size) if mark is None else int.from_bytes(mark, "big")


def _count(counts: "array[int]", rid: int, count: int) -> None:
    """Tokens of records that are not there are told as those of record 0, which there never is."""
    counts[rid if 0 < rid < len(counts) else 0] += count
