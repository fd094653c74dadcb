"""What units of work have written and what is not committed yet, kept in memory.

A transaction of MongoDB has no savepoints, and the server may end it at any time.  So the writes of each unit are kept
until they are durable: a unit that fails takes back its own only, and whatever the transaction loses is written again.
Nobody else can have changed anything meanwhile (``mongo_turn.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.store.mongo import (
    Document,
    DuplicateError,
    InsertOne,
    Operation,
    ReplaceOne,
    UpdateOne,
)
from fhir_server.store.mongo_documents import (
    AUDIT,
    KEY,
    PART,
    RECORD,
    VERSION,
    document,
    parts,
    superseded,
)
from fhir_server.store.mongo_turn import Counters, next_k, next_n, next_rid
from fhir_server.store.protocol import SealedVersion, WrappedKey


@dataclass(frozen=True, slots=True)
class Write:
    """One write: what it does to each collection, in this order.

    Attributes:
        type_: The type whose index it changes, or empty.
        current: The record as it is then, if it writes one.
        key: The data key that it adds, if any.
    """

    operations: tuple[tuple[str, Operation], ...]
    type_: str = ""
    current: Document | None = None
    key: WrappedKey | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a unit began."""

    writes: int
    counters: Counters


class Pending:
    """The writes of one batch of units."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self._writes: list[Write] = []
        self._sent = 0
        self._current: dict[bytes, Document] = {}
        self._keys: list[WrappedKey] = []

    def __bool__(self) -> bool:
        return bool(self._writes)

    @property
    def unsent(self) -> bool:
        """Whether the transaction does not have all of it."""
        return self._sent < len(self._writes)

    def touches(self, type_: str) -> bool:
        """Whether the transaction does not have all that this batch has written to the index of a type."""
        return any(write.type_ == type_ for write in self._writes[self._sent :])

    @property
    def blurred(self) -> bool:
        """Whether tokens were added to records of which the transaction must tell what they are now."""
        return any(write.current is None and write.type_ for write in self._writes[self._sent :])

    def current(self, row: bytes) -> Document | None:
        """The record as this batch has made it; None if it has not."""
        return self._current.get(row)

    def key(self, id_: bytes, owner: bytes) -> WrappedKey | None:
        """A data key that this batch has added, by its id, or the newest of an owner."""
        found = (
            key for key in reversed(self._keys) if key.id == id_ or (owner and key.owner == owner)
        )
        return next(found, None)

    def put(
        self, version: SealedVersion, tokens: Sequence[bytes], previous: Document | None
    ) -> None:
        """A version with all of its tokens.

        Raises:
            DuplicateError: This batch has made the record, or the version is not behind the previous one.
        """
        known = self._current.get(version.row)
        if known if previous is None else version.version <= previous["version"]:
            raise DuplicateError("a duplicate of a version that is there")
        made = document(version, tokens)
        operations: list[tuple[str, Operation]] = [
            (PART, InsertOne(part)) for part in parts(version)
        ]
        if previous is None:
            operations.append((RECORD, InsertOne(made)))
            self.counters = next_rid(self.counters)
        else:
            where = {"_id": version.row, "version": previous["version"]}
            operations.append((VERSION, InsertOne(superseded(previous, version.at))))
            operations.append((RECORD, ReplaceOne(where, made)))
        self._add(Write(tuple(operations), version.type_, current=made))

    def add_key(self, key: WrappedKey) -> None:
        """A data key."""
        made = {"_id": key.id, "owner": key.owner, "wrapped": key.wrapped, "k": self.counters.k}
        self.counters = next_k(self.counters)
        self._add(Write(((KEY, InsertOne(made)),), key=key))

    def append_audit(self, rid: int, commitment: bytes, opening: bytes) -> int:
        """An audit row; return its number."""
        number = self.counters.n
        self.counters = next_n(self.counters)
        made = {"_id": rid, "n": number, "commitment": commitment, "opening": opening}
        self._add(Write(((AUDIT, InsertOne(made)),)))
        return number

    def index(self, type_: str, rid: int, tokens: Sequence[bytes]) -> None:
        """Tokens that a record is to have beside those that it has."""
        change = {"$addToSet": {"tokens": {"$each": list(tokens)}}}
        self._add(Write(((RECORD, UpdateOne({"rid": rid}, change)),), type_))

    def mark(self) -> Mark:
        """Where the next unit begins."""
        return Mark(len(self._writes), self.counters)

    def undo(self, mark: Mark) -> bool:
        """Take back what came behind the mark; whether the transaction has some of it."""
        del self._writes[mark.writes :]
        self.counters = mark.counters
        self._current, self._keys = {}, []
        for write in self._writes:
            self._note(write)
        return self._sent > mark.writes

    def all_again(self) -> bool:
        """The transaction has lost what it had; whether that was anything."""
        had, self._sent = self._sent > 0, 0
        return had

    def next_operations(self) -> dict[str, list[Operation]]:
        """What the transaction does not have yet, by collection, each in its order."""
        found: dict[str, list[Operation]] = {}
        for write in self._writes[self._sent :]:
            for collection, operation in write.operations:
                found.setdefault(collection, []).append(operation)
        return found

    def all_sent(self) -> None:
        """The transaction has all of it."""
        self._sent = len(self._writes)

    def _add(self, write: Write) -> None:
        self._writes.append(write)
        self._note(write)

    def _note(self, write: Write) -> None:
        if write.current is not None:
            self._current[write.current["_id"]] = write.current
        elif write.type_:
            self._current.clear()  # tokens were added: what is known of them is not all any more
        if write.key is not None:
            self._keys.append(write.key)
