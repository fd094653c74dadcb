"""What the processes that have one database file open on this machine share: turns, slots, and a count of news.

All of it lies in files of a folder beside the database.  The kernel gives back the locks (``flock``) of a process that
died, so nothing has to be cleaned up after it.
"""

import asyncio
import fcntl
import mmap
import os
import struct
from collections.abc import Container
from pathlib import Path
from time import monotonic, sleep

_SLOTS = 64
_NAP = 0.000_05  # seconds between two looks for a turn that comes soon
_COUNT = struct.Struct("<Q")


def lock_folder(database: Path) -> Path:
    """The folder of a database's locks; made if it is missing."""
    folder = database.with_name(f"{database.name}-locks")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class WriteTurn:
    """The turn to write; hold it around every transaction that writes.

    SQLite's own way of waiting for another writer is to sleep and try again, in the thread that asks, and whoever has just
    written wins most often.  Two locks make it fair: a process waits in ``next`` for ``now``, and lets go of ``next`` when
    it has ``now``.  Units of the same process queue before it (``asyncio.Lock`` in the store): it is taken by one at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._now = _open(folder / "now")
        self._next = _open(folder / "next")
        self._queued: asyncio.Future[None] | None = None
        self._wanted = False

    async def take(self) -> None:
        """Wait for the turn; without leaving the event loop if no other process has it."""
        if self.take_at_once():
            return
        if self._queued is None:
            self._queued = asyncio.get_running_loop().run_in_executor(None, self._queue)
            self._queued.add_done_callback(self._arrived)
        self._wanted = True
        try:
            await asyncio.shield(self._queued)
            self._queued = None
        finally:
            self._wanted = False

    @property
    def asked(self) -> bool:
        """Whether this process waits already, or has waited for somebody who has gone since."""
        return self._queued is not None

    def take_at_once(self) -> bool:
        """Take the turn if nobody has it or waits for it; whether it is taken."""
        if self.asked or not _locked(self._next):
            return False
        try:
            return _locked(self._now)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def take_within(self, seconds: float) -> bool:
        """Wait so long for the turn, in the thread that calls, unless this process waits already; whether it is taken."""
        end = monotonic() + seconds
        while not self.take_at_once():
            if self.asked or monotonic() > end:
                return False
            sleep(_NAP)
        return True

    def take_here(self) -> None:
        """Wait in the thread that calls, while nobody else of this process does (``asked``)."""
        self._queue()

    def give(self) -> None:
        """Let the next process write."""
        fcntl.flock(self._now, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of both locks."""
        os.close(self._now)
        os.close(self._next)

    def _arrived(self, queued: asyncio.Future[None]) -> None:
        """Whoever waited may have been cancelled, and nobody come after it."""
        if self._queued is queued and not self._wanted:
            self._queued = None
            self.give()

    def _queue(self) -> None:
        fcntl.flock(self._next, fcntl.LOCK_EX)
        fcntl.flock(self._now, fcntl.LOCK_EX)
        fcntl.flock(self._next, fcntl.LOCK_UN)


class Slots:
    """Small numbers, each of which one process can have until it ends.

    Attributes:
        own: The number of this process, or -1 for none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self.own = -1

    def take(self, avoid: Container[int]) -> None:
        """Have a number from now on, not one of ``avoid``.

        Raises:
            OSError: None is left.
        """
        for number in range(_SLOTS):
            file = self._open(number)
            if number not in avoid and _locked(file):
                self.own, self._file = number, file
                return
            os.close(file)
        raise OSError(f"{_SLOTS} processes have this database open")

    def is_free(self, number: int) -> bool:
        """Whether no process has a number."""
        file = self._open(number)
        try:
            return number != self.own and _locked(file)
        finally:
            os.close(file)

    def close(self) -> None:
        """Let go of it."""
        if self._file >= 0:
            os.close(self._file)

    def _open(self, number: int) -> int:
        return _open(self._folder / f"slot-{number}")


class SqliteNews:
    """A ``store.database.News``: eight bytes that all processes have mapped into their memory."""

    def __init__(self, folder: Path) -> None:
        self._file = _open(folder / "news")
        if os.fstat(self._file).st_size < _COUNT.size:
            os.ftruncate(self._file, _COUNT.size)
        self._count = mmap.mmap(self._file, _COUNT.size)

    async def count(self) -> int:
        """See ``News.count``."""
        return int(_COUNT.unpack_from(self._count)[0])

    async def tell(self) -> None:
        """See ``News.tell``."""
        fcntl.flock(self._file, fcntl.LOCK_EX)  # held for less than a system call takes
        try:
            _COUNT.pack_into(self._count, 0, _COUNT.unpack_from(self._count)[0] + 1)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        self._count.close()
        os.close(self._file)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
