"""Tokens on their way into the blind index.

Tokens are random, so each one that is written alone dirties a database page of its own: that, not cryptography, is what
an answer with an audit record costs.  Two queues make it cheap:

- Tokens of a batch go in together, sorted, by one statement in the commit's thread while the event loop runs on.
- Tokens of AuditEvents wait in 256 buckets by their first byte.  Each commit writes one bucket, in turn, so that many
  tokens share a page; and all events of a lap that share a token share a row.  The AuditEvent itself and its leaf are
  durable at once; only its search tokens come later.  A search of AuditEvents writes all buckets first; an idle store does,
  too; and a mark in the database (``marks.py``) says from which audit number on tokens may be missing, so that they
  are made again after a crash.
"""

import sqlite3
from collections.abc import Mapping, Sequence

import orjson

from fhir_server.store.protocol import Selection
from fhir_server.store.sqlite.marks import Marks
from fhir_server.store.sqlite.parts import TOKEN, Pair, begin_part, insert

_BUCKETS = 256
DEFERRED = "AuditEvent"
_NONE = 2**62  # more than any number
_IN_ROW = 512  # events in a row of ``event_token``
_INSERT_EVENTS = f"""INSERT INTO event_token (token, first, last, rids)
    SELECT substr(?1, key * {TOKEN} + 1, {TOKEN}), value ->> 0, value ->> '$[#-1]', value FROM json_each(?2) WHERE true
    ON CONFLICT (token, first) DO UPDATE SET last = max(last, excluded.last), rids = (
        SELECT json_group_array(value) FROM (
            SELECT value FROM json_each(event_token.rids) UNION SELECT value FROM json_each(excluded.rids)
        )
    )"""  # noqa: S608
Postings = dict[bytes, list[int]]  # token to records
Event = tuple[int, Sequence[bytes]]  # record, tokens


