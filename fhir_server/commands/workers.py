"""Several processes behind one port: a parent that accepts connections and hands them out in turn.

Each worker is a whole server on the same database; the parent decides nothing and reads nothing.  It hands each accepted
connection to the next worker (``SCM_RIGHTS``), so that callers are spread evenly whoever keeps a connection open.  Workers
start one after another: the first may have to make keys, or to bring a database up to date.  One that dies is replaced;
when the parent dies, or is told to stop, they finish what they are at and end.
"""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from fhir_server.errors import StartError

READY = b"+"  # what a worker says when it answers requests
_STOPPING = 10.0  # seconds for workers to finish
_REST = 1.0  # seconds between the death of a worker and its replacement
_TEXT = 4096
_STOPS = (signal.SIGTERM, signal.SIGINT)

Serve = Callable[
    [socket.socket], str
]  # serves what comes over the channel; gives why it could not start, or nothing


@dataclass(slots=True)
class _Worker:
    pid: int
    channel: socket.socket
    ready: bool = False


class Crew:
    """The parent's side.

    Args:
        listener: Where connections come in.
        serve: What a worker does, in a process of its own.
        count: How many there are to be.
    """

    def __init__(self, listener: socket.socket, serve: Serve, count: int) -> None:
        self._serve = serve
        self._count = count
        self._workers: list[_Worker] = []
        self._listener = listener
        self._next = 0
        self._rest_until = 0.0
        self._stopped = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)

    def run(self) -> None:
        """Hand out connections until a signal says stop.

        Raises:
            StartError: The first worker could not start.
        """
        for number in _STOPS:
            signal.signal(number, self._stop)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        try:
            while not self._stopped:
                self._complete()
                self._attend()
        finally:
            signal.set_wakeup_fd(-1)
            self._listener.close()
            self._end()

    def _stop(self, *_: object) -> None:
        self._stopped = True

    def _complete(self) -> None:
        """Start the next worker that is missing, unless one is starting."""
        starting = any(not worker.ready for worker in self._workers)
        if (
            not starting
            and len(self._workers) < self._count
            and time.monotonic() >= self._rest_until
        ):
            self._workers.append(self._fork())

    def _attend(self) -> None:
        """Wait for a connection, a word of a worker, or a signal."""
        accepting = [self._listener] if any(worker.ready for worker in self._workers) else []
        channels = [worker.channel for worker in self._workers]
        missing = len(self._workers) < self._count
        found, _, _ = select.select(
            [self._woken, *accepting, *channels], (), (), _REST if missing else None
        )
        for worker in [w for w in self._workers if w.channel in found]:
            self._hear(worker)
        if self._listener in found:
            with suppress(OSError):  # whoever called may have gone
                self._hand_out(self._listener.accept()[0])

    def _hear(self, worker: _Worker) -> None:
        said = b""
        with suppress(ConnectionResetError):  # it died with connections that it had not taken yet
            said = worker.channel.recv(_TEXT)
        if said == READY:
            worker.ready = True
            return
        self._workers.remove(worker)
        worker.channel.close()
        os.waitpid(worker.pid, 0)
        self._rest_until = time.monotonic() + _REST
        if said and not self._workers:
            raise StartError(said.decode(errors="replace"))

    def _hand_out(self, connection: socket.socket) -> None:
        with connection:
            ready = [worker for worker in self._workers if worker.ready]
            for _ in range(len(ready)):
                self._next += 1
                try:
                    channel = ready[self._next % len(ready)].channel
                    socket.send_fds(channel, [b"c"], [connection.fileno()])
                except OSError:  # it has just died
                    continue
                return

    def _fork(self) -> _Worker:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            theirs.close()
            return _Worker(pid, ours)
        why = "a worker failed"
        try:
            self._become_worker(ours)
            why = self._serve(theirs)
        except Exception as error:  # noqa: BLE001  told by the parent; nothing of the parent's is to run here
            why = f"a worker failed ({type(error).__name__})"
        finally:
            with suppress(OSError):
                theirs.sendall(why.encode()[:_TEXT])
            os._exit(1 if why else 0)

    def _become_worker(self, ours: socket.socket) -> None:
        """Let go of what is the parent's."""
        signal.set_wakeup_fd(-1)
        for number in _STOPS:
            signal.signal(number, signal.SIG_DFL)
        others = [worker.channel for worker in self._workers]
        for inherited in (self._listener, ours, self._wake, self._woken, *others):
            inherited.close()

    def _end(self) -> None:
        """Stop the workers and wait until they are gone."""
        for worker in self._workers:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOPPING
        for worker in self._workers:
            while not _gone(worker.pid):
                if time.monotonic() > deadline:
                    os.kill(worker.pid, signal.SIGKILL)
                time.sleep(0.02)


def _gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
