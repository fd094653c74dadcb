"""Back-off for signing in (NIST SP 800-63B, 5.2.2): the more wrong passwords, the longer the wait.

Counted per user name, whether there is such a user or not, in this process.  An attempt counts
before the password is looked at, so that parallel guesses cannot slip past.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from smart_auth.errors import TemporarilyUnavailableError
from smart_auth.store import digest

FREE_ATTEMPTS = 3
LONGEST_WAIT = timedelta(minutes=5)
FORGOTTEN_AFTER = timedelta(minutes=30)
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    last: datetime
    until: datetime


class SignInThrottle:
    """Counts wrong passwords."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def begin(self, username: str, now: datetime) -> None:
        """Count one attempt as failed, until ``succeeded`` says otherwise.

        Raises:
            TemporarilyUnavailableError: The wait after earlier failures is not over.
        """
        key = digest(username)
        before = self._failures.pop(key, None)
        if before is not None and now < before.until:
            self._keep(key, before)
            wait = int((before.until - now).total_seconds()) + 1
            raise TemporarilyUnavailableError("too many wrong passwords", wait)
        if before is not None and now - before.last >= FORGOTTEN_AFTER:
            before = None
        count = 1 if before is None else before.count + 1
        self._keep(key, _Failures(count, now, now + _wait(count)))

    def succeeded(self, username: str) -> None:
        """Forget the failures of a user who has given the right password."""
        self._failures.pop(digest(username), None)

    def _keep(self, key: str, failures: _Failures) -> None:
        self._failures[key] = failures
        if len(self._failures) > _MOST_REMEMBERED:
            self._failures.popitem(last=False)


def _wait(count: int) -> timedelta:
    if count < FREE_ATTEMPTS:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(count - FREE_ATTEMPTS, 16)), LONGEST_WAIT)
