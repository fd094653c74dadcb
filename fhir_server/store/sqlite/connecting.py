"""Connections to the embedded database, and the transactions that write."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fhir_server.errors import SettingsError
from fhir_server.store.sqlite.schema import require_known
from fhir_server.store.sqlite.turns import WriteTurn

_PAGE_SIZE = 4096
_CACHE_KIB = 4 * 1024


class WriteTransaction:
    """The one transaction of a process that writes; nobody else on this machine writes from its begin to its end.

    Attributes:
        connection: Nobody else writes on it.
    """

    def __init__(self, connection: sqlite3.Connection, turn: WriteTurn) -> None:
        self.connection = connection
        self._turn = turn

    @property
    def open(self) -> bool:
        """Whether it has begun."""
        return self.connection.in_transaction

    async def begin(self) -> None:
        """Begin when the turn has come.

        Raises:
            sqlite3.Error: It could not begin; the turn is given on.
        """
        await self._turn.take()
        self._begin()

    @property
    def asked(self) -> bool:
        """Whether somebody of this process asked for the turn and did not stay; then only ``begin`` begins."""
        return self._turn.asked

    def begin_within(self, seconds: float) -> bool:
        """Begin if the turn comes so soon; the thread that calls waits for it.  Whether it has begun now.

        Raises:
            sqlite3.Error: It could not begin; the turn is given on.
        """
        if self.open or not self._turn.take_within(seconds):
            return False
        self._begin()
        return True

    def begin_here(self) -> None:
        """The same in a thread, which waits for the turn.

        Raises:
            sqlite3.Error: It could not begin; the turn is given on.
        """
        self._turn.take_here()
        self._begin()

    def _begin(self) -> None:
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._turn.give()
            raise

    def commit(self) -> None:
        """Make it durable; if that fails, call ``roll_back``."""
        self.connection.execute("COMMIT")
        self._turn.give()

    def roll_back(self) -> None:
        """Undo what SQLite has not undone already."""
        with suppress(sqlite3.Error):
            if self.open:
                self.connection.execute("ROLLBACK")
        self._turn.give()

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.close()
        self._turn.close()


class Readers:
    """Connections for snapshots, each lent to one at a time: every read borrows one, so that this costs next to nothing."""

    def __init__(self, connections: Iterable[sqlite3.Connection]) -> None:
        self._free = list(connections)
        self._waiting: deque[asyncio.Future[None]] = deque()

    def at_hand(self) -> sqlite3.Connection | None:
        """One that nobody has, if there is one: that which was used last, whose pages are in memory."""
        return self._free.pop() if self._free else None

    async def take(self) -> sqlite3.Connection:
        """One that nobody has any more."""
        while not self._free:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # ours: it is the next one's
                    self._wake()
                raise
        return self._free.pop()

    def give(self, connection: sqlite3.Connection) -> None:
        """Let the next one have it."""
        self._free.append(connection)
        self._wake()

    def close(self) -> None:
        """Let go of all that nobody has."""
        while self._free:
            self._free.pop().close()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """A connection to the database file; ``create`` makes the file if it is missing.

    Raises:
        SettingsError: It can not be opened, or is not a database that this program knows.
    """
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
        connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten, too
        connection.execute("PRAGMA busy_timeout = 10000")
    except (sqlite3.Error, OSError) as error:
        raise SettingsError(f"the database file {path.name} cannot be opened: {error}") from error
    return connection


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full."""
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)
