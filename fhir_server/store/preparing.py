"""Units of work that are prepared beside others, and written in one go when their turn has come.

One unit writes at a time, and every answer waits for its audit record: a transaction of thousands of entries that decided,
sealed and indexed them in its turn would keep everybody's answers for seconds.  Prepared, it reads a snapshot and keeps what
it writes.  In its turn every question is asked again, and only if all answers are the same it is written: then it is as if
all of it had happened there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, NoReturn

from fhir_server.store.protocol import AuditRow, Changes, SealedVersion, Selection, Snapshot, Unit
from fhir_server.store.shelf import Shelf, WrappedKey

_BREATH = 64  # writes, then others may do something
_BEHIND = "AuditEvent"  # the index of these may run behind

Question = tuple[
    str, tuple[object, ...]
]  # a method of a snapshot, or of a part of it, and what it is called with


class StaleError(Exception):
    """What was prepared can not be written: do the same in a turn of its own.  Nothing was written.

    What it has read is no longer so, or it would have to read what it writes itself.
    """


class _Put(NamedTuple):
    """``rid`` is that of the version, or the number that a new record has until it is written."""

    rid: int
    version: SealedVersion
    add: Sequence[bytes]
    drop: Sequence[bytes]


class _Audit(NamedTuple):
    rid: int
    commitment: bytes
    opening: bytes


class Prepared:
    """A ``Unit`` over a snapshot.  Records and audit rows that it makes have negative numbers until they are written.

    Whatever it can not do raises ``StaleError``.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._answers: dict[Question, object] = {}
        self._writes: list[_Put | _Audit | WrappedKey] = []
        self._newest: dict[bytes, _Put] = {}  # of each row
        self._keys: list[WrappedKey] = []
        self._types = {_BEHIND}
        self._numbers: list[int] = []
        self.keys = _Keys()
        self.notes = _Notes(self)

    @property
    def shelf(self) -> Shelf:
        """Nothing of it can be prepared."""
        return unprepared()

    async def ask(self, what: str, *values: object) -> Any:  # noqa: ANN401  whatever the method gives
        """What the snapshot says; remembered, to be asked again."""
        question = (what, values)
        if question not in self._answers:
            self._answers[question] = await _asked(self._snapshot, question)
        return self._answers[question]

    async def epoch(self) -> int:
        """See ``Snapshot.epoch``."""
        epoch: int = await self.ask("epoch")
        return epoch

    async def find(self, row: bytes, version: int | None = None) -> SealedVersion | None:
        """See ``Snapshot.find``."""
        own = self._newest.get(row)
        if own is not None and version in (None, own.version.version):
            return own.version._replace(rid=own.rid)
        found: SealedVersion | None = await self.ask("find", row, version)
        return found

    async def history(self, changes: Changes) -> Sequence[SealedVersion]:
        """See ``Snapshot.history``."""
        own = {put.rid for put in self._newest.values()}
        if changes.rid in own or changes.type_ in self._types:
            unprepared()
        found: Sequence[SealedVersion] = await self.ask("history", changes)
        return found

    async def select(self, selection: Selection) -> Sequence[SealedVersion]:
        """See ``Snapshot.select``."""
        if selection.type_ in self._types:
            unprepared()
        found: Sequence[SealedVersion] = await self.ask("select", selection)
        return found

    async def key(self, *, id_: bytes = b"", owner: bytes = b"") -> WrappedKey | None:
        """See ``Snapshot.key``."""
        for own in reversed(self._keys):
            if (id_ and own.id == id_) or (not id_ and own.owner == owner):
                return own
        found: WrappedKey | None = await self.ask("key", id_, owner)
        return found

    async def audit(
        self, *, start: int = 0, stop: int = 0, rid: int | None = None
    ) -> Sequence[AuditRow]:
        """The log grows meanwhile: what it says can not be prepared."""
        unprepared(start, stop, rid)

    async def put(self, version: SealedVersion, add: Sequence[bytes], drop: Sequence[bytes]) -> int:
        """See ``Unit.put``."""
        put = _Put(version.rid or -1 - len(self._writes), version, add, drop)
        self._newest[version.row] = put
        self._types.add(version.type_)
        self._writes.append(put)
        return put.rid

    async def add_key(self, key: WrappedKey) -> None:
        """See ``Unit.add_key``."""
        self._keys.append(key)
        self._writes.append(key)

    async def append_audit(self, rid: int, commitment: bytes, opening: bytes) -> int:
        """See ``Unit.append_audit``."""
        self._writes.append(_Audit(rid, commitment, opening))
        self._numbers.append(0)
        return -len(self._numbers)

    async def index(self, type_: str, rid: int, tokens: Sequence[bytes]) -> None:
        """Nobody prepares that."""
        unprepared(type_, rid, tokens)

    async def attach(self, document: bytes, rid: int, chunks: int) -> None:
        """A staged document may be swept meanwhile: that can not be prepared."""
        unprepared(document, rid, chunks)

    def number(self, prepared: int) -> int:
        """The number in the log of an audit row, once it is written."""
        return self._numbers[-1 - prepared]

    async def write(self, unit: Unit) -> None:
        """Write everything into a unit of work whose turn has come.

        Raises:
            StaleError: An answer is another one now; the unit has to be undone.
        """
        for question, answer in self._answers.items():
            if await _asked(unit, question) != answer:
                raise StaleError(question[0])
        rids: dict[int, int] = {}
        numbers = []
        for count, each in enumerate(self._writes):
            match each:
                case _Put(rid, version, add, drop):
                    again = (
                        version if rid > 0 or rid not in rids else version._replace(rid=rids[rid])
                    )
                    rids[rid] = await unit.put(again, add, drop)
                case _Audit(rid, commitment, opening):
                    numbers.append(await unit.append_audit(rids[rid], commitment, opening))
                case WrappedKey():
                    await unit.add_key(each)
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        self._numbers = numbers


class _Keys:
    """See ``KeyTable``: nothing of it can be prepared."""

    async def of(self, owner: bytes) -> Sequence[WrappedKey]:
        unprepared(owner)

    async def after(self, id_: bytes, limit: int) -> Sequence[WrappedKey]:
        unprepared(id_, limit)

    async def replace(self, key: WrappedKey) -> None:
        unprepared(key)

    async def advance(self) -> None:
        unprepared()


class _Notes:
    """See ``Notes``: what can be read."""

    def __init__(self, prepared: Prepared) -> None:
        self._ask = prepared.ask

    async def find(self, name: str) -> bytes | None:
        found: bytes | None = await self._ask("notes.find", name)
        return found

    async def find_all(self, names: Collection[str]) -> Mapping[str, bytes]:
        found: Mapping[str, bytes] = await self._ask("notes.find_all", tuple(names))
        return found

    async def load(self, prefix: str) -> Mapping[str, bytes]:
        found: Mapping[str, bytes] = await self._ask("notes.load", prefix)
        return found

    async def save(self, name: str, content: bytes) -> None:
        unprepared(name, content)

    async def drop(self, name: str) -> None:
        unprepared(name)


async def _asked(snapshot: Snapshot, question: Question) -> object:
    what, values = question
    if what == "key":
        id_, owner = values
        return await snapshot.key(id_=id_, owner=owner)  # type: ignore[arg-type]
    method: Callable[..., Awaitable[object]] = attrgetter(what)(snapshot)
    return await method(*values)


def unprepared(*_: object) -> NoReturn:
    """What is asked for takes a unit in its turn."""
    raise StaleError("this can not be prepared")
