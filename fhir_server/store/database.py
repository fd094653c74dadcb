"""One database: all that a server keeps, each part behind a seam of its own.

Whatever lies behind them (``opening.py`` decides by the setting ``store``), the parts are of one and the same database:
what one of them has made durable, the others find after the same crash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from anchoring.anchorer import LeafSource
from anchoring.journal import AnchorJournal
from fhir_server.store.protocol import Store


class GrantItems(Protocol):
    """What the authorization server keeps, sealed (``grants.py``): codes, grants, sessions, spent assertion ids.

    ``kind`` is a word, ``key`` 64 hexadecimal digits; ``now`` and ``expires`` are milliseconds since 1970 UTC.  An item that
    has expired is as if it had never been, and may be forgotten.
    """

    async def put(self, kind: str, key: str, sealed: bytes, expires: int, now: int) -> None:
        """Insert or replace; durable when it returns."""
        ...

    async def add(self, kind: str, key: str, sealed: bytes, expires: int, now: int) -> None:
        """Insert; of callers at the same moment, in whatever process, exactly one succeeds.

        Raises:
            AlreadyThereError: The key is there and has not expired.
        """
        ...

    async def find(self, kind: str, key: str, now: int) -> bytes | None:
        """What is there; what any process has put or dropped before holds."""
        ...

    async def take(self, kind: str, key: str, now: int) -> bytes | None:
        """Give and delete as one step: of callers at the same moment, in whatever process, one gets it."""
        ...

    async def drop(self, kind: str, key: str) -> None:
        """Delete; nothing happens when it is not there."""
        ...


class SecretItems(Protocol):
    """The server's own keys, wrapped by the key provider (``own_secrets.py``)."""

    async def find(self, name: str) -> bytes | None:
        """What is kept under a name.  Never waits for a writer."""
        ...

    async def add(self, name: str, wrapped: bytes) -> bytes:
        """Keep it if there is nothing of that name yet; give what is there then, durable."""
        ...

    async def names(self) -> Sequence[str]:
        """All names, in their order."""
        ...

    async def replace(self, name: str, former: bytes, wrapped: bytes) -> None:
        """Keep another wrap of a secret, durable; nothing happens where ``former`` is not what is there."""
        ...


class Anchors(AnchorJournal, Protocol):
    """The anchorer's journal, and all that it has in it."""

    async def all_anchors(self) -> list[bytes]:
        """Every anchor, oldest first, for an audit of the whole log."""
        ...


class ReindexJournal(Protocol):
    """How far the index has been brought up to custom search parameters (``interactions/reindex/jobs.py``)."""

    async def load(self) -> Mapping[str, bytes]:
        """All jobs, by name."""
        ...

    async def save(self, name: str, content: bytes) -> None:
        """Keep a job; it is durable when this returns."""
        ...

    async def drop(self, name: str) -> None:
        """Forget a job."""
        ...

    async def extent(self, type_: str) -> tuple[int, int]:
        """How many current records a type has, and the ``rid`` of the newest (0 for none)."""
        ...


@dataclass(frozen=True, slots=True)
class Database:
    """The parts of one database, open.

    Attributes:
        fresh: Whether nothing was ever kept in it: only then may keys be made for it.
        indexed_events: The audit number from which on, at the start, tokens of AuditEvents may be missing.
    """

    store: Store
    grants: GrantItems
    secrets: SecretItems
    leaves: LeafSource
    anchors: Anchors
    reindex: ReindexJournal
    fresh: bool
    indexed_events: int

    async def close(self) -> None:
        """Finish the open units and let go of the database."""
        await self.store.close()
