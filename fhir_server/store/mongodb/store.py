"""The ``Store`` over MongoDB: snapshots for reading, units of work for writing."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from fhir_server.errors import StoreLostError
from fhir_server.store.mongodb.mongo import Document, Mongo, Query, Session
from fhir_server.store.mongodb.records import MongoSnapshot
from fhir_server.store.mongodb.turn import Turn
from fhir_server.store.mongodb.unit import MongoUnit
from fhir_server.store.mongodb.units import MongoUnits
from fhir_server.store.protocol import SealedEvent

_Result = TypeVar("_Result")


class MongoStore:
    """See ``store.protocol.Store``.  The index of AuditEvents never runs behind here."""

    asks_cheaply = False

    def __init__(self, mongo: Mongo, turn: Turn) -> None:
        self._mongo = mongo
        self._units = MongoUnits(mongo, turn)
        self._idle: list[Session] = []
        self._tasks: set[asyncio.Task[Any]] = set()  # or nobody would hold them

    def reading(self, *, complete: bool = False) -> "_Reading":  # noqa: ARG002  it is always complete
        """See ``Store.reading``."""
        return _Reading(self)

    def writing(self) -> "_Writing":
        """See ``Store.writing``."""
        return _Writing(self._units)

    def record(
        self, events: Sequence[SealedEvent], epoch: int
    ) -> asyncio.Future[Sequence[int] | None]:
        """See ``Store.record``."""
        return self._begin(self._record(events, epoch))

    async def _record(self, events: Sequence[SealedEvent], epoch: int) -> Sequence[int] | None:
        async with self.writing() as unit:
            if await unit.epoch() != epoch:
                return None
            return [
                await unit.append_audit(
                    await unit.put(each.version, each.tokens, ()), each.commitment, each.opening
                )
                for each in events
            ]

    async def session(self) -> Session:
        """A session to read with; give it back with ``end_reading``."""
        return self._idle.pop() if self._idle else await self._mongo.session()

    def end_reading(self, session: Session) -> None:
        """Let the next reader have the session, once its transaction is over; nobody waits for that.

        Nothing is committed: the AuditEvent that every answer waits for comes later in the server's log than what was read
        for the answer, and is durable only when all before it is.
        """
        if session.begun:
            self._begin(self._end(session))
        else:
            self._idle.append(session)

    async def close(self) -> None:
        """See ``Store.close``."""
        await self._units.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._mongo.close()  # and with it the idle sessions

    def _begin(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _end(self, session: Session) -> None:
        with suppress(StoreLostError):
            await session.abort()
            self._idle.append(session)


class _Reading:
    """The context of one snapshot; its transaction begins with what it first asks."""

    __slots__ = ("_session", "_store")

    def __init__(self, store: MongoStore) -> None:
        self._store = store
        self._session: Session | None = None

    async def __aenter__(self) -> MongoSnapshot:
        return MongoSnapshot(self)

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            self._store.end_reading(self._session)

    async def find(self, query: Query) -> list[Document]:
        """See ``mongo_records.Reads``."""
        if self._session is None:
            self._session = await self._store.session()
            self._session.begin()
        return await self._session.find(query)


class _Writing:
    """The context of one unit of work."""

    __slots__ = ("_mark", "_units")

    def __init__(self, units: MongoUnits) -> None:
        self._units = units

    async def __aenter__(self) -> MongoUnit:
        self._mark = await self._units.begin()
        return MongoUnit(self._units)

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            await self._units.end()
        else:
            self._units.undo(self._mark)
