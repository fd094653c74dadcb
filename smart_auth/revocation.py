"""Which grants are revoked (RFC 7009): asked on every request, so it must be quick.

Two places know: a set in this process, asked every time, and the store, asked when a token is seen
first and then every ``revocation_recheck``.  What this process revokes therefore holds for its very
next request, what another process revokes within ``revocation_recheck``, and both survive a
restart.  A grant revoked here is forgotten from the set when all its access tokens have expired;
in the store it stays as long as a refresh token could live.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from smart_auth.errors import RevokedTokenError
from smart_auth.store import GrantStore, digest

_KIND = "revoked"
_LONGEST_ACCESS = timedelta(hours=1, minutes=5)
_SWEEP_AT = 10_000


class Revocations:
    """The revoked grants."""

    def __init__(
        self, store: GrantStore, refresh_lifetime: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._keep = refresh_lifetime + _LONGEST_ACCESS
        self._clock = clock
        self._here: dict[str, datetime] = {}

    async def revoke(self, grant_id: str) -> None:
        """Revoke a grant with all its access and refresh tokens; durable when it returns."""
        now = self._clock()
        self._sweep(now)
        self._here[grant_id] = now + _LONGEST_ACCESS
        await self._store.put(_KIND, digest(grant_id), b"\x01", now + self._keep)

    def require_not_revoked_here(self, grant_id: str) -> None:
        """Return when this process knows of no revocation.

        Raises:
            RevokedTokenError: The grant was revoked.
        """
        if grant_id in self._here:
            raise RevokedTokenError("the grant was revoked")

    async def require_not_revoked(self, grant_id: str) -> None:
        """Return when neither this process nor the store knows of a revocation.

        Raises:
            RevokedTokenError: The grant was revoked.
        """
        self.require_not_revoked_here(grant_id)
        if await self._store.find(_KIND, digest(grant_id)) is not None:
            raise RevokedTokenError("the grant was revoked")
        self.require_not_revoked_here(grant_id)  # it may have been while we waited

    def _sweep(self, now: datetime) -> None:
        if len(self._here) >= _SWEEP_AT:
            self._here = {grant: until for grant, until in self._here.items() if until > now}
