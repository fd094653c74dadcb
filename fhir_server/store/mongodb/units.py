"""Units of work in MongoDB: one after another, and many of them in one transaction.

While a transaction is being committed, which takes some round trips, units queue up; the next commit makes all of them
durable at once, as the embedded database does it.  While a large unit goes on, what it has written is sent already: the
server works on that beside it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from fhir_server.errors import ConsentryError, StoreLostError
from fhir_server.store.mongodb.documents import RECORD
from fhir_server.store.mongodb.groups import chosen
from fhir_server.store.mongodb.mongo import (
    Document,
    DuplicateError,
    Mongo,
    Operation,
    Query,
    Session,
    TransientError,
)
from fhir_server.store.mongodb.pending import Mark, Pending
from fhir_server.store.mongodb.turn import Counters, Turn
from fhir_server.store.protocol import Selection

_T = TypeVar("_T")
_Writes = dict[str, list[Operation]]  # by collection
_PATIENCE = 5.0  # seconds in which a transaction that the server interrupts is tried again
_LOT = 60  # writes that are worth sending while a unit goes on
_SMALL, _MOST = 4, 2000  # answers that are kept: of so many records, and so many of them
_PAUSE = (0.02, 0.5)  # seconds between two tries: at first, at most


class MongoUnits:
    """The units of this process."""

    def __init__(self, mongo: Mongo, turn: Turn) -> None:
        self.mongo = mongo
        self._turn = turn
        self._order = asyncio.Lock()  # first come, first served, also for commits
        self._queued = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._ended = asyncio.Event()
        self._committer: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._stale = False  # the transaction is to be begun again
        self._sending: asyncio.Task[None] | None = None
        self._selected: dict[Selection, list[Document]] = {}
        self.pending = Pending(Counters())

    async def begin(self) -> Mark:
        """Begin the next unit, when its turn has come."""
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_batches())
        self._queued += 1
        try:
            await self._order.acquire()
        finally:
            self._queued -= 1
            self._ended.set()  # whoever kept the turn for it may have to give it away
        try:
            await self._take_turn()
        except BaseException:
            self._order.release()
            raise
        return self.pending.mark()

    def end(self) -> asyncio.Future[None]:
        """The unit is whole: what is returned is done when it is durable."""
        durable = asyncio.get_running_loop().create_future()
        self._waiting.append(durable)
        self._ended.set()
        self._order.release()
        return durable

    def undo(self, mark: Mark) -> None:
        """Take the unit back and let the next one begin."""
        if self.pending.undo(mark):
            self._stale = True
        self._ended.set()
        self._order.release()

    async def find(self, query: Query) -> list[Document]:
        """What matches, with all that units have written; of records only what was sent (see ``unit.py``)."""
        if query.collection != RECORD and self.pending.unsent_to(query.collection):
            await self.send()
        return await self.look(query)

    async def look(self, query: Query) -> list[Document]:
        """What the transaction sees."""
        return await self._within(lambda session: session.find(query))

    async def selected(self, selection: Selection) -> list[Document]:
        """What the transaction sees of a selection; asked once for as long as the transaction is sent nothing."""
        known = self._selected.get(selection)
        if known is None:
            known = await self._chosen(selection)
            if len(known) <= _SMALL and len(self._selected) < _MOST:
                self._selected[selection] = known
        return known

    async def _chosen(self, selection: Selection) -> list[Document]:
        """A selection, without waiting for what is under way to the transaction if nothing of it can be selected.

        What the transaction was sent nothing of is as it was committed (only who has the turn writes records), so that can
        be asked beside it.
        """
        if self._is_sending and not self.pending.sent_of(selection.type_):
            return await chosen(selection, self.mongo.find)
        return await chosen(selection, self.look)

    async def send(self) -> None:
        """Let the transaction see what the batch has written."""
        if self.pending.unsent:
            await self._within(self._flushed)

    def send_soon(self) -> bool:
        """Send what the batch has written while the unit goes on, once there is a lot of it; whether something is under way.

        An error makes the transaction stale: whoever needs it next sends all of it again, and is told if that fails, too.
        """
        if not (self._is_sending or self._stale) and self.pending.unsent >= _LOT:
            self._sending = asyncio.create_task(self._send_behind(self._taken()))
        return self._is_sending

    async def close(self) -> None:
        """Commit what waits, and give the turn away."""
        async with self._order:
            await self._end_batch()
            if self._committer is not None:
                self._committer.cancel()
        if self._session is not None:
            with suppress(ConsentryError):  # whoever takes the turn next ends it
                await self._session.close()

    @property
    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    async def _take_turn(self) -> None:
        if self._turn.held:
            return
        if self._session is None:
            self._session = await self.mongo.session()
        taking = asyncio.ensure_future(self._turn.take(self._session))
        try:
            counters = await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])  # the committer gives it away
            raise
        self.pending = Pending(counters)

    async def _within(self, ask: Callable[[Session], Awaitable[_T]]) -> _T:
        """Ask it of the transaction; if the server has ended that, of one that is made the same again."""
        tries = _Tries()
        while True:
            try:
                return await ask(await self._ready())
            except TransientError:
                self._stale = True
                if tries.over:
                    raise
            await tries.pause()

    async def _send_behind(self, writes: _Writes) -> None:
        assert self._session is not None
        with suppress(ConsentryError):
            await self._written(self._session, writes)

    async def _arrived(self) -> None:
        """Wait for what is being sent: a session can not do two things at once."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
            self._sending = None

    async def _ready(self) -> Session:
        """The session with its transaction, which sees all that it was sent before."""
        assert self._session is not None
        await self._arrived()
        if self._stale:
            with suppress(StoreLostError):
                await self._session.abort()
            self._stale = False
            self._selected.clear()
            again = self.pending.all_again()
            self._session.begin()
            if again:
                await self._flushed(self._session)
        elif not self._session.begun:
            self._session.begin()
        return self._session

    async def _flushed(self, session: Session) -> None:
        await self._written(session, self._taken())

    def _taken(self) -> _Writes:
        self._selected.clear()
        return self.pending.take()

    async def _written(self, session: Session, writes: _Writes) -> None:
        try:
            if not session.begun:
                session.begin()
            for collection, operations in writes.items():
                await session.write(collection, operations)
        except BaseException as error:
            self._stale = True  # it may have a part of it
            if isinstance(error, DuplicateError):
                raise StoreLostError(
                    "a duplicate: a record was made twice, or another process has taken over the turn to write"
                ) from error
            raise

    async def _commit_batches(self) -> None:
        while True:
            await self._ended.wait()
            async with self._order:
                self._ended.clear()
                await self._end_batch()

    async def _end_batch(self) -> None:
        """Commit what units have left; give the turn away unless more of them wait for it here."""
        if not self._turn.held:
            return
        keep = self._queued > 0
        try:
            others = keep and await self._turn.wanted()
            keep = keep and not others
            if self.pending:
                await self._commit(keep=keep)
            elif not keep:
                await self._abandon()
        except Exception as error:  # noqa: BLE001  whatever it was, nobody may wait for ever
            self._settle(error if isinstance(error, ConsentryError) else StoreLostError("failed"))
            await self._abandon()
            return
        self._settle(None)
        if others:
            await self._turn.give_others_time()

    async def _commit(self, *, keep: bool) -> None:
        tries, committed = _Tries(), False
        while not committed:
            try:
                session = await self._ready()
                await self._flushed(session)
                await self._turn.advance(session, self.pending.counters, keep=keep)
                await session.commit()
                committed = True
            except TransientError:
                self._stale = True
                if tries.over:
                    raise
                await tries.pause()
        self._turn.advanced(keep=keep)
        self._selected.clear()
        self.pending = Pending(self.pending.counters)

    async def _abandon(self) -> None:
        """Keep nothing, and give the turn away."""
        assert self._session is not None
        await self._arrived()
        self.pending = Pending(Counters())
        self._selected.clear()
        self._stale = False
        with suppress(ConsentryError):
            await self._session.abort()
        await self._turn.leave()

    def _settle(self, error: ConsentryError | None) -> None:
        waiting, self._waiting = self._waiting, []
        for durable in waiting:
            if durable.done():
                continue
            if error is None:
                durable.set_result(None)
            else:
                durable.set_exception(type(error)(str(error)))


class _Tries:
    """How often something is tried again, and how long that takes at most."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _PATIENCE
        self._wait = _PAUSE[0]

    @property
    def over(self) -> bool:
        """Whether it was tried for long enough."""
        return time.monotonic() > self._until

    async def pause(self) -> None:
        """Before the next one; each time twice as long."""
        await asyncio.sleep(self._wait)
        self._wait = min(2 * self._wait, _PAUSE[1])
