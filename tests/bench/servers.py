"""The servers that are measured, each a process of its own: ours with everything on, and a peer.

The peer is PyPI's ``sekmet-fhir`` 0.1.1, a FHIR R4 test server on FastAPI and SQLite: validation on, no security, nothing
sealed, no audit.  It is installed into a virtual environment of its own when the bench first needs it.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from fhir_server.commands.serve import recall
from fhir_server.commands.token import system_token
from tests.bench.client import Connection

_PEER = "sekmet-fhir==0.1.1"
_VENV = Path(__file__).resolve().parents[2] / ".venv" / "cache" / "peer"
_PATIENCE = 60
_LOOK = 0.25  # seconds


class Server(Protocol):
    """A running server."""

    name: str
    port: int

    def token(self) -> str:
        """A bearer token that may do everything; empty where none is asked for."""
        ...

    def stop(self) -> None:
        """Stop it and remove what it has stored."""
        ...


class Consentry:
    """This project, as ``consentry serve`` starts it."""

    name = "Consentry"

    def __init__(self, **settings: str) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="consentry-bench-"))
        own = {f"CONSENTRY_{name.upper()}": value for name, value in settings.items()}
        command = [
            sys.executable,
            "-m",
            "fhir_server",
            "serve",
            "--port",
            "0",
            "--data",
            str(self.data),
        ]
        log = (self.data / "log").open("w")
        self._process = subprocess.Popen(command, stderr=log, env={**os.environ, **own})
        self._peak = 0
        self._watched = threading.Event()
        self.port = _until(self._answers)

    def token(self) -> str:
        return system_token(self.data, "system/*.cruds")

    @property
    def peak_mb(self) -> float:
        """Most memory that all processes had at once while it was ``watched``; shared pages count once."""
        return self._peak / 1024

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at its memory each quarter of a second; not while answers are timed: a look takes some 10 ms of a core."""
        watch = threading.Thread(target=self._watch, daemon=True)
        self._watched.set()
        watch.start()
        try:
            yield
        finally:
            self._watched.clear()
            watch.join()

    def _watch(self) -> None:
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        with suppress(OSError):  # it has ended
            while self._watched.is_set():
                each = [str(pid), *children.read_text().split()]
                self._peak = max(self._peak, sum(map(_resident, each)))
                time.sleep(_LOOK)

    def stop(self) -> None:
        _stop(self._process, self.data)

    def _answers(self) -> int:
        url = recall(self.data)
        port = int(url.rpartition(":")[2]) if url else 0
        return port if port and _pinged(port, "/health") else 0


def _resident(pid: str) -> int:
    """Kilobytes; of a page that n processes share, the nth part."""
    content = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(content.partition("\nPss:")[2].split()[0])


class Peer:
    """The peer."""

    name = "sekmet-fhir 0.1.1"

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="consentry-bench-peer-"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._free = probe.getsockname()[1]
        settings = self.data / "settings.yaml"
        settings.write_text(
            f"base_url: http://127.0.0.1:{self._free}/fhir\nhost: 127.0.0.1\nport: {self._free}\n"
            f"data_dir: {self.data}/data\nvalidation: {{inbound: strict}}\nsimulator: {{enabled: false}}\n"
        )
        command = [str(_installed()), "serve", "-c", str(settings)]
        log = (self.data / "log").open("w")
        self._process = subprocess.Popen(command, cwd=self.data, stdout=log, stderr=log)
        self.port = _until(lambda: self._free if _pinged(self._free, "/fhir/metadata") else 0)

    def token(self) -> str:
        return ""

    def stop(self) -> None:
        _stop(self._process, self.data)


def _installed() -> Path:
    program = _VENV / "bin" / "sekmet"
    if not program.exists():
        sys.stdout.write(f"installing {_PEER} to compare with ...\n")
        subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
        pip = [str(_VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", _PEER]
        subprocess.run(pip, check=True)
    return program


def _until(answers: Callable[[], int]) -> int:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        port = answers()
        if port:
            return port
        time.sleep(0.1)
    raise RuntimeError("the server did not start")


def _pinged(port: int, path: str) -> bool:
    async def ping() -> None:
        connection = await Connection.open(port, "")
        await connection.send("GET", path)
        connection.close()

    try:
        asyncio.run(ping())
    except OSError:
        return False
    return True


def _stop(process: "subprocess.Popen[bytes]", data: Path) -> None:
    process.terminate()
    process.wait(20)
    shutil.rmtree(data)
