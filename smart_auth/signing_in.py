"""The sign-in pages: how a person shows who she is, step by step, for whichever page asked.

What is not finished waits in the store (``SignIn``), bound to the browser's cookie; the forms hold
only its handle.  With each factor that is shown the browser gets another cookie, so that nobody
who had planted the one before can go on in the person's place (CWE-384).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from smart_auth.assurance import PASSWORD_ALONE
from smart_auth.browser import Visitor, require_cookie, with_cookie
from smart_auth.entrance import Entrance
from smart_auth.errors import PageError, TemporarilyUnavailableError
from smart_auth.exchange import HttpRequest, HttpResponse, Pairs
from smart_auth.pages import problem_page, redirect, sign_in_page
from smart_auth.presence import Presence
from smart_auth.store import SignIn, digest
from smart_auth.users import User


@dataclass(frozen=True, slots=True)
class _Step:
    """One form of an unfinished sign-in, from the browser that it belongs to."""

    visitor: Visitor
    handle: str = field(repr=False)
    sign_in: SignIn
    form: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningIn:
    """``[issuer]/sign-in``."""

    presence: Presence
    entrance: Entrance
    clock: Callable[[], datetime] = field(repr=False)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a form of the sign-in pages; whoever opens the URL itself is sent to the account."""
        if request.method != "POST":
            return redirect(self.presence.settings.account_page)
        try:
            return await self._password(await self._step(request))
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)

    async def _step(self, request: HttpRequest) -> _Step:
        form = self.presence.posted(request, self.presence.settings.sign_in_page)
        visitor = require_cookie(request.cookies, self.presence.settings.secure)
        handle = form.get("request", "")
        if form.get("step") != "sign-in":
            raise PageError("The form is not one of ours.")
        sign_in = await self.presence.vault.find_sign_in(handle)
        if sign_in is None:
            raise PageError("This page has expired or was used already.")
        if sign_in.cookie != digest(visitor.cookie):
            raise PageError("This form does not belong to this browser.", status=403)
        return _Step(visitor, handle, sign_in, form)

    async def _password(self, step: _Step) -> HttpResponse:
        name, password = step.form.get("username", ""), step.form.get("password", "")
        try:
            person = await self.entrance.admit(name, password, self.clock())
        except TemporarilyUnavailableError as error:
            wait = (("Retry-After", str(error.retry_after)),)
            problem = f"Too many attempts. Wait {error.retry_after} seconds."
            return self._again(step, problem, 429, wait)
        if person is None:
            return self._again(step, "User name or password is wrong.", 403)
        return await self._finish(step, person)

    async def _finish(self, step: _Step, person: User) -> HttpResponse:
        """Open the session and send the browser back to the page that asked."""
        if await self.presence.vault.take_sign_in(step.handle) is None:
            raise PageError("This page has expired or was used already.")
        await self.presence.end(step.visitor)
        done = replace(step.sign_in, username=person.username, amr=("pwd",))
        vault = self.presence.vault
        cookie = await vault.open_session(done, person, PASSWORD_ALONE, self.clock())
        return redirect(done.back, with_cookie(cookie, self.presence.settings.secure).more)

    def _again(self, step: _Step, problem: str, status: int, more: Pairs = ()) -> HttpResponse:
        action = self.presence.settings.sign_in_page
        form = self.presence.form(step.visitor, action, step.handle)
        return sign_in_page(form, step.sign_in.why, problem, status, more)
