"""AuditEvents of answers that write nothing else: they wait here, outside of any transaction, for the next commit.

Most answers are of this kind.  While they are made nobody has the turn to write, so that workers keep one another waiting no
longer than their commits take.  What a unit would look up first, the epoch of the keys, is looked up in the commit.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.store.protocol import SealedEvent
from fhir_server.store.sqlite.keys import epoch_of
from fhir_server.store.sqlite.rows import RowQueue
from fhir_server.store.sqlite.tokens import DEFERRED, TokenQueue


@dataclass(slots=True)
class _Recording:
    """The events of one answer; ``numbers`` once they are written, None if they are of another epoch."""

    events: Sequence[SealedEvent]
    epoch: int
    durable: asyncio.Future[Sequence[int] | None]
    numbers: Sequence[int] | None = None


class Recordings:
    """What waits for the next commit, and what is in it."""

    def __init__(self) -> None:
        self._waiting: list[_Recording] = []
        self._taken: list[_Recording] = []

    @property
    def waiting(self) -> bool:
        """Whether there is something for the next commit."""
        return bool(self._waiting)

    def add(
        self, events: Sequence[SealedEvent], epoch: int
    ) -> asyncio.Future[Sequence[int] | None]:
        """Let events wait; done when they are durable."""
        durable = asyncio.get_running_loop().create_future()
        self._waiting.append(_Recording(events, epoch, durable))
        return durable

    def take(self) -> int:
        """A commit begins, with what waits now; return how many answers that are."""
        self._taken, self._waiting = self._waiting, []
        return len(self._taken)

    def write(self, connection: sqlite3.Connection, rows: RowQueue, tokens: TokenQueue) -> None:
        """Give numbers to what was taken and hand it to the queues of the batch, as one unit."""
        epoch = epoch_of(connection)
        rows.begin_unit()
        tokens.begin_unit()
        for recording in self._taken:
            if recording.epoch == epoch:
                recording.numbers = [_put(each, rows, tokens) for each in recording.events]
        tokens.end_unit()

    def committed(self) -> None:
        """What was taken is durable."""
        for recording in self._done():
            recording.durable.set_result(recording.numbers)

    def failed(self, error: Exception) -> None:
        """What was taken is not written."""
        for recording in self._done():
            recording.durable.set_exception(error)

    def _done(self) -> list[_Recording]:
        """What was taken, without those whose requests have gone away."""
        taken, self._taken = self._taken, []
        return [recording for recording in taken if not recording.durable.done()]


def _put(event: SealedEvent, rows: RowQueue, tokens: TokenQueue) -> int:
    rid = rows.number()
    rows.put(rid, event.version)
    tokens.extend(DEFERRED, rid, event.tokens)
    number = rows.append((rid, event.commitment, event.opening))
    tokens.event(number)
    return number
