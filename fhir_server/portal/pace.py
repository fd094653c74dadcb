"""A pace that public paths keep: so many requests a second, of all callers together, and some at once."""

import time
from collections.abc import Callable


class Pace:
    """A token bucket of one process."""

    def __init__(
        self, per_second: float, at_once: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._most = float(at_once)
        self._now = now
        self._left, self._at = self._most, now()

    def wait(self) -> float:
        """Take one; 0, or in how many seconds there will be one."""
        now = self._now()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._per_second
        self._left -= 1
        return 0.0
