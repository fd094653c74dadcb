"""The list of erasures: which data keys were destroyed for good, kept outside of the database.

A backup holds the wrapped keys of patients erased since, and the key-encryption key opens them.  So a database that is put
back is compared with this list before anything is served (``interactions/erasing/erasures.py``).

Form: a line ``consentry-erasures/v1``, then a line for each destroyed key: 32 hexadecimal digits, a keyed hash of its id.
Whoever finds the file learns how many keys there are, and can not add one that means anything.  A line that is not whole is
the trace of a crash before the keys were destroyed; it is cut off with the next entry.
"""

import fcntl
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fhir_server.errors import SettingsError

_HEAD = b"consentry-erasures/v1\n"
_ENTRY = re.compile(rb"[0-9a-f]{32}")


class Ledger:
    """The list in one file.  Several processes may add to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """Of its file."""
        return self._path.name

    def exists(self) -> bool:
        """Whether it was begun."""
        return self._path.exists()

    def begin(self) -> None:
        """Begin it, empty, closed to others; nothing happens where it is there."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        except OSError as error:
            raise self._refused(error.strerror or "") from error
        with os.fdopen(descriptor, "wb") as file:
            _write(file.fileno(), _HEAD)

    def read(self) -> frozenset[str]:
        """All entries.

        Raises:
            SettingsError: It can not be read, or has another form.
        """
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise self._refused(error.strerror or "") from error
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        if lines[:1] != [_HEAD] or not all(_ENTRY.fullmatch(line[:-1]) for line in lines[1:]):
            raise self._refused("it is not what this program wrote")
        return frozenset(line[:-1].decode() for line in lines[1:])

    def add(self, entries: Iterable[str]) -> frozenset[str]:
        """Add what is not in it yet; durable when it returns.  Gives all entries.

        Raises:
            SettingsError: It can not be written.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR)
        except OSError as error:
            raise self._refused(error.strerror or "") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = self.read()
            new = sorted(set(entries) - known)
            whole = self._path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(descriptor, whole)
            os.lseek(descriptor, whole, os.SEEK_SET)
            if new:
                _write(descriptor, "".join(f"{entry}\n" for entry in new).encode())
        except OSError as error:
            raise self._refused(error.strerror or "") from error
        finally:
            os.close(descriptor)
        return known | frozenset(new)

    def _refused(self, why: str) -> SettingsError:
        return SettingsError(f"the list of erasures {self.name} can not be used: {why}")


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
    os.fsync(descriptor)
