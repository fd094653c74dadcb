"""The embedded database: SQLite with one group-committing writer and a pool of snapshot readers.

Statements run directly in the event loop (a point read takes microseconds, less than handing it to a thread); COMMIT, which
waits for the disk, runs in a thread, but a few answers on a quick disk are committed in the loop too (ADR 59).  While a
commit runs, finished requests queue up, and the next one makes all of them durable at once: that is the group commit.  The
write-ahead log is carried over into the database by another thread, a part every few commits, so that no request waits for
it.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from fhir_server.errors import SettingsError, StoreFullError, TooManyError
from fhir_server.measures import UNITS, Histogram
from fhir_server.store.protocol import SealedEvent
from fhir_server.store.sqlite.connecting import Readers, WriteTransaction, connect, is_full
from fhir_server.store.sqlite.marks import Marks
from fhir_server.store.sqlite.recording import Recordings
from fhir_server.store.sqlite.records import SqliteSnapshot, SqliteUnit
from fhir_server.store.sqlite.rows import RowQueue
from fhir_server.store.sqlite.schema import bring_up
from fhir_server.store.sqlite.tokens import TokenQueue
from fhir_server.store.sqlite.turns import SqliteNews, WriteTurn, lock_folder

_READERS = 4  # a read holds its connection only while the event loop is with it
_IDLE = 0.25  # seconds without a request, after which the index catches up
_LOOK = 0.02  # seconds between two looks whether another process waits for our part of the index
_PATIENCE = 5.0  # seconds to wait for the others' parts
_COMMITS_BETWEEN = 16  # checkpoints
_FEW, _BRIEF = 64, 0.005  # answers, seconds: such a commit is made in the event loop
_SOON = 0.002  # seconds that the event loop waits for the turn to make it: as long as another process needs for one
_MOST_PAGES = 8000  # of the log: then a commit carries over what is left, and the log begins anew


class SqliteStore:
    """A ``Store`` over one file, which several processes on this machine may have open."""

    asks_cheaply = True

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.connection = connect(path, create=True)
        try:
            folder = lock_folder(path)
            self.news = SqliteNews(folder)
            turn = WriteTurn(folder)
        except OSError as error:
            raise SettingsError(f"the database cannot be used: {error}") from error
        bring_up(self.connection)
        self.fresh = self.connection.execute("SELECT 1 FROM secret LIMIT 1").fetchone() is None
        self._writing = WriteTransaction(self.connection, turn)
        self._turn = (
            asyncio.Lock()
        )  # first come, first served: a commit queues behind the units before it
        self._waiting: list[asyncio.Future[None]] = []
        self.batches = Histogram(UNITS)
        self._dirty = asyncio.Event()
        self._marks = Marks(folder)
        self._tokens = TokenQueue(self._marks, _events(self.connection))
        self._rows = RowQueue()
        self._recordings = Recordings()
        self._unit: SqliteUnit
        self._readers = Readers(connect(path, create=False) for _ in range(_READERS))
        self._committer: asyncio.Task[None] | None = None
        self.connection.execute(f"PRAGMA wal_autocheckpoint = {_MOST_PAGES}")
        self._carrier = connect(path, create=False)
        self._carrying: asyncio.Task[None] | None = None
        self._commits = 0
        self._pace = 0.0  # seconds a commit, smoothed: a new disk is trusted once
        self._waited = 0.0  # seconds that a thread waited for the turn, the last time

    @property
    def waiting(self) -> int:
        """How many tokens wait for the index."""
        return self._tokens.waiting

    def reading(self, *, complete: bool = False) -> "_Reading":
        """See ``Store.reading``."""
        return _Reading(self, complete=complete)

    def writing(self) -> "_Writing":
        """See ``Store.writing``."""
        return _Writing(self)

    def record(
        self, events: Sequence[SealedEvent], epoch: int
    ) -> asyncio.Future[Sequence[int] | None]:
        """See ``Store.record``."""
        self._begin_committing()
        self._dirty.set()
        return self._recordings.add(events, epoch)

    async def begin_reading(self, *, complete: bool) -> sqlite3.Connection:
        """A connection with a snapshot; give it back with ``end_reading``."""
        if complete:
            await self._complete()
        connection = self._readers.at_hand() or await self._readers.take()
        try:
            connection.execute("BEGIN")
        except BaseException:
            self._readers.give(connection)
            raise
        return connection

    def end_reading(self, connection: sqlite3.Connection) -> None:
        """Let the next reader have the connection."""
        if connection.in_transaction:
            connection.execute("COMMIT")
        self._readers.give(connection)

    async def begin_unit(self) -> SqliteUnit:
        """The next unit of work, when its turn has come."""
        self._begin_committing()
        await self._turn.acquire()
        try:
            if not self._writing.open:
                await self._begin_batch()
        except BaseException:
            self._turn.release()
            raise
        self._tokens.begin_unit()
        self._rows.begin_unit()
        self._unit = SqliteUnit(self.connection, self._tokens, self._rows)
        return self._unit

    def _begin_committing(self) -> None:
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_batches())

    async def _begin_batch(self) -> None:
        """Begin the transaction of the next units; without the next numbers there is none."""
        await self._writing.begin()
        try:
            self._begin_rows()
        except BaseException:
            self._writing.roll_back()
            raise

    def _begin_rows(self) -> None:
        """Nobody else writes now: learn the numbers that come next, and where their tokens go."""
        self._tokens.begin_batch(self.connection, self._rows.begin_batch(self.connection))

    def end_unit(self) -> asyncio.Future[None]:
        """The unit is whole: what is returned is done when it is durable."""
        try:
            if self._unit.saved:
                self.connection.execute("RELEASE unit")
        except BaseException as error:
            self.undo_unit(error)
            raise
        self._tokens.end_unit()
        durable = asyncio.get_running_loop().create_future()
        self._waiting.append(durable)
        self._dirty.set()
        self._turn.release()
        return durable

    def undo_unit(self, error: BaseException) -> None:
        """Take the unit back and let the next one begin."""
        self._tokens.undo_unit()
        self._rows.undo_unit()
        try:
            self._undo(error)
        finally:
            self._turn.release()

    def _undo(self, error: BaseException) -> None:
        """Take the unit back; if SQLite already rolled back everything, the whole batch has failed."""
        if self._writing.open:
            if self._unit.saved:
                self.connection.execute("ROLLBACK TO unit")
                self.connection.execute("RELEASE unit")
            if not self._waiting:  # nothing to commit: do not keep others from writing
                self._writing.roll_back()
        else:
            self._writing.roll_back()
            self._fail_batch(error)
        if is_full(error):
            raise StoreFullError("the disk is full") from error

    def _fail_batch(self, error: BaseException) -> None:
        self._tokens.failed()
        self._rows.clear()
        failed = StoreFullError(f"the batch was not written ({type(error).__name__})")
        self._recordings.failed(failed)
        waiting, self._waiting = self._waiting, []
        for durable in waiting:
            if not durable.done():
                durable.set_exception(failed)

    async def _commit_batches(self) -> None:
        while True:
            if not await self._has_work():
                with suppress(sqlite3.Error):  # the disk, or somebody else's program: later, then
                    await self._catch_up()
                continue
            async with self._turn:
                self._dirty.clear()
                await self._commit()
            if self._tokens.wanted:
                with suppress(sqlite3.Error):
                    await self._catch_up()

    async def _has_work(self) -> bool:
        """Wait for units; False when it is time to bring the index up to date instead."""
        idle = 0.0
        while idle < _IDLE:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), _LOOK if self._tokens.behind else None)
            if self._dirty.is_set():
                return True
            if not self._turn.locked() and self._tokens.look(self.connection):
                return False
            idle += _LOOK
        return False

    async def _commit(self) -> None:
        recorded = self._recordings.take()
        try:
            if self._writing.asked and not self._writing.open:
                await self._begin_batch()
            if self._begins_brief(recorded):
                self._write_batch()
            else:
                await asyncio.to_thread(self._write_batch)
        except sqlite3.Error as error:
            self._writing.roll_back()
            self._fail_batch(error)
            return
        self._tokens.committed()
        self._recordings.committed()
        self.batches.add(len(self._waiting) + recorded)
        waiting, self._waiting = self._waiting, []
        for durable in waiting:
            if not durable.done():
                durable.set_result(None)
        self._commits += 1
        if self._commits % _COMMITS_BETWEEN == 0 and (
            self._carrying is None or self._carrying.done()
        ):
            self._carrying = asyncio.create_task(self._carry_over())

    def _begins_brief(self, recorded: int) -> bool:
        """Begin a commit that the event loop makes itself; False where it would have to wait, or take long."""
        if not 0 < recorded <= _FEW or self._pace > _BRIEF or self._waited > _SOON:
            return False
        if not self._writing.begin_within(_SOON):
            return False
        self._begin_rows()
        return True

    async def _carry_over(self) -> None:
        """Move what is in the write-ahead log into the database; nobody waits for it, and what fails is done later."""
        with suppress(sqlite3.Error):
            await asyncio.to_thread(self._checkpoint)

    def _checkpoint(self) -> None:
        self._carrier.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _write_batch(self) -> None:
        """Mostly in a thread, which waits for the turn, too, if nobody has done so."""
        begun = perf_counter()
        if not self._writing.open:
            self._writing.begin_here()
            self._waited = perf_counter() - begun
            self._begin_rows()
            begun = perf_counter()
        self._recordings.write(self.connection, self._rows, self._tokens)
        self._rows.write(self.connection)
        self._tokens.write_now(self.connection)
        self._tokens.write_bucket(self.connection)
        self._writing.commit()
        self._pace += (perf_counter() - begun - self._pace) / 8

    async def _catch_up(self) -> None:
        """Bring the index up to all durable AuditEvents of this process."""
        async with self._turn:
            if self._writing.open:
                await self._commit()
            if self._tokens.is_complete:
                return
            await self._writing.begin()
            try:
                await asyncio.to_thread(self._write_all)
            except sqlite3.Error as error:
                self._writing.roll_back()
                if not is_full(error):
                    raise
                return
            self._tokens.committed_all()

    def _write_all(self) -> None:
        self._tokens.write_all(self.connection)
        self._writing.commit()

    async def _complete(self) -> None:
        """Bring the index up to all AuditEvents that are durable now, those of other processes too."""
        if self._tokens.behind:
            await self._catch_up()
        async with self.reading() as snapshot:
            number = _events(snapshot.connection)
            if not self._marks.others_behind(snapshot.connection, number):
                return
        async with self.writing() as unit:
            self._marks.ask(unit.connection, number)
        waited = 0.0
        while waited < _PATIENCE:
            async with self.reading() as snapshot:
                if not self._marks.others_behind(snapshot.connection, number):
                    return
            await asyncio.sleep(_LOOK / 4)
            waited += _LOOK / 4
        raise TooManyError("the index of AuditEvents is being completed: try again in a moment")

    async def adopt(self) -> int | None:
        """See ``EventIndex.adopt``."""
        async with self.writing() as unit:
            number = self._marks.adopt(unit.connection)
        if number is not None:
            self._tokens.begin_again(number)
        return number

    async def adopted(self) -> None:
        """See ``EventIndex.adopted``."""
        self._tokens.begun_again()
        await self._catch_up()

    async def close(self) -> None:
        """See ``Store.close``."""
        async with self._turn:
            if self._committer is not None:
                self._committer.cancel()
            if self._recordings.waiting:
                await self._commit()
        if self._carrying is not None:
            await self._carrying
        self._carrier.close()
        if self._writing.open or self._tokens.behind:
            await self._catch_up()
        self._readers.close()
        self._writing.close()
        self.news.close()
        self._marks.close()


class _Reading:
    """The context of one snapshot (a class, because a generator costs more than the reading)."""

    __slots__ = ("_complete", "_connection", "_store")

    def __init__(self, store: SqliteStore, *, complete: bool) -> None:
        self._store = store
        self._complete = complete

    async def __aenter__(self) -> SqliteSnapshot:
        self._connection = await self._store.begin_reading(complete=self._complete)
        return SqliteSnapshot(self._connection, complete=self._complete)

    async def __aexit__(self, *_: object) -> None:
        self._store.end_reading(self._connection)


class _Writing:
    """The context of one unit of work."""

    __slots__ = ("_store",)

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def __aenter__(self) -> SqliteUnit:
        return await self._store.begin_unit()

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            await self._store.end_unit()
        else:
            self._store.undo_unit(error)


def _events(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(n) + 1, 0) FROM audit").fetchone()[0])
