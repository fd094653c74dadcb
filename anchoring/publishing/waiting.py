"""How long events have been waiting to be anchored.

A log entry carries no time that this room may read, so what is known is when the log was first seen
to be that long.  Marks of that are kept, few of them however long the chain is down.
"""

from datetime import datetime

_MOST_MARKS = 1024


class Waiting:
    """When the log was first seen to have which size, from what is anchored on."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._marks: list[tuple[int, datetime]] = []  # both rise
        self._covered = 0

    @property
    def since(self) -> datetime | None:
        """When the oldest event that no anchor covers was first seen; None if there is none."""
        return self._marks[0][1] if self._marks else None

    def seen(self, size: int, now: datetime) -> None:
        """Note that the log has this size at ``now``."""
        if size <= max(self._covered, self._marks[-1][0] if self._marks else 0):
            return
        self._marks.append((size, now))
        if len(self._marks) >= _MOST_MARKS:  # two become one, of which all is as old as the older
            pairs = zip(self._marks[::2], self._marks[1::2], strict=True)
            self._marks = [(later[0], earlier[1]) for earlier, later in pairs]

    def covered(self, size: int) -> None:
        """Note that an anchor covers the log up to this size."""
        self._covered = size
        self._marks = [mark for mark in self._marks if mark[0] > size]
