"""The embedded database: SQLite with one group-committing writer and a pool of snapshot readers.

Statements run directly in the event loop (a point read takes microseconds, less than handing it to a thread); only
COMMIT, which waits for the disk, runs in a thread.  While it does, finished requests queue up, and the next COMMIT makes
all of them durable at once: that is the group commit.  The write-ahead log is carried over into the database by another
thread, a part every few commits, so that no request waits for it.
"""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path

from fhir_server.errors import SettingsError, StoreFullError
from fhir_server.store.sqlite_records import SqliteSnapshot, SqliteUnit
from fhir_server.store.sqlite_schema import bring_up, require_known
from fhir_server.store.sqlite_tokens import TokenQueue, indexed_events

_READERS = 4  # a read holds its connection only while the event loop is with it
_IDLE = 0.25  # seconds without a request, after which the index catches up
_PAGE_SIZE = 8192
_CACHE_KIB = 24 * 1024
_COMMITS_BETWEEN = 16  # checkpoints
_MOST_PAGES = 4000  # of the log: then a commit carries over what is left, and the log begins anew


class SqliteStore:
    """A ``Store`` over one file.  Open it with ``SqliteStore.open``."""

    def __init__(self, path: Path) -> None:
        self.connection = _connect(path, create=True)
        bring_up(self.connection)
        self.fresh = self.connection.execute("SELECT 1 FROM secret LIMIT 1").fetchone() is None
        self._turn = (
            asyncio.Lock()
        )  # first come, first served: a commit queues behind the units before it
        self._waiting: list[asyncio.Future[None]] = []
        self._dirty = asyncio.Event()
        self.indexed_events = indexed_events(self.connection)
        self._tokens = TokenQueue(self.indexed_events)
        self._readers: asyncio.LifoQueue[sqlite3.Connection] = asyncio.LifoQueue()
        for _ in range(_READERS):
            self._readers.put_nowait(_connect(path, create=False))
        self._committer: asyncio.Task[None] | None = None
        self.connection.execute(f"PRAGMA wal_autocheckpoint = {_MOST_PAGES}")
        self._carrier = _connect(path, create=False)
        self._carrying: asyncio.Task[None] | None = None
        self._commits = 0

    def reading(self, *, complete: bool = False) -> "_Reading":
        """See ``Store.reading``."""
        return _Reading(self, complete=complete)

    def writing(self) -> "_Writing":
        """See ``Store.writing``."""
        return _Writing(self)

    async def begin_reading(self, *, complete: bool) -> sqlite3.Connection:
        """A connection with a snapshot; give it back with ``end_reading``."""
        if complete and self._tokens.behind:
            await self._catch_up()
        connection = await self._readers.get()
        try:
            connection.execute("BEGIN")
        except BaseException:
            self._readers.put_nowait(connection)
            raise
        return connection

    def end_reading(self, connection: sqlite3.Connection) -> None:
        """Let the next reader have the connection."""
        if connection.in_transaction:
            connection.execute("COMMIT")
        self._readers.put_nowait(connection)

    async def begin_unit(self) -> SqliteUnit:
        """The next unit of work, when its turn has come."""
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_batches())
        await self._turn.acquire()
        try:
            if not self.connection.in_transaction:
                self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute("SAVEPOINT unit")
        except BaseException:
            self._turn.release()
            raise
        self._tokens.begin_unit()
        return SqliteUnit(self.connection, self._tokens)

    def end_unit(self) -> asyncio.Future[None]:
        """The unit is whole: what is returned is done when it is durable."""
        try:
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
        try:
            self._undo(error)
        finally:
            self._turn.release()

    def _undo(self, error: BaseException) -> None:
        """Take the unit back; if SQLite already rolled back everything, the whole batch has failed."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK TO unit")
            self.connection.execute("RELEASE unit")
            if not self._waiting:  # nothing to commit: do not keep others from writing
                self.connection.execute("ROLLBACK")
        else:
            self._fail_batch(error)
        if is_full(error):
            raise StoreFullError("the disk is full") from error

    def _fail_batch(self, error: BaseException) -> None:
        self._tokens.failed()
        waiting, self._waiting = self._waiting, []
        for durable in waiting:
            if not durable.done():
                durable.set_exception(
                    StoreFullError(f"the batch was not written ({type(error).__name__})")
                )

    async def _commit_batches(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), _IDLE if self._tokens.behind else None)
            if not self._dirty.is_set():
                with suppress(sqlite3.Error):  # another process writes: later, then
                    await self._catch_up()
                continue
            async with self._turn:
                self._dirty.clear()
                await self._commit()

    async def _commit(self) -> None:
        try:
            await asyncio.to_thread(self._write_batch)
        except sqlite3.Error as error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            self._fail_batch(error)
            return
        self._tokens.committed()
        waiting, self._waiting = self._waiting, []
        for durable in waiting:
            if not durable.done():
                durable.set_result(None)
        self._commits += 1
        if self._commits % _COMMITS_BETWEEN == 0 and (
            self._carrying is None or self._carrying.done()
        ):
            self._carrying = asyncio.create_task(self._carry_over())

    async def _carry_over(self) -> None:
        """Move what is in the write-ahead log into the database; nobody waits for it, and what fails is done later."""
        with suppress(sqlite3.Error):
            await asyncio.to_thread(self._checkpoint)

    def _checkpoint(self) -> None:
        self._carrier.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _write_batch(self) -> None:
        self._tokens.write_now(self.connection)
        self._tokens.write_bucket(self.connection)
        self.connection.execute("COMMIT")

    async def _catch_up(self) -> None:
        """Bring the index up to all durable AuditEvents."""
        async with self._turn:
            if self.connection.in_transaction:
                await self._commit()
            if not self._tokens.behind:
                return
            try:
                await asyncio.to_thread(self._write_all)
            except sqlite3.Error as error:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                if not is_full(error):
                    raise
                return
            self._tokens.committed_all()

    def _write_all(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self._tokens.write_all(self.connection)
        self.connection.execute("COMMIT")

    async def close(self) -> None:
        """See ``Store.close``."""
        async with self._turn:
            if self._committer is not None:
                self._committer.cancel()
        if self._carrying is not None:
            await self._carrying
        self._carrier.close()
        await self._catch_up()
        while not self._readers.empty():
            self._readers.get_nowait().close()
        self.connection.close()


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


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full."""
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)


def _connect(path: Path, *, create: bool) -> sqlite3.Connection:
    mode = "rwc" if create else "rw"
    try:
        if create:
            path.touch(mode=0o600)  # before SQLite does: its other files get the same mode
            if not path.stat().st_size:
                path.chmod(0o600)
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        require_known(connection)
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")  # no plaintext-derived order in temp files
        connection.execute("PRAGMA busy_timeout = 10000")
    except (sqlite3.Error, OSError) as error:
        raise SettingsError(f"the database file {path.name} cannot be opened: {error}") from error
    return connection
