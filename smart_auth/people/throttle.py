"""Back-off for signing in (NIST SP 800-63B, 5.2.2): the more wrong answers, the longer the wait.

Counted in the store, so by all processes together, per user name, whether there is such a user or
not.  An attempt counts before the answer is looked at, so that parallel guesses cannot slip past.

Passwords and codes are counted apart: whoever knows a password could otherwise wipe out the wrong
codes by giving it again.  A code has few digits, so that its waits grow longer and last longer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import anyio

from smart_auth.errors import AlreadyThereError, TemporarilyUnavailableError
from smart_auth.store import GrantStore, digest, json_of, stored_form
from smart_auth.tokens.issuing import RandomBytes, random_text

FREE_ATTEMPTS = 3
_AT_ONCE = 8  # processes that count the same name at the same moment, before one is told to wait
_MOMENT = timedelta(seconds=10)  # that one process needs to note what it has counted


@dataclass(frozen=True, slots=True)
class Pace:
    """How the waits of one kind of secret grow: they double up to ``longest``.

    Attributes:
        forgotten_after: Without a wrong answer for so long, counting begins anew.
    """

    kind: str
    longest: timedelta
    forgotten_after: timedelta


PASSWORDS = Pace("password", timedelta(minutes=5), timedelta(minutes=30))
CODES = Pace("code", timedelta(hours=12), timedelta(days=30))


@dataclass(frozen=True, slots=True)
class _Failures:
    """Wrong answers in a row; ``until`` in seconds since the epoch, ``row`` is a random name."""

    row: str
    count: int
    until: float


@dataclass(frozen=True, slots=True)
class Throttle:
    """Counts wrong answers of one kind."""

    store: GrantStore
    pace: Pace
    random_bytes: RandomBytes

    async def begin(self, username: str, now: datetime) -> None:
        """Count one attempt as failed, until ``succeeded`` says otherwise; durable on return.

        Raises:
            TemporarilyUnavailableError: The wait after earlier failures is not over.
        """
        for _ in range(_AT_ONCE):
            before = await self._find(username)
            if now.timestamp() < before.until:
                wait = int(before.until - now.timestamp()) + 1
                raise TemporarilyUnavailableError("too many wrong answers", wait)
            if await self._is_counted(username, before, now):
                return
            await anyio.sleep(0.01)  # another process counts this name
        raise TemporarilyUnavailableError("too many attempts at once", 1)

    async def succeeded(self, username: str, now: datetime) -> None:
        """Begin another row for a user who has given the right answer."""
        fresh = _Failures(random_text(self.random_bytes), 0, now.timestamp())
        await self._put(username, fresh, now)

    async def _is_counted(self, username: str, before: _Failures, now: datetime) -> bool:
        """Note one failure more, unless another process is about to note the same one."""
        count = before.count + 1
        place = digest(f"{self.pace.kind}\n{username}\n{before.row}\n{count}")
        try:
            await self.store.add("attempt", place, b"\x01", now + _MOMENT)
        except AlreadyThereError:
            return False
        until = now + _wait(count, self.pace.longest)
        await self._put(username, _Failures(before.row, count, until.timestamp()), now)
        return True

    async def _find(self, username: str) -> _Failures:
        stored = await self.store.find(f"failed-{self.pace.kind}", digest(username))
        return _Failures("", 0, 0) if stored is None else _Failures(**json.loads(json_of(stored)))

    async def _put(self, username: str, failures: _Failures, now: datetime) -> None:
        stored = stored_form(asdict(failures))
        until = max(now, datetime.fromtimestamp(failures.until, UTC))
        expires = until + self.pace.forgotten_after
        await self.store.put(f"failed-{self.pace.kind}", digest(username), stored, expires)


def _wait(count: int, longest: timedelta) -> timedelta:
    if count < FREE_ATTEMPTS:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(count - FREE_ATTEMPTS, 16)), longest)
