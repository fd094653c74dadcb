"""Whose turn it is to write: of all processes on one database, one at a time.

Units of work run one after another, so that what one reads nobody changes before it commits.  The document ``units`` of
the collection ``turn`` says who has the turn (``holder``, its ``session``), and how far the numbers have come that the units
give out.  Each change of it raises ``beat``.  Whoever commits raises it in the same transaction, and only if it is what it
was when the turn came: so a process that has lost its turn can not commit any more.

A holder that is busy for long raises ``alive``, a document of its own, so that this does not disturb its transaction.
Whoever waits and sees nothing move for ``_PATIENCE`` seconds by a clock of its own (no two machines' clocks are compared)
ends the holder's session, whose transaction might stand in the way, and takes the turn.  Whoever waits raises ``wanted``; a
holder that has had the turn for a while and sees that gives it away, even if it has more to do.
"""

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from fhir_server.errors import ConsentryError, StoreLostError
from fhir_server.store.mongodb.mongo import Document, Mongo, Session, UpdateOne

TURN = "turn"
_UNITS, _ALIVE, _WANTED = "units", "alive", "wanted"
NUMBERS: tuple[str, Document] = (TURN, {"_id": _UNITS})  # where the numbers lie
_PATIENCE = 8.0  # seconds without a sign of life
_BEAT = 1.5  # seconds between two signs of life
_LONGEST = 60.0  # seconds that a unit waits for its turn
_POLL = (0.002, 0.02)  # seconds between two looks: at first, at most
_FAIR = 0.05  # seconds of a turn after which others are let in
_YIELD = 0.03  # seconds for them to take it


@dataclass(frozen=True, slots=True)
class Counters:
    """The numbers that come next: of records, of audit rows, of data keys; and the epoch of keys (``shelf.py``)."""

    rid: int = 1
    n: int = 0
    k: int = 0
    epoch: int = 0


class Turn:
    """This process' place among those that write."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._name = secrets.token_hex(16)
        self._beat = 0
        self._since = self._looked = 0.0
        self._wanted = 0
        self._alive: asyncio.Task[None] | None = None
        self.held = False

    async def prepare(self) -> None:
        """Make what stands for the turn, if there is none."""
        first = {"_id": _UNITS, "holder": None, "session": None, "beat": 0}
        await self._mongo.insert(TURN, {**first, **asdict(Counters())})

    async def numbers(self) -> Counters:
        """How far the numbers have come, for whoever has not the turn."""
        found = await self._mongo.one(TURN, {"_id": _UNITS})
        return counters_of(found) if found else Counters()

    async def take(self, session: Session) -> Counters:
        """Wait for the turn, and give the numbers that come next.

        Raises:
            StoreLostError: The database does not answer, or others have been writing for a minute.
        """
        wait, seen, until = _POLL[0], _Seen(), time.monotonic() + _LONGEST
        while time.monotonic() < until:
            taken = await self._claim(session, {"holder": {"$in": [None, self._name]}})
            taken = taken or await self._inherit(session, seen)
            if taken is not None:
                return self._taken(taken)
            await asyncio.sleep(wait * (0.5 + secrets.randbelow(1000) / 1000))
            wait = min(2 * wait, _POLL[1])
        raise StoreLostError("the database was busy with others' writes for too long")

    async def wanted(self) -> bool:
        """Whether somebody else has been waiting while this process had the turn for a while."""
        now = time.monotonic()
        if now - self._looked < _FAIR:
            return False
        self._looked = now
        found = await self._mongo.one(TURN, {"_id": _WANTED})
        before, self._wanted = self._wanted, found["count"] if found else 0
        return self._wanted != before

    async def advance(self, session: Session, counters: Counters, *, keep: bool) -> None:
        """Inside the transaction that is about to be committed: note the numbers, and give the turn away unless ``keep``.

        Raises:
            StoreLostError: Another process has taken the turn: nothing may be committed.
        """
        left: Document = {} if keep else {"holder": None, "session": None}
        change = {"$set": {**asdict(counters), **left}, "$inc": {"beat": 1}}
        if await session.write(TURN, [UpdateOne(self._mine(), change)]) != 1:
            raise StoreLostError("another process has taken over the turn to write")

    def advanced(self, *, keep: bool) -> None:
        """The transaction is durable."""
        self._beat += 1
        if not keep:
            self._left()

    async def leave(self) -> None:
        """Give the turn away with nothing to commit; if that can not be told, others will find out."""
        mine = self._mine()
        self._left()
        with suppress(StoreLostError):
            await self._mongo.change(
                TURN, mine, {"$set": {"holder": None, "session": None}, "$inc": {"beat": 1}}
            )

    async def give_others_time(self) -> None:
        """After the turn was given away to whoever waits."""
        await asyncio.sleep(_YIELD)

    async def _claim(self, session: Session, where: Document) -> Document | None:
        change = {"$set": {"holder": self._name, "session": session.id}, "$inc": {"beat": 1}}
        return await self._mongo.change(TURN, {"_id": _UNITS, **where}, change)

    async def _inherit(self, session: Session, seen: "_Seen") -> Document | None:
        """Take the turn of a holder that shows no sign of life."""
        found = await self._mongo.one(TURN, {"_id": _UNITS})
        alive = await self._mongo.one(TURN, {"_id": _ALIVE})
        if found is None or found["holder"] is None:
            return None
        if seen.asks():
            await self._mongo.change(TURN, {"_id": _WANTED}, {"$inc": {"count": 1}}, upsert=True)
        if not seen.still((found["beat"], alive and alive["count"]), time.monotonic()):
            return None
        await self._mongo.end_sessions([found["session"]])
        return await self._claim(session, {"holder": found["holder"], "beat": found["beat"]})

    def _taken(self, found: Document) -> Counters:
        self.held = True
        self._beat = found["beat"]
        self._since = self._looked = time.monotonic()
        self._alive = asyncio.create_task(self._show_life())
        return counters_of(found)

    def _left(self) -> None:
        self.held = False
        if self._alive is not None:
            self._alive.cancel()

    async def _show_life(self) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            with suppress(ConsentryError):
                await self._mongo.change(TURN, {"_id": _ALIVE}, {"$inc": {"count": 1}}, upsert=True)

    def _mine(self) -> Document:
        return {"_id": _UNITS, "holder": self._name, "beat": self._beat}


@dataclass(slots=True)
class _Seen:
    """What somebody who waits has seen of the holder."""

    signs: Any = None
    since: float = 0.0
    asked: bool = False

    def asks(self) -> bool:
        """Whether this is the first look: then the holder is told that somebody waits."""
        first, self.asked = not self.asked, True
        return first

    def still(self, signs: object, now: float) -> bool:
        """Whether nothing has moved for longer than a living holder would take."""
        if signs != self.signs:
            self.signs, self.since = signs, now
        return now - self.since > _PATIENCE


def counters_of(found: Document) -> Counters:
    """The numbers from the document of the turn."""
    return Counters(found["rid"], found["n"], found["k"], found["epoch"])
