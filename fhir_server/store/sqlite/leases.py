"""Which process on this machine has a task that only one may do: a lock in a file beside the database.

The kernel gives back the lock of a process that died at once.
"""

import fcntl
import os
from pathlib import Path


class SqliteLeases:
    """A ``store.database.Leases``."""

    def __init__(self, database: Path) -> None:
        self._folder = database.with_name(f"{database.name}-locks")
        self._held: dict[str, int] = {}

    async def holds(self, task: str) -> bool:
        """See ``Leases.holds``."""
        if task not in self._held:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            file = os.open(self._folder / f"lease-{task}", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._held[task] = file
        return True

    async def leave(self, task: str) -> None:
        """See ``Leases.leave``."""
        file = self._held.pop(task, None)
        if file is not None:
            os.close(file)
