"""A server of the story's own: a child process with its own folder, in a process group of its own.

Ctrl-C in a terminal goes to the foreground process group, so the child does not see it: it is stopped by its process id,
once, by whoever started it.
"""

import atexit
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from fhir_server.commands.serve import RUNNING_FILE, recall
from fhir_server.commands.story.errors import ServerError
from fhir_server.settings import PREFIX

_START = 60.0  # seconds until a server must answer, on a machine that is busy with other things
_STOP = 5.0  # seconds after SIGTERM until it is killed
_LOOK = 0.05
_KEPT = f"{PREFIX}POLICY"  # the only setting of the caller's that reaches the story's server


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment with these settings instead of the caller's own, so that no other deployment is touched."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX) or k == _KEPT}
    return {**plain, **{f"{PREFIX}{name.upper()}": value for name, value in settings.items()}}


class ServerProcess:
    """``consentry serve`` on a data folder.

    Attributes:
        url: Public url, without a path; empty before ``start``.
        data: Its data folder.
        log: The file that takes what it writes.
    """

    def __init__(self, data: Path, log: Path, settings: Mapping[str, str], port: int = 0) -> None:
        self.url = ""
        self.data = data
        self.log = log
        self._settings = settings
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def fhir(self) -> str:
        """The FHIR base url."""
        return f"{self.url}/fhir"

    @property
    def pid(self) -> int:
        """Process id; 0 if it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start, and return when it answers; a second start takes the same port.

        Raises:
            ServerError: It ended, or does not answer in time; the message has the end of its log.
        """
        (self.data / RUNNING_FILE).unlink(missing_ok=True)
        atexit.register(self.stop)
        try:
            self._process = self._spawn()
            self._wait(time.monotonic() + _START)
        except BaseException:
            self.stop()
            raise
        self._port = urlsplit(self.url).port or 0

    def stop(self) -> None:
        """Stop it, and return when it is gone; if this is interrupted, it is done again when Python ends."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._process = None
        atexit.unregister(self.stop)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "fhir_server", "serve", "--port", str(self._port)]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  our own program
                [*command, "--data", str(self.data)],
                env=environment(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise ServerError(f"the server ended before it answered:\n{self.last_words()}")
            self.url = recall(self.data)
            if self.url and self._answers():
                return
            time.sleep(_LOOK)
        raise ServerError(f"the server does not answer:\n{self.last_words()}")

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-12:])


def write_private(path: Path, content: object) -> None:
    """Write JSON that only the owner may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
