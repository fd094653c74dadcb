"""What units of work have written and what is not committed yet, kept in memory.

A transaction of MongoDB has no savepoints, and the server may end it at any time.  So the writes of each unit are kept
until they are durable: a unit that fails takes back its own only, and whatever the transaction loses is written again.
Nobody else can have changed anything meanwhile (``turn.py``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fhir_server.errors import StoreFullError
from fhir_server.store.mongodb.documents import (
    KEY,
    META,
    PART,
    RECORD,
    VERSION,
    document,
    parts,
    superseded,
)
from fhir_server.store.mongodb.groups import EVENT, GROUP, grouped
from fhir_server.store.mongodb.mongo import (
    DeleteOne,
    Document,
    DuplicateError,
    InsertOne,
    Operation,
    ReplaceOne,
    UpdateOne,
)
from fhir_server.store.mongodb.overlay import Overlay
from fhir_server.store.mongodb.pages import PAGE, pages
from fhir_server.store.mongodb.turn import Counters
from fhir_server.store.protocol import AuditRow
from fhir_server.store.shelf import SealedVersion, WrappedKey

Each = tuple[str, Operation]
_TOKEN = 26  # bytes of a token in an array of BSON
_ANY = "*"  # stands for every type
_ROOM = 7 * 1024 * 1024  # beside the seal: a document has 16 MiB


@dataclass(frozen=True, slots=True)
class Write:
    """One write.

    Attributes:
        operations: What it does, each to a collection, in this order.
        current: The record as it is then, if it writes one.
        key: The data key as it is then, if it writes one.
        row: The audit row, if it writes one.
        note: The name of a note and its content then, None if it is dropped; if it writes one.
        rewraps: Whether that key was there before.
        event: Whether the record is a new AuditEvent, whose tokens go into groups.
        blurs: Whether it changes records of which only the database can tell what they are now.
    """

    operations: tuple[Each, ...]
    current: Document | None = None
    key: WrappedKey | None = None
    row: AuditRow | None = None
    note: tuple[str, bytes | None] | None = None
    rewraps: bool = False
    event: bool = False
    blurs: bool = False

    @property
    def type_(self) -> str:
        """Of which type the record is that it writes; of none, or of any, where it is not known."""
        if self.blurs:
            return _ANY
        return self.current["type"] if self.current else ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a unit began."""

    writes: int
    counters: Counters


