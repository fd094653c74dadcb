"""How far the index of AuditEvents is complete, process by process.

The tokens of AuditEvents wait in the memory of the process that wrote them (``tokens.py``).  While any wait, a row of
``meta`` says from which audit number on they may be missing; it comes and goes in the commits that make it true.  Whoever
needs a complete index asks the others to write what waits there (``index-wanted``).  A row whose process is gone is adopted
by the next server that starts: it makes those tokens again.
"""

import sqlite3
from pathlib import Path

from fhir_server.store.sqlite.turns import Slots

MARK = "audit-indexed:"
_WANTED = "index-wanted"


class Marks:
    """The rows of ``meta``, by the slots of their processes; each call is a few statements on the connection given."""

    def __init__(self, folder: Path) -> None:
        self._slots = Slots(folder)

    def write(self, connection: sqlite3.Connection, number: int) -> None:
        """From ``number`` on tokens of this process may be missing."""
        if self._slots.own < 0:
            self._slots.take(avoid={slot for slot, _ in _all(connection)})
        _set(connection, _name(self._slots.own), number)

    def clear(self, connection: sqlite3.Connection) -> None:
        """No tokens of this process are missing."""
        connection.execute("DELETE FROM meta WHERE name = ?", (_name(self._slots.own),))

    def adopt(self, connection: sqlite3.Connection) -> int | None:
        """Make the rows of processes that are gone our own; the lowest number of them, or None."""
        left = [(slot, number) for slot, number in _all(connection) if self._slots.is_free(slot)]
        if not left:
            return None
        lowest = min(number for _, number in left)
        self.write(connection, lowest)
        for slot, _ in left:
            connection.execute("DELETE FROM meta WHERE name = ?", (_name(slot),))
        return lowest

    def others_behind(self, connection: sqlite3.Connection, number: int) -> bool:
        """Whether another process may have tokens of events below ``number`` in its memory."""
        return any(slot != self._slots.own and below < number for slot, below in _all(connection))

    def ask(self, connection: sqlite3.Connection, number: int) -> None:
        """Ask the others for the tokens of all events below ``number``."""
        if self.asked(connection) < number:
            _set(connection, _WANTED, number)

    def asked(self, connection: sqlite3.Connection) -> int:
        """Below which number somebody wants the tokens of all events."""
        found = connection.execute("SELECT value FROM meta WHERE name = ?", (_WANTED,)).fetchone()
        return int.from_bytes(found[0], "big") if found else 0

    def close(self) -> None:
        """Let go of the slot."""
        self._slots.close()


def _all(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Slots and their numbers."""
    query = "SELECT substr(name, ?2), value FROM meta WHERE substr(name, 1, ?2 - 1) = ?1"
    found = connection.execute(query, (MARK, len(MARK) + 1)).fetchall()
    return [(int(slot), int.from_bytes(value, "big")) for slot, value in found]


def _name(slot: int) -> str:
    return f"{MARK}{slot}"


def _set(connection: sqlite3.Connection, name: str, number: int) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)",
        (name, number.to_bytes(8, "big")),
    )
