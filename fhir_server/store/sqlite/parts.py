"""The parts of the blind index over current versions: each has the tokens of the records from its first one on.

Tokens are random.  In one large tree nearly each of them dirties a page of its own, and loading gets slower and slower.  So
the index is a row of trees of a few million tokens, and new records go into the newest: a commit touches that one only.  A
search asks all of them, in their order, which is that of the records; whether one record has a token is asked of one.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from struct import Struct

import orjson

Pair = bytes  # token (12), record (8, big-endian): sorts as the index does, in a third of a tuple's memory
TOKEN = 12
_RECORD = Struct(f">{TOKEN}xQ")  # of a pair
_FULL = 2_000_000  # tokens; then the next record begins a part

OF_ONE = "part p CROSS JOIN token t ON t.part = p.n AND t.token = ?"
OF_SOME = "(SELECT DISTINCT x.part, x.rid FROM part p CROSS JOIN token x ON x.part = p.n AND x.token IN ({marks})) t"
PROBE = "SELECT 1 FROM token x WHERE x.part = t.part AND x.token IN ({marks}) AND x.rid = t.rid"
_PART = "(SELECT n FROM part WHERE first <= {rid} ORDER BY first DESC LIMIT 1)"
MISSING = f"""SELECT value, count(*) FROM json_each(?2) WHERE NOT EXISTS (
    SELECT 1 FROM token t WHERE t.part = {_PART.format(rid="value")}
        AND t.token = substr(?1, key * {TOKEN} + 1, {TOKEN}) AND t.rid = value)
    GROUP BY value"""  # noqa: S608
_DELETE = f"DELETE FROM token WHERE part = {_PART.format(rid='?2')} AND token = ?1 AND rid = ?2"  # noqa: S608
_INSERT = f"""INSERT OR IGNORE INTO token (part, token, rid)
    SELECT ?3, substr(?1, key * {TOKEN + 8} + 1, {TOKEN}), value FROM json_each(?2)"""  # noqa: S608
_BEGIN = """INSERT INTO part (n, first, tokens)
    SELECT n + 1, ?1, 0 FROM part WHERE n = (SELECT max(n) FROM part) AND tokens >= ?2 AND first < ?1"""


def begin_part(connection: sqlite3.Connection, rid: int) -> None:
    """Let records from ``rid`` on, none of which has tokens yet, go into a new part if the newest one is full."""
    connection.execute(_BEGIN, (rid, _FULL))


def insert(connection: sqlite3.Connection, pairs: Sequence[Pair]) -> bool:
    """Put sorted pairs into the index; whether the newest part is full.

    One statement for each part, mostly one in all: SQLite works on it without the interpreter's lock.
    """
    parts = connection.execute("SELECT first, n FROM part ORDER BY first").fetchall()
    for n, joined, rids in _by_part(parts, pairs):
        connection.execute(_INSERT, (joined, orjson.dumps(rids).decode(), n))
        count = "UPDATE part SET tokens = tokens + ? WHERE n = ? RETURNING tokens"
        [(tokens,)] = connection.execute(count, (len(rids), n)).fetchall()
        if n == parts[-1][1] and tokens >= _FULL:
            return True
    return False


def delete(connection: sqlite3.Connection, postings: Iterable[tuple[bytes, int]]) -> None:
    """Take tokens of records out of the index."""
    connection.executemany(_DELETE, postings)


def _by_part(
    parts: Sequence[tuple[int, int]], pairs: Sequence[Pair]
) -> list[tuple[int, bytes, Sequence[int]]]:
    """Each part with its pairs, as one string, and their records; the newest last."""
    joined, firsts = b"".join(pairs), [first for first, _ in parts]
    rids = [rid for (rid,) in _RECORD.iter_unpack(joined)]
    if min(rids, default=0) >= firsts[-1]:
        return [(parts[-1][1], joined, rids)]
    found: dict[int, list[tuple[Pair, int]]] = {}
    for pair, rid in zip(pairs, rids, strict=True):
        found.setdefault(bisect_right(firsts, rid) - 1, []).append((pair, rid))
    return [
        (parts[at][1], b"".join(pair for pair, _ in found[at]), [rid for _, rid in found[at]])
        for at in sorted(found)
    ]
