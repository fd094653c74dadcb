"""The seam of the store: what the rest of the server asks of any database.

A ``Store`` never sees plaintext.  It gives snapshots for reading and units of work for writing; a unit becomes durable
as a whole when its context ends without an error, and not before the context returns.
"""

from asyncio import Future
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fhir_server.store.shelf import KeyTable, Notes, SealedVersion, Shelf, WrappedKey

__all__ = [
    "AuditRow",
    "Changes",
    "SealedEvent",
    "SealedVersion",
    "Selection",
    "Snapshot",
    "Store",
    "Unit",
    "WrappedKey",
]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which current, undeleted records of a type to give.

    Attributes:
        all_of: Each group must match by at least one of its tokens; the first group drives the query.
        rows: Only these row keys, if not None.
        since: Lowest ``at``, milliseconds, included.
        until: Highest ``at``, milliseconds, included.
        by_time: Order by ``at`` instead of by creation.
        descending: Newest first.
        after: Continue behind this (order value, rid); order value is ``at`` if ``by_time``, else ``rid``.
        limit: At most this many.
    """

    type_: str
    all_of: tuple[tuple[bytes, ...], ...] = ()
    rows: tuple[bytes, ...] | None = None
    since: int | None = None
    until: int | None = None
    by_time: bool = False
    descending: bool = False
    after: tuple[int, int] | None = None
    limit: int = 256


@dataclass(frozen=True, slots=True)
class Changes:
    """Which versions to give, tombstones too: of one record, or of all records of a type.

    Attributes:
        rid: Of this record, if not None.
        type_: Else of this type.
        since: Lowest ``at``, milliseconds, included.
        until: Highest ``at``, milliseconds, included.
        current_at: Only those that were followed by no other at this time, milliseconds.
        before: Continue behind this (at, rid).
        limit: At most this many; 0 for all.
    """

    rid: int | None = None
    type_: str = ""
    since: int | None = None
    until: int | None = None
    current_at: int | None = None
    before: tuple[int, int] | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry of the audit log; ``n`` is gapless from 0."""

    n: int
    rid: int
    commitment: bytes
    opening: bytes


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """A new AuditEvent with its tokens and its audit row: all but their numbers (``rid`` is 0)."""

    version: SealedVersion
    tokens: Sequence[bytes]
    commitment: bytes
    opening: bytes


class Snapshot(Protocol):
    """A view of the database at one instant; its further parts are in ``shelf.py``."""

    @property
    def keys(self) -> KeyTable:
        """All data keys."""
        ...

    @property
    def notes(self) -> Notes:
        """What jobs keep."""
        ...

    @property
    def shelf(self) -> Shelf:
        """Records where they lie."""
        ...

    async def epoch(self) -> int:
        """How often a key has stopped being good since the database was made: whoever keeps keys in memory looks here."""
        ...

    async def find(self, row: bytes, version: int | None = None) -> SealedVersion | None:
        """The current version of a row (a tombstone too), or the named one."""
        ...

    async def history(self, changes: Changes) -> Sequence[SealedVersion]:
        """The versions of a record or type, newest first (by ``at``, then ``rid``)."""
        ...

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """The current versions that match, in the order asked for."""
        ...

    async def key(self, *, id_: bytes = b"", owner: bytes = b"") -> WrappedKey | None:
        """A data key by its id, or the newest of an owner."""
        ...

    async def audit(
        self, *, start: int = 0, stop: int = 0, rid: int | None = None
    ) -> Sequence[AuditRow]:
        """Audit rows ``start <= n < stop``, or that of one AuditEvent."""
        ...


class Unit(Snapshot, Protocol):
    """One transaction: all of its writes become durable together, or none does."""

    async def put(self, version: SealedVersion, add: Sequence[bytes], drop: Sequence[bytes]) -> int:
        """Write a version (``rid`` 0 for a new record), take tokens out, then put some in; return its ``rid``."""
        ...

    async def add_key(self, key: WrappedKey) -> None:
        """Keep a new data key."""
        ...

    async def append_audit(self, rid: int, commitment: bytes, opening: bytes) -> int:
        """Append the audit row of an AuditEvent just put; return its number, from 0."""
        ...

    async def index(self, type_: str, rid: int, tokens: Sequence[bytes]) -> None:
        """Add tokens of a record again, after a crash has lost those that waited."""
        ...

    async def attach(self, document: bytes, rid: int, chunks: int) -> None:
        """Make a staged document (``store.database.ChunkItems``) a record's.

        Raises:
            LostDocumentError: It was swept, or is not whole.
        """
        ...


class Store(Protocol):
    """A sealed store.

    Attributes:
        asks_cheaply: Whether a unit of work may ask everything twice (``preparing.py``): no question goes to a server.
    """

    asks_cheaply: bool

    def reading(self, *, complete: bool = False) -> AbstractAsyncContextManager[Snapshot]:
        """A snapshot for reading.

        The index of AuditEvents may run a moment behind the AuditEvents; ``complete`` waits until it does not.  Only
        then can they be selected.
        """
        ...

    def writing(self) -> AbstractAsyncContextManager[Unit]:
        """A unit of work; units run one after another, so what one reads nobody changes before it commits.

        Raises:
            StoreFullError: The disk is full; nothing of the unit was kept.
        """
        ...

    def record(self, events: Sequence[SealedEvent], epoch: int) -> Future[Sequence[int] | None]:
        """Write AuditEvents and nothing else: all or none of them.

        Args:
            epoch: That of the keys which seal them.

        Returns:
            Done when they are durable: their numbers in the log; None if the database has another epoch by now, and nothing
            was written.

        Raises:
            StoreFullError: By the future: the disk is full; nothing was written.
        """
        ...

    async def close(self) -> None:
        """Finish the open units and let go of the database."""
        ...
