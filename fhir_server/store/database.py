"""One database: all that a server keeps, each part behind a seam of its own.

Whatever lies behind them (``opening.py`` decides by the setting ``store``), the parts are of one and the same database:
what one of them has made durable, the others find after the same crash.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anchoring.chain.journal import AnchorJournal
from anchoring.log.log import LeafSource
from anchoring.log.tiles import TileStore
from fhir_server.measures import UNITS, Histogram
from fhir_server.store.protocol import Store
from smart_auth.store import Entry

_INDEX_BITS = 48  # of a tile's number; the level above them leaves it a signed number of 64 bits


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


class RegisterItems(Protocol):
    """What the authorization server keeps for good, sealed: a ``smart_auth.store.RegisterStore`` whose values are opaque."""

    async def find(self, kind: str, key: str) -> Entry | None:
        """See ``RegisterStore.find``."""
        ...

    async def of(self, kind: str, owner: str | None = None) -> Sequence[Entry]:
        """See ``RegisterStore.of``."""
        ...

    async def save(self, kind: str, entry: Entry) -> None:
        """See ``RegisterStore.save``.

        Raises:
            ChangedError: Another version is there.
        """
        ...

    async def drop(self, kind: str, key: str) -> None:
        """See ``RegisterStore.drop``."""
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


ALL_TOKENS = "all"  # the job of making all tokens anew: its name in a ``ReindexJournal``


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


class EventIndex(Protocol):
    """What a process that died has left undone in the index of AuditEvents."""

    async def adopt(self) -> int | None:
        """From which audit number on tokens may be missing, or None; this process now answers for them."""
        ...

    async def adopted(self) -> None:
        """All of them were given to ``Unit.index`` again."""
        ...


class News(Protocol):
    """What the processes that share a database tell each other: that there is something to look up again.

    Told of: SearchParameters, revoked tokens, destroyed keys.  Not of records: those are read from the database every time.
    """

    async def count(self) -> int:
        """How often something was told; cheap enough to be asked for every request."""
        ...

    async def tell(self) -> None:
        """Count one more; whoever asks after this has returned, in whatever process, gets another number than before."""
        ...


@dataclass(frozen=True, slots=True)
class Extent:
    """A document as the store has it.

    Attributes:
        rid: The record that it was attached to; None while it is staged.
        chunks: How many there are.
    """

    document: bytes
    rid: int | None
    chunks: int


class ChunkItems(Protocol):
    """The sealed chunks of large documents (``vault/documents.py``).

    A document is staged until the unit of work that writes its record attaches it (``Unit.attach``); it is nobody's then,
    and forgotten when nothing came for some time.  What was attached is never changed.  ``document`` is 16 random bytes.
    """

    async def add(self, document: bytes, first: int, sealed: Sequence[bytes], touched: int) -> None:
        """Stage chunks ``first``, ``first + 1`` ... (64 KiB each, or a little more), durable when it returns.

        Writers beside it do not wait for longer than this call takes.  ``touched`` is now, milliseconds since 1970 UTC.

        Raises:
            StoreFullError: The disk is full; none of them was kept.
        """
        ...

    async def read(self, document: bytes, first: int, count: int) -> Sequence[bytes]:
        """Chunks ``first`` to ``first + count - 1``, fewer if there are fewer."""
        ...

    async def drop(self, document: bytes) -> None:
        """Forget a document that is staged; nothing happens if it is attached, or not there."""
        ...

    async def sweep(self, before: int) -> int:
        """Forget, in small units, all that is staged and was not touched since ``before``; give how many documents."""
        ...

    async def extents(self, after: bytes, limit: int) -> Sequence[Extent]:
        """The documents behind ``after`` in the order of their names: for ``consentry check``."""
        ...


class Leases(Protocol):
    """Tasks that one process at a time may do for all that share the database."""

    async def holds(self, task: str) -> bool:
        """Whether this process has the task now.

        Whoever has it asks again every second or two.  When it has died, or has not asked for longer, another process that
        asks has it within 10 seconds.  For a moment two may have it, if one was stopped and goes on: the task bears that.
        """
        ...

    async def leave(self, task: str) -> None:
        """Let another have it."""
        ...


@dataclass(frozen=True, slots=True)
class Database:
    """The parts of one database, open.

    Attributes:
        batches: How many units of work came into a commit.
        waiting: How many tokens wait for the index.
        fresh: Whether nothing was ever kept in it: only then may keys be made for it.
    """

    store: Store
    grants: GrantItems
    register: RegisterItems
    secrets: SecretItems
    leaves: LeafSource
    tiles: TileStore
    anchors: Anchors
    reindex: ReindexJournal
    chunks: ChunkItems
    events: EventIndex
    news: News
    leases: Leases
    fresh: bool
    batches: Histogram = field(default_factory=lambda: Histogram(UNITS))
    waiting: Callable[[], int] = lambda: 0

    async def close(self) -> None:
        """Finish the open units and let go of the database."""
        await self.store.close()


def tile_id(level: int, index: int) -> int:
    """The number under which a tile is kept: tiles of one level lie together, in their order."""
    return (level << _INDEX_BITS) + index


def tile_index(id_: int) -> int:
    """The index in such a number."""
    return id_ & (1 << _INDEX_BITS) - 1
