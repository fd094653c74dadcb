"""Who is signed in, in this browser: what every page of ours asks first.

A page that is for people is written so::

    visitor = presence.visitor(request)
    present = await presence.find(visitor, wanted)
    if present is None:
        return await presence.ask(visitor, wanted, back=settings.account_page)

``wanted`` is a ``Wanted``: how surely and how lately the person must have signed in.  ``ask``
shows the sign-in pages (signing_in.py); when these are done, the browser is sent to ``back``, and
``find`` gives the person there.  ``back`` must be a URL of ours, made by us: never what a request
brought.  What the page must not forget meanwhile it keeps in the store, bound to
``digest(visitor.cookie)``; the cookie is another one after signing in, and then
``Present.before`` is the digest of the one before (see authorize.py, ``_resume``).

Its forms carry ``presence.form(visitor, action)`` (hidden.html), and whatever is posted goes
through ``presence.posted(request, action)`` first, which is the defence against CSRF::

    if request.method == "POST":
        form = presence.posted(request, settings.account_page)

The answer must carry ``visitor.more``.  Errors are PageError: answer with ``problem_page``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from smart_auth.authorization.request import read_parameters
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.pages.rendering import PageForm, sign_in_page
from smart_auth.people.assurance import PASSWORD_ALONE, reaches
from smart_auth.people.browser import (
    Visitor,
    csrf_token,
    read_cookie,
    require_cookie,
    require_csrf_token,
    with_cookie,
)
from smart_auth.people.passkeys import Ceremony, Passkeys
from smart_auth.people.users import User, UserRegistry
from smart_auth.settings import SmartSettings
from smart_auth.store import SignIn, digest
from smart_auth.tokens.issuing import random_text
from smart_auth.vault import Vault


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page wants to know of a person.

    Attributes:
        why: What the sign-in page says, a sentence in plain text.
        acr: How surely, one of ``assurance.LEVELS``.
        since: When the sign-in must have been at the earliest, seconds since the epoch; None for
            any that has not ended.
    """

    why: str
    acr: str = PASSWORD_ALONE
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """A person who is signed in, in this browser, surely and lately enough.

    Attributes:
        auth_time: When, seconds since the epoch; so is ``ends``, when the session ends.
        acr: How surely, one of ``assurance.LEVELS``.
        amr: With what (RFC 8176).
        before: Digest of the cookie that the browser had when the sign-in began.
    """

    person: User
    auth_time: int
    ends: int
    acr: str
    amr: tuple[str, ...]
    before: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Presence:
    """Knows who is signed in."""

    settings: SmartSettings
    users: UserRegistry
    vault: Vault
    passkeys: Passkeys
    clock: Callable[[], datetime] = field(repr=False)

    def visitor(self, request: HttpRequest) -> Visitor:
        """Return the browser that sent a request; one that is new gets a cookie."""
        cookie = read_cookie(request.cookies, self.settings.secure)
        return self.renewed() if cookie is None else Visitor(cookie)

    def renewed(self) -> Visitor:
        """Return the browser with a new cookie, which nobody can have known before."""
        return with_cookie(random_text(self.vault.random_bytes), self.settings.secure)

    async def find(self, visitor: Visitor, wanted: Wanted) -> Present | None:
        """Return who is signed in, or None when nobody is, or not surely or lately enough."""
        session = await self.vault.find_session(visitor.cookie)
        person = None if session is None else self.users.find(session.username)
        if session is None or person is None:
            return None
        if self.users.has_ended(person.username, session.auth_time):
            return None
        if not all(reaches(session.acr, each) for each in (wanted.acr, self.settings.least_acr)):
            return None
        if wanted.since is not None and session.auth_time < wanted.since:
            return None
        times = session.auth_time, session.ends
        return Present(person, *times, session.acr, session.amr, session.before)

    async def ask(self, visitor: Visitor, wanted: Wanted, back: str) -> HttpResponse:
        """Return the sign-in page; whoever signs in there is sent to ``back``, a URL of ours."""
        cookie, now = digest(visitor.cookie), int(self.clock().timestamp())
        asked = SignIn(cookie, cookie, now, back, wanted.why, wanted.acr, wanted.since)
        handle = random_text(self.vault.random_bytes)
        await self.vault.keep_sign_in(handle, asked)
        form = self.form(visitor, self.settings.sign_in_page, handle)
        ceremony = await self.ceremony(visitor)
        elsewhere = self.settings.elsewhere(handle)
        return sign_in_page(form, asked.why, None, 200, visitor.more, ceremony, elsewhere)

    async def ceremony(self, visitor: Visitor) -> Ceremony | None:
        """Return what a page needs to ask for a passkey, where browsers have passkeys for us."""
        if not self.settings.has_passkeys:
            return None
        return await self.passkeys.to_show(visitor.cookie, self.clock())

    async def end(self, visitor: Visitor) -> None:
        """Sign the person out."""
        await self.vault.close_session(visitor.cookie)

    def form(self, visitor: Visitor, action: str, handle: str = "") -> PageForm:
        """Return what every form of a page carries.

        Args:
            action: URL of ours that it is posted to.
            handle: Of what the page keeps in the store, if anything.
        """
        return PageForm(action, handle, csrf_token(visitor.cookie, f"{action}\n{handle}"))

    def posted(
        self, request: HttpRequest, action: str, repeated: tuple[str, ...] = ()
    ) -> dict[str, str]:
        """Return the fields of a form that a page of ours showed to this browser.

        Args:
            action: As given to ``form``.
            repeated: Fields that may occur more than once; they are not in the answer.

        Raises:
            PageError: None did (403), or the form is malformed.
        """
        form = read_parameters(tuple(pair for pair in request.form if pair[0] not in repeated))
        cookie = require_cookie(request.cookies, self.settings.secure).cookie
        page = f"{action}\n{form.get('request', '')}"
        require_csrf_token(cookie, page, form.get("csrf", ""))
        return form
