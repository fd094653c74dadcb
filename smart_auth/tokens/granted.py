"""What people have granted to apps and not taken back, kept so that they can look at it.

Stored form of an entry (our own): ``0x01 | JSON object in UTF-8``; kind ``grant``, key the digest of the
grant's id, owner that of the person's subject.  It holds no token, and nothing about a patient.
What really holds is decided elsewhere (revocation.py): an entry that was revoked or has expired
is not told, and dropped when the person's entries are next looked at, or one is added.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from smart_auth.errors import ChangedError, RevokedTokenError
from smart_auth.settings import SmartSettings
from smart_auth.store import Entry, Grant, RegisterStore, digest
from smart_auth.tokens.bearer import subject_of
from smart_auth.tokens.revocation import Revocations, Standing

_KIND = "grant"
_VERSION = b"\x01"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Granted:
    """One grant of one person to one app; times in seconds since the epoch.

    Attributes:
        grant_id: What its tokens carry.
        used_at: When the app last got an access token by it.
        until: When it ends, if the app does not come back.
    """

    grant_id: str
    client_id: str
    scope: str
    granted_at: float
    used_at: float
    until: float


@dataclass(frozen=True, slots=True)
class GrantRegister:
    """Keeps what people have granted."""

    register: RegisterStore
    revocations: Revocations
    settings: SmartSettings
    clock: Callable[[], datetime] = field(repr=False)

    async def note(self, grant: Grant, lasting: bool) -> None:
        """Note that an app got an access token by a grant; durable when it returns.

        Args:
            lasting: Whether it got a refresh token, too.
        """
        now = self.clock()
        lives = self.settings.refresh_lifetime if lasting else self.settings.app_token_lifetime
        until = (now + lives).timestamp()
        if grant.online_until is not None:
            until = min(until, max(grant.online_until, now.timestamp()))
        noted = Granted(
            grant_id=grant.grant_id,
            client_id=grant.client_id,
            scope=grant.scope,
            granted_at=grant.granted_at,
            used_at=now.timestamp(),
            until=until,
        )
        if await self._save(noted, digest(self._subject(grant.username))):
            await self.of(grant.username)

    async def of(self, username: str) -> tuple[Granted, ...]:
        """Return what holds of what a person granted, the newest first; forget the rest."""
        subject, held = self._subject(username), []
        for entry in await self.register.of(_KIND, digest(subject)):
            granted = _unpack(entry.value)
            if await self._holds(granted, subject):
                held.append(granted)
            else:
                await self.register.drop(_KIND, entry.key)
        return tuple(sorted(held, key=lambda each: -each.granted_at))

    async def _holds(self, granted: Granted, subject: str) -> bool:
        if granted.until <= self.clock().timestamp():
            return False
        since = datetime.fromtimestamp(granted.granted_at, UTC)
        standing = Standing(granted.grant_id, subject, granted.client_id, since)
        try:
            await self.revocations.require_not_revoked(standing)
        except RevokedTokenError:
            return False
        return True

    async def _save(self, noted: Granted, owner: str) -> bool:
        """Keep the entry; tell whether it is a new one."""
        key, value = digest(noted.grant_id), _VERSION + json.dumps(asdict(noted)).encode()
        for _ in range(_TRIES):
            before = await self.register.find(_KIND, key)
            entry = before or Entry(key, owner, 0, b"")
            try:
                await self.register.save(_KIND, replace(entry, value=value))
            except ChangedError:  # the app has come twice at the same moment
                continue
            return before is None
        return False

    def _subject(self, username: str) -> str:
        return subject_of(self.settings.issuer, username)


def _unpack(stored: bytes) -> Granted:
    if stored[:1] != _VERSION:
        raise ValueError("unknown version of a stored grant")
    return Granted(**json.loads(stored[1:]))