class Pending:
    """The writes of one batch of units.

    Attributes:
        counters: The numbers that come next.
        overlay: The records of which the transaction does not have the current version.
        blurred: How often something was written of which only the database can tell what it has become.
    """

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.overlay = Overlay()
        self.blurred = 0
        self._writes: list[Write] = []
        self._sent = 0
        self._sent_types: set[str] = set()
        self._unsent: set[str] = set()
        self._hides = self._hides_keys = False
        self._current: dict[bytes, Document] = {}
        self._keys: list[WrappedKey] = []
        self._notes: dict[str, bytes | None] = {}
        self._read_notes: dict[str, bytes | None] = {}

    def __bool__(self) -> bool:
        return bool(self._writes)

    @property
    def unsent(self) -> int:
        """How many writes were not taken to be sent to the transaction."""
        return len(self._writes) - self._sent

    def unsent_to(self, collection: str) -> bool:
        """Whether the transaction does not have all that is written to a collection."""
        return collection in self._unsent

    def sent_of(self, type_: str) -> bool:
        """Whether the transaction was sent anything that may be a record of a type."""
        return not self._sent_types.isdisjoint((type_, _ANY))

    @property
    def hides(self) -> bool:
        """Whether the transaction does not have something of which only the database can tell what it has become."""
        return self._hides

    @property
    def hides_keys(self) -> bool:
        """The same of data keys."""
        return self._hides_keys

    def current(self, row: bytes) -> Document | None:
        """The record as this batch has made it; None if it has not."""
        return self._current.get(row)

    def key(self, id_: bytes, owner: bytes) -> WrappedKey | None:
        """A data key that this batch has written, by its id, or the newest of an owner."""
        kept = (k for k in reversed(self._keys) if k.id == id_ or (owner and k.owner == owner))
        return next(kept, None)

    def knows_note(self, name: str) -> bool:
        """Whether this batch has read or written a note."""
        return name in self._notes or name in self._read_notes

    def note(self, name: str) -> bytes | None:
        """A note that it knows; None if there is none of that name."""
        return self._notes[name] if name in self._notes else self._read_notes[name]

    def remember_notes(self, found: Mapping[str, bytes | None]) -> None:
        """Notes as the transaction has them, None where there is none."""
        self._read_notes.update(found)

    def save_note(self, name: str, content: bytes | None) -> None:
        """A note, or that there is none any more."""
        if content is None:
            change: Operation = DeleteOne({"_id": name})
        else:
            change = ReplaceOne({"_id": name}, {"_id": name, "content": content}, upsert=True)
        self._add(Write(((META, change),), note=(name, content)))

    def put(
        self, version: SealedVersion, tokens: Sequence[bytes], previous: Document | None
    ) -> None:
        """A version with all of its tokens.

        Raises:
            DuplicateError: This batch has made the record, or the version is not behind the previous one.
            StoreFullError: Its tokens and wraps have no room in a document.
        """
        if len(version.wraps) + _TOKEN * len(tokens) > _ROOM:
            raise StoreFullError("the record has more to be found by than a document has room for")
        known = self._current.get(version.row)
        if known if previous is None else version.version <= previous["version"]:
            raise DuplicateError("a duplicate of a version that is there")
        made = document(version, tokens)
        operations: list[Each] = [(PART, InsertOne(part)) for part in parts(version)]
        if previous is None:
            operations.append((RECORD, InsertOne(made)))
            self.counters = replace(self.counters, rid=self.counters.rid + 1)
        else:
            where = {"_id": version.row, "version": previous["version"]}
            operations.append((VERSION, InsertOne(superseded(previous, version.at))))
            operations.append((RECORD, ReplaceOne(where, made)))
        event = previous is None and version.type_ == EVENT
        self._add(Write(tuple(operations), current=made, event=event))

    def add_key(self, key: WrappedKey) -> None:
        """A data key."""
        head = {"_id": key.id, "owner": key.owner, "k": self.counters.k}
        made = InsertOne({**head, "wrapped": key.wrapped, "made": key.made})
        self.counters = replace(self.counters, k=self.counters.k + 1)
        self._add(Write(((KEY, made),), key=key))

    def replace_key(self, key: WrappedKey) -> None:
        """Another wrap of a data key that is there."""
        change = UpdateOne({"_id": key.id}, {"$set": {"wrapped": key.wrapped}})
        self._add(Write(((KEY, change),), key=key, rewraps=True))

    def advance_epoch(self) -> None:
        """The epoch of keys, counted on."""
        self.counters = replace(self.counters, epoch=self.counters.epoch + 1)
        self._add(Write(()))

    def append_audit(self, rid: int, commitment: bytes, opening: bytes) -> int:
        """An audit row; return its number."""
        number = self.counters.n
        self.counters = replace(self.counters, n=number + 1)
        self._add(Write((), row=AuditRow(number, rid, commitment, opening)))
        return number

    def index(self, rid: int, tokens: Sequence[bytes]) -> None:
        """Tokens that a record is to have beside those that it has."""
        change = {"$addToSet": {"tokens": {"$each": list(tokens)}}}
        self._add(Write(((RECORD, UpdateOne({"rid": rid}, change)),), blurs=True))

    def other(self, operations: Iterable[Each], *, blurs: bool = False) -> None:
        """What jobs write."""
        self._add(Write(tuple(operations), blurs=blurs))

    def mark(self) -> Mark:
        """Where the next unit begins."""
        return Mark(len(self._writes), self.counters)

    def undo(self, mark: Mark) -> bool:
        """Take back what came behind the mark; whether the transaction has some of it."""
        had = self._sent > mark.writes
        del self._writes[mark.writes :]
        self.counters = mark.counters
        self.blurred += 1
        self._current, self._keys, self._notes = {}, [], {}
        for write in self._writes:
            self._note(write)
        self._sent = min(self._sent, len(self._writes))
        self._note_unsent()
        return had

    def all_again(self) -> bool:
        """The transaction has lost what it had; whether that was anything."""
        had, self._sent = self._sent > 0, 0
        self._sent_types.clear()
        self._read_notes.clear()  # another transaction may see others
        self._note_unsent()
        return had

    def take(self) -> dict[str, list[Operation]]:
        """What the transaction does not have yet, by collection, each in its order; it counts as sent from now on."""
        unsent = self._writes[self._sent :]
        events, groups = grouped(
            [write.current for write in unsent if write.event and write.current]
        )
        rows = [write.row for write in unsent if write.row is not None]
        found = _by_collection(unsent, events)
        for collection, gathered in ((PAGE, pages(rows)), (GROUP, groups)):
            if inserts := [InsertOne(each) for each in gathered]:
                found[collection] = [*inserts, *found.get(collection, ())]
        self._sent_types.update(write.type_ for write in unsent)
        self._sent = len(self._writes)
        self._note_unsent()
        return found

    def _add(self, write: Write) -> None:
        self._writes.append(write)
        self._note(write)
        self._note_one(write)

    def _note(self, write: Write) -> None:
        if write.current is not None:
            self._current[write.current["_id"]] = write.current
        if write.key is not None:
            known = [key for key in self._keys if key.id != write.key.id]
            added = not write.rewraps or len(known) < len(self._keys)
            self._keys = [*known, write.key] if added else known
        if write.note is not None:
            self._notes[write.note[0]] = write.note[1]
        if write.blurs:
            self.blurred += 1
            self._current.clear()

    def _note_unsent(self) -> None:
        self._unsent = set()
        self._hides = self._hides_keys = False
        self.overlay.clear()
        for write in self._writes[self._sent :]:
            self._note_one(write)

    def _note_one(self, write: Write) -> None:
        self._unsent.update(collection for collection, _ in write.operations)
        if write.row is not None:
            self._unsent.add(PAGE)
        self._hides |= write.blurs
        self._hides_keys |= write.rewraps
        if write.current is not None:
            self.overlay.add(write.current)


def _by_collection(
    writes: Iterable[Write], events: Iterable[Document]
) -> dict[str, list[Operation]]:
    """The operations of writes, those for events with the documents that are to be stored instead."""
    stored = iter(events)
    found: dict[str, list[Operation]] = {}
    for write in writes:
        for collection, operation in write.operations:
            stands = write.event and collection == RECORD
            made = InsertOne(next(stored)) if stands else operation
            found.setdefault(collection, []).append(made)
    return found