class TokenQueue:
    """The queues of one store.  Units run one after another, so there is one unit and one batch at a time.

    Attributes:
        wanted: Another process waits for tokens that wait here.
    """

    def __init__(self, marks: Marks, events: int) -> None:
        self._marks = marks
        self._marked: int | None = None  # what the database says; None if no tokens are missing
        self._marking: int | None = None  # what it says once this batch is durable
        self._again: int | None = None  # from which number on they are being made again
        self._now: list[Pair] = []
        self._types: set[str] = set()  # of the records whose tokens are in ``_now``, or were
        self._sought: set[bytes] = set()  # the tokens of the first ``_seen`` pairs of ``_now``
        self._seen = 0
        self._before_unit = 0
        self._written_in_unit: list[Pair] = []
        self._unit_later: list[Event] = []
        self._batch_later: list[Event] = []
        self._buckets: list[Postings] = [{} for _ in range(_BUCKETS)]
        self._next = 0
        self._waiting = 0
        self.wanted = False
        self._full = False  # the newest part of the index, when this process last wrote to it
        self._batch_first = _NONE
        self._events = self._batch_events = self._events_before_unit = self._lap_events = events

    @property
    def waiting(self) -> int:
        """How many tokens of durable AuditEvents are not in the index."""
        return self._waiting

    @property
    def behind(self) -> bool:
        """Whether durable AuditEvents have tokens that are not in the index."""
        return self._waiting > 0

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing to write, and no mark to take away."""
        return not self._waiting and (self._marked is None or self._again is not None)

    def begin_again(self, number: int) -> None:
        """The mark is at ``number``, and stays there while tokens from there on are made again."""
        self._marked = self._marking = self._again = number

    def begun_again(self) -> None:
        """They are made: the mark rises with the rest."""
        self._again = None

    def look(self, connection: sqlite3.Connection) -> bool:
        """Whether another process waits for tokens that wait here; ``wanted`` says so after each batch."""
        self.wanted = self.behind and self._marks.asked(connection) > (self._marked or 0)
        return self.wanted

    def extend(self, type_: str, rid: int, tokens: Sequence[bytes]) -> None:
        """Add the tokens of a record of a unit."""
        if type_ == DEFERRED:
            self._unit_later.append((rid, tokens))
        else:
            record = rid.to_bytes(8, "big")
            self._now += [token + record for token in tokens]
            self._types.add(type_)

    def event(self, number: int) -> None:
        """Note that the unit has appended this audit number."""
        self._batch_events = number + 1
        self._batch_first = min(self._batch_first, number)

    def forget(self, postings: Mapping[bytes, Sequence[int]]) -> None:
        """These tokens of AuditEvents are erased: they are never written, even if this unit is taken back."""
        gone: dict[int, set[bytes]] = {}
        for token, rids in postings.items():
            for rid in rids:
                gone.setdefault(rid, set()).add(token)
            bucket = self._buckets[token[0]]
            waiting = bucket.get(token, [])
            kept = [rid for rid in waiting if rid not in set(rids)]
            self._waiting -= len(waiting) - len(kept)
            if kept:
                bucket[token] = kept
            else:
                bucket.pop(token, None)
        for later in (self._unit_later, self._batch_later):
            later[:] = [
                (rid, [token for token in tokens if token not in gone.get(rid, ())])
                for rid, tokens in later
            ]

    def begin_batch(self, connection: sqlite3.Connection, rid: int) -> None:
        """A batch begins, whose first new record has the number ``rid``."""
        if self._full:  # as far as is known; and the batch may fail, and the part with it
            begin_part(connection, rid)

    def begin_unit(self) -> None:
        """A unit begins: remember what waits from those before."""
        self._before_unit = len(self._now)
        self._written_in_unit = []
        self._unit_later = []
        self._events_before_unit = self._batch_events

    def end_unit(self) -> None:
        """The unit is part of the batch."""
        self._batch_later += self._unit_later
        self._unit_later = []

    def undo_unit(self) -> None:
        """The unit was taken back, and with it what it wrote of the units before: that waits again."""
        self._wait(self._written_in_unit + self._now[: self._before_unit])
        self._unit_later = []
        self._batch_events = self._events_before_unit

    def write_now(self, connection: sqlite3.Connection) -> None:
        """Put the tokens that must not wait into the index."""
        if self._now:
            self._written_in_unit += self._now[: self._before_unit]
            waiting, self._before_unit = sorted(self._now), 0
            self._wait([])
            self._full = insert(connection, waiting)

    def _wait(self, pairs: list[Pair]) -> None:
        """These wait from now on, and no others."""
        self._now, self._sought, self._seen = pairs, set(), 0

    def affects(self, selection: Selection) -> bool:
        """Whether a selection may find something by a token that waits."""
        if selection.type_ == DEFERRED:
            return True
        if selection.type_ not in self._types or not selection.all_of:
            return selection.type_ in self._types
        self._sought.update(pair[:TOKEN] for pair in self._now[self._seen :])
        self._seen = len(self._now)
        return not all(self._sought.isdisjoint(group) for group in selection.all_of)

    def show(self, type_: str, connection: sqlite3.Connection) -> None:
        """Before a unit selects records of a type: let it see their tokens, those of AuditEvents too."""
        if type_ == DEFERRED:
            self._show_waiting(connection)
        else:
            self.write_now(connection)

    def write_bucket(self, connection: sqlite3.Connection) -> None:
        """Put one bucket into the index; note from where on it may lack tokens, again after each lap."""
        bucket = self._buckets[self._next]
        if bucket:
            _insert_events(connection, bucket)
        self._marking = self._marked
        if self._marked is None and self._batch_later:
            self._mark(connection, self._batch_first)
        elif self._marked is not None and self._next == _BUCKETS - 1:
            self._mark(connection, self._lap_events)
        self.look(connection)

    def write_all(self, connection: sqlite3.Connection) -> None:
        """Put all buckets into the index."""
        self._show_waiting(connection)
        if self._again is None:
            self._marks.clear(connection)

    def _mark(self, connection: sqlite3.Connection, number: int) -> None:
        if self._again is None:
            self._marks.write(connection, number)
            self._marking = number

    def _show_waiting(self, connection: sqlite3.Connection) -> None:
        """Write what waits; if it is taken back nothing is lost, for it goes on waiting until it is committed."""
        waiting: Postings = {}
        for bucket in self._buckets:
            for token, rids in bucket.items():
                waiting[token] = list(rids)
        for rid, tokens in (*self._batch_later, *self._unit_later):
            for token in tokens:
                waiting.setdefault(token, []).append(rid)
        _insert_events(connection, waiting)

    def committed(self) -> None:
        """The batch is durable, with the bucket that was written: the batch's own later tokens begin to wait."""
        self._types = set()
        self._batch_first = _NONE
        self._marked = self._marking
        self._waiting -= sum(map(len, self._buckets[self._next].values()))
        self._buckets[self._next] = {}
        self._next = (self._next + 1) % _BUCKETS
        if self._next == 0:
            self._lap_events = self._events
        self._begin_to_wait(self._batch_later)
        self._batch_later = []
        self._events = self._batch_events

    def _begin_to_wait(self, events: Sequence[Event]) -> None:
        """Put tokens into their buckets; what all events of a batch share, often being of one caller, goes there once."""
        if not events:
            return
        common = frozenset(events[0][1]).intersection(*(tokens for _, tokens in events[1:]))
        rids = [rid for rid, _ in events]
        for token in common:
            self._buckets[token[0]].setdefault(token, []).extend(rids)
        for rid, tokens in events:
            for token in common.symmetric_difference(tokens):
                self._buckets[token[0]].setdefault(token, []).append(rid)
            self._waiting += len(tokens)

    def committed_all(self) -> None:
        """All buckets are durable."""
        self._buckets = [{} for _ in range(_BUCKETS)]
        self._waiting = 0
        self._marked = self._again
        self.wanted = False

    def failed(self) -> None:
        """The batch was not written."""
        self._wait([])
        self._batch_later, self._unit_later = [], []
        self._batch_events = self._events


def _insert_events(connection: sqlite3.Connection, postings: Mapping[bytes, list[int]]) -> None:
    """One statement for all rows: SQLite works on it without the interpreter's lock.

    Rows that begin with the same event (after a crash, or shown before they were written) are joined.
    """
    tokens: list[bytes] = []
    rows: list[list[int]] = []
    for token in sorted(postings):
        rids = sorted(set(postings[token]))
        for at in range(0, len(rids), _IN_ROW):
            tokens.append(token)
            rows.append(rids[at : at + _IN_ROW])
    connection.execute(_INSERT_EVENTS, (b"".join(tokens), orjson.dumps(rows).decode()))
