"""Codes, refresh tokens, sessions, launches and pending pages: how long each is kept, and how
often each may be used.

A code or refresh token is taken, so it works once (RFC 6749, 4.1.2; RFC 9700, 2.2.2).  Beside it
lies a note of its grant that outlives it: when it comes a second time, that grant is revoked, and
with it everything it gave.  The note is written first, so that no moment is without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from smart_auth.errors import InvalidGrantError, RevokedTokenError
from smart_auth.people.users import User
from smart_auth.settings import SmartSettings
from smart_auth.store import (
    Grant,
    GrantStore,
    IssuedCode,
    Launch,
    Pending,
    Session,
    SignIn,
    digest,
    pack,
    unpack_code,
    unpack_grant,
    unpack_launch,
    unpack_pending,
    unpack_session,
    unpack_sign_in,
)
from smart_auth.tokens.bearer import subject_of
from smart_auth.tokens.issuing import RandomBytes, random_text
from smart_auth.tokens.revocation import Revocations, Standing


@dataclass(frozen=True, slots=True)
class Vault:
    """Keeps this room's records in a GrantStore."""

    store: GrantStore
    settings: SmartSettings
    revocations: Revocations
    random_bytes: RandomBytes = field(repr=False)

    async def remember_assertion(self, client_id: str, jti: str, until: datetime) -> None:
        """Note an assertion's ``jti``.

        Raises:
            AlreadyThereError: It was noted before (RFC 7523, 3, item 7).
        """
        await self.store.add("jti", digest(f"{client_id}\n{jti}"), b"\x01", until)

    async def issue_code(self, issued: IssuedCode, now: datetime) -> str:
        """Return a new authorization code."""
        code = random_text(self.random_bytes)
        noted = now + self.settings.app_token_lifetime + self.settings.code_lifetime
        await self._note("code-note", code, issued.grant, noted)
        expires = now + self.settings.code_lifetime
        await self.store.put("code", digest(code), pack(issued), expires)
        return code

    async def redeem_code(self, code: str) -> IssuedCode:
        """Return what a code stands for, once.

        Raises:
            InvalidGrantError: Unknown, expired, revoked or redeemed before; if redeemed before,
                everything that it gave is revoked now.
        """
        stored = await self.store.take("code", digest(code))
        if stored is None:
            await self._punish("code-note", code)
            raise InvalidGrantError("the code is unknown, expired or was used before")
        issued = unpack_code(stored)
        await self._living(issued.grant)
        return issued

    async def issue_refresh(self, grant: Grant, now: datetime) -> str:
        """Return a new refresh token for a grant."""
        token = random_text(self.random_bytes)
        await self.prolong_refresh(token, grant, now)
        return token

    async def prolong_refresh(self, token: str, grant: Grant, now: datetime) -> None:
        """Keep a refresh token of a grant as long as one may live unused."""
        expires = now + self.settings.refresh_lifetime
        if grant.online_until is not None:
            expires = min(expires, datetime.fromtimestamp(grant.online_until, UTC))
        noted = now + self.settings.refresh_lifetime
        await self._note("refresh-note", token, grant, noted)
        await self.store.put("refresh", digest(token), pack(grant), expires)

    async def find_refresh(self, token: str) -> Grant:
        """Return the grant of a refresh token without using it up.

        Raises:
            InvalidGrantError: Unknown, expired, revoked or used before; if used before, the whole
                family is revoked now (RFC 9700, 4.14.2).
        """
        stored = await self.store.find("refresh", digest(token))
        if stored is None:
            await self._punish("refresh-note", token)
            raise InvalidGrantError("the refresh token is unknown, expired or was used before")
        return await self._living(unpack_grant(stored))

    async def use_refresh(self, token: str) -> Grant:
        """Return the grant of a refresh token and use the token up.

        Raises:
            InvalidGrantError: As ``find_refresh``; of two uses at the same moment one is a reuse.
        """
        stored = await self.store.take("refresh", digest(token))
        if stored is None:
            await self._punish("refresh-note", token)
            raise InvalidGrantError("the refresh token is unknown, expired or was used before")
        return await self._living(unpack_grant(stored))

    async def peek_refresh(self, token: str) -> Grant | None:
        """Return the grant of a living refresh token, None otherwise; nothing is punished."""
        stored = await self.store.find("refresh", digest(token))
        if stored is None:
            return None
        try:
            return await self._living(unpack_grant(stored))
        except InvalidGrantError:
            return None

    async def open_session(self, done: SignIn, person: User, acr: str, now: datetime) -> str:
        """Return a new session id for a person who has just signed in."""
        identifier = random_text(self.random_bytes)
        ends = now + self.settings.session_lifetime
        times = int(now.timestamp()), int(ends.timestamp())
        session = Session(person.username, *times, acr, done.amr, done.before)
        await self.store.put("session", digest(identifier), pack(session), ends)
        return identifier

    async def raise_session(self, identifier: str, amr: tuple[str, ...], acr: str) -> str | None:
        """Return a new id of a session whose person has shown more just now; it ends as before.

        None when there is no such session any more.
        """
        stored = await self.store.take("session", digest(identifier))
        if stored is None:
            return None
        before, raised = unpack_session(stored), random_text(self.random_bytes)
        known = tuple(dict.fromkeys((*before.amr, *amr)))
        session = replace(before, acr=acr, amr=known, before=digest(identifier))
        ends = datetime.fromtimestamp(before.ends, UTC)
        await self.store.put("session", digest(raised), pack(session), ends)
        return raised

    async def find_session(self, identifier: str) -> Session | None:
        """Return the session of a cookie, or None."""
        stored = await self.store.find("session", digest(identifier))
        return None if stored is None else unpack_session(stored)

    async def close_session(self, identifier: str) -> None:
        """End a session."""
        await self.store.drop("session", digest(identifier))

    async def keep_sign_in(self, handle: str, sign_in: SignIn) -> None:
        """Keep an unfinished sign-in; going on with it does not prolong it."""
        await self._keep_page("sign-in", handle, sign_in)

    async def find_sign_in(self, handle: str) -> SignIn | None:
        """Return an unfinished sign-in, or None."""
        stored = await self.store.find("sign-in", digest(handle))
        return None if stored is None else unpack_sign_in(stored)

    async def take_sign_in(self, handle: str) -> SignIn | None:
        """Return an unfinished sign-in, once: it is finished once."""
        stored = await self.store.take("sign-in", digest(handle))
        return None if stored is None else unpack_sign_in(stored)

    async def issue_launch(self, launch: Launch, now: datetime) -> str:
        """Return a launch handle."""
        handle = random_text(self.random_bytes)
        expires = now + self.settings.launch_lifetime
        await self.store.put("launch", digest(handle), pack(launch), expires)
        return handle

    async def find_launch(self, handle: str) -> Launch | None:
        """Return what a launch handle stands for, or None."""
        stored = await self.store.find("launch", digest(handle))
        return None if stored is None else unpack_launch(stored)

    async def take_launch(self, handle: str) -> Launch | None:
        """Return what a launch handle stands for, once."""
        stored = await self.store.take("launch", digest(handle))
        return None if stored is None else unpack_launch(stored)

    async def keep_pending(self, handle: str, pending: Pending) -> None:
        """Keep a pending authorization request; looking at it does not prolong it."""
        await self._keep_page("pending", handle, pending)

    async def find_pending(self, handle: str) -> Pending | None:
        """Return a pending authorization request, or None."""
        stored = await self.store.find("pending", digest(handle))
        return None if stored is None else unpack_pending(stored)

    async def take_pending(self, handle: str) -> Pending | None:
        """Return a pending authorization request, once: a decision is made once."""
        stored = await self.store.take("pending", digest(handle))
        return None if stored is None else unpack_pending(stored)

    async def _keep_page(self, kind: str, handle: str, page: SignIn | Pending) -> None:
        started = datetime.fromtimestamp(page.asked_at, UTC)
        expires = started + self.settings.page_lifetime + timedelta(seconds=1)
        await self.store.put(kind, digest(handle), pack(page), expires)

    async def _living(self, grant: Grant) -> Grant:
        subject = subject_of(self.settings.issuer, grant.username)
        granted = datetime.fromtimestamp(grant.granted_at, UTC)
        standing = Standing(grant.grant_id, subject, grant.client_id, granted)
        try:
            await self.revocations.require_not_revoked(standing)
        except RevokedTokenError as error:
            raise InvalidGrantError("the grant was revoked") from error
        return grant

    async def _note(self, kind: str, secret: str, grant: Grant, expires: datetime) -> None:
        await self.store.put(kind, digest(secret), grant.grant_id.encode(), expires)

    async def _punish(self, kind: str, secret: str) -> None:
        grant_id = await self.store.find(kind, digest(secret))
        if grant_id is not None:
            await self.revocations.revoke(grant_id.decode())
