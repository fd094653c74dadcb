"""A MongoDB for tests: that of ``MONGODB_URI``, or PyPI's secantusdb in a process of its own.

secantusdb speaks MongoDB's wire protocol over MongoDB's own storage engine; it is GPL-2.0, so it is a dependency of the
tests only, and never imported: it is started like any server.  Where it is not, and no ``MONGODB_URI`` is set, tests of
MongoDB say so and are skipped.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from pymongo import MongoClient

GIVEN = os.environ.get("MONGODB_URI", "")
AVAILABLE = bool(GIVEN) or importlib.util.find_spec("secantus") is not None
REASON = "no MongoDB: set MONGODB_URI, or install the test dependencies (secantusdb)"
needs_mongo = pytest.mark.skipif(not AVAILABLE, reason=REASON)
_MEMORY = Path("/dev/shm")
_PATIENCE = 30  # seconds
_KNOWN: set[Path] = set()


def url(folder: Path) -> str:
    """The url of the database for a folder, on the server of this test run; what folders that are gone had is dropped."""
    address = GIVEN or _shared().url
    for gone in [known for known in _KNOWN if not known.exists()]:
        _KNOWN.remove(gone)
        with MongoClient(address) as client:  # type: MongoClient[dict[str, object]]
            client.drop_database(_name(gone))
    _KNOWN.add(folder)
    return urlunsplit(urlsplit(address)._replace(path=f"/{_name(folder)}"))


def count(folder: Path, collection: str) -> int:
    """How many documents a collection of a folder's database has."""
    with MongoClient(url(folder)) as client:  # type: MongoClient[dict[str, object]]
        return client[_name(folder)][collection].count_documents({})


def log_size(folder: Path) -> int:
    """How many audit rows the pages of a folder's database have."""
    with MongoClient(url(folder)) as client:  # type: MongoClient[dict[str, list[object]]]
        return sum(len(page["rows"]) for page in client[_name(folder)]["page"].find())


class Server:
    """A secantusdb of its own: ``stop`` it when done; ``kill`` and ``start`` it in the middle of things."""

    def __init__(self, *options: str) -> None:
        where = _MEMORY if _MEMORY.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="consentry-mongo-", dir=where))
        self.port = _free_port()
        self._options = options
        self.start()

    @property
    def url(self) -> str:
        """Without a database's name."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def start(self) -> None:
        """Start it, or start it again on the same files."""
        command = [
            *(sys.executable, "-c", "from secantus.cli import main; main()"),
            *("--port", str(self.port), "--storage-path", str(self.folder / "data")),
            *("--cache-size", "2G", "--log-level", "ERROR", "--sync-on-commit"),
            *self._options,
        ]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"secantusdb did not start: {(self.folder / 'log').read_text()}")

    def kill(self) -> None:
        """End it as a power failure would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _name(folder: Path) -> str:
    return f"t{hashlib.sha256(str(folder).encode()).hexdigest()[:24]}"


@cache
def _shared() -> Server:
    server = Server()
    atexit.register(server.stop)
    os.environ["MONGODB_URI"] = server.url  # for child processes of tests
    return server


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
