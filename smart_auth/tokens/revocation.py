"""What is revoked (RFC 7009): asked on every request, so it must be quick.

Either one grant with all its tokens, or all that one subject gave to one client up to now: that is
what a person means who takes an app's access away; or all that anybody gave to one client.

Two places know: this process, asked every time, and the store, asked when a token is seen first,
then every ``revocation_recheck``, and when another process tells that it has revoked something.
What any process revokes therefore holds for the very next request, and survives a restart.
This process forgets a revocation when all access tokens of then have expired; in the store it
stays as long as a refresh token could live.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from smart_auth.errors import RevokedTokenError
from smart_auth.store import GrantStore, digest

_GRANT, _PAIR, _CLIENT = "revoked", "revoked-pair", "revoked-client"
_SUBJECT = "revoked-subject"
_LONGEST_ACCESS = timedelta(hours=1, minutes=5)
_SWEEP_AT = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What a token or grant is revoked by.

    Attributes:
        subject: ``sub``: a person, or for a backend service its client_id.
        issued: When token or grant was made, UTC.
    """

    grant_id: str
    subject: str
    client_id: str
    issued: datetime

    @property
    def pair(self) -> str:
        """Name the subject and client together."""
        return f"{self.subject}\n{self.client_id}"


class Revocations:
    """The revoked grants, and the moments up to which pairs of subject and client are revoked."""

    def __init__(
        self,
        store: GrantStore,
        refresh_lifetime: timedelta,
        clock: Callable[[], datetime],
        tell: Callable[[], Awaitable[None]],
    ) -> None:
        """``tell`` makes other processes ask the store again."""
        self.tell = tell
        self._store = store
        self._keep = refresh_lifetime + _LONGEST_ACCESS
        self._clock = clock
        self._grants: dict[str, datetime] = {}
        self._pairs: dict[str, datetime] = {}
        self._whole: dict[str, datetime] = {}
        self._people: dict[str, datetime] = {}

    async def revoke(self, grant_id: str) -> None:
        """Revoke a grant with all its access and refresh tokens; durable when it returns."""
        now = self._clock()
        self._grants = _swept(self._grants, now)
        self._grants[grant_id] = now
        await self._store.put(_GRANT, digest(grant_id), b"\x01", now + self._keep)
        await self.tell()

    async def revoke_pair(self, subject: str, client_id: str) -> None:
        """Revoke all that ``subject`` gave to the client up to now; durable when it returns."""
        now = self._clock()
        pair = Standing("", subject, client_id, now).pair
        self._pairs = _swept(self._pairs, now)
        self._pairs[pair] = now
        stored = str(now.timestamp()).encode()
        await self._store.put(_PAIR, digest(pair), stored, now + self._keep)
        await self.tell()

    async def revoke_client(self, client_id: str) -> None:
        """Revoke all that the client has got up to now, of whomever; durable when it returns."""
        now = self._clock()
        self._whole = _swept(self._whole, now)
        self._whole[client_id] = now
        stored = str(now.timestamp()).encode()
        await self._store.put(_CLIENT, digest(client_id), stored, now + self._keep)
        await self.tell()

    async def revoke_subject(self, subject: str) -> None:
        """Revoke all that a person gave to any client up to now; durable when it returns."""
        now = self._clock()
        self._people = _swept(self._people, now)
        self._people[subject] = now
        stored = str(now.timestamp()).encode()
        await self._store.put(_SUBJECT, digest(subject), stored, now + self._keep)
        await self.tell()

    def require_not_revoked_here(self, standing: Standing) -> None:
        """Return when this process knows of no revocation.

        Raises:
            RevokedTokenError: The grant, or all of this subject and client, was revoked.
        """
        issued = standing.issued
        moments = (
            self._pairs.get(standing.pair),
            self._whole.get(standing.client_id),
            self._people.get(standing.subject),
        )
        late = any(moment is not None and issued <= moment for moment in moments)
        if late or standing.grant_id in self._grants:
            raise RevokedTokenError("the grant was revoked")

    async def require_not_revoked(self, standing: Standing) -> None:
        """Return when neither this process nor the store knows of a revocation.

        Raises:
            RevokedTokenError: The grant, or all of this subject and client, was revoked.
        """
        self.require_not_revoked_here(standing)
        if await self._store.find(_GRANT, digest(standing.grant_id)) is not None:
            raise RevokedTokenError("the grant was revoked")
        for kind, name in (
            (_PAIR, standing.pair),
            (_CLIENT, standing.client_id),
            (_SUBJECT, standing.subject),
        ):
            stored = await self._store.find(kind, digest(name))
            if stored is not None and standing.issued <= _moment(stored):
                raise RevokedTokenError("the grant was revoked")
        self.require_not_revoked_here(standing)  # it may have been while we waited


def _moment(stored: bytes) -> datetime:
    return datetime.fromtimestamp(float(stored), UTC)


def _swept(revoked: dict[str, datetime], now: datetime) -> dict[str, datetime]:
    if len(revoked) < _SWEEP_AT:
        return revoked
    return {name: at for name, at in revoked.items() if at + _LONGEST_ACCESS > now}
