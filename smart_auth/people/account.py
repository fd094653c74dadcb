"""The account page: a person sees how she signs in, adds passkeys and a code app, removes them.

Whoever comes here has signed in a short while ago, with two factors if she has two: a browser that
was left open changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from smart_auth.errors import ChangedError, PageError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.pages.factor_pages import Shown, account_page, code_app_page, recovery_codes_page
from smart_auth.pages.rendering import problem_page
from smart_auth.people.assurance import PASSKEY_AMR, PASSWORD_ALONE, TWO_FACTORS
from smart_auth.people.browser import Visitor, with_cookie
from smart_auth.people.factors import Factors
from smart_auth.people.one_time_codes import WrongCodeError, setup_text
from smart_auth.people.passkeys import PasskeyError
from smart_auth.people.presence import Presence, Wanted
from smart_auth.people.qr_code import svg_of
from smart_auth.people.users import User

_WHY = "Sign in to see your account."
_FRESH = timedelta(minutes=10)  # a sign-in that opens the page
_WORKING = timedelta(minutes=20)  # a sign-in that still changes something, on a page opened in time


@dataclass(frozen=True, slots=True)
class _Visit:
    """A person before the page, and the form that was sent, if any."""

    visitor: Visitor
    person: User
    form: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """``[issuer]/account``."""

    presence: Presence
    factors: Factors
    clock: Callable[[], datetime] = field(repr=False)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer GET, or a form of the page."""
        try:
            return await self._answer(request)
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)
        except ChangedError:
            return problem_page("This was done elsewhere at the same moment. Begin again.", 409)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        visitor, here = self.presence.visitor(request), self.presence.settings.account_page
        posted = request.method == "POST"
        form = self.presence.posted(request, here) if posted else {}
        if form.get("step") == "sign-out":
            await self.presence.end(visitor)
        since = self.clock() - (_WORKING if posted else _FRESH)
        wanted = Wanted(_WHY, PASSWORD_ALONE, int(since.timestamp()))
        present = await self.presence.find(visitor, wanted)
        if present is None:
            return await self.presence.ask(visitor, wanted, here)
        held = await self.factors.held(present.person)
        if held.count and present.acr != TWO_FACTORS:
            return await self.presence.ask(visitor, Wanted(_WHY, TWO_FACTORS, wanted.since), here)
        visit = _Visit(visitor, present.person, form)
        return await (self._taken(form)(visit) if posted else self._page(visit))

    def _taken(self, form: dict[str, str]) -> Callable[[_Visit], Awaitable[HttpResponse]]:
        steps = {
            "make-passkey": self._make_passkey,
            "drop-passkey": self._drop_passkey,
            "code-app": self._code_app,
            "confirm-code-app": self._confirm_code_app,
            "drop-code-app": self._drop_code_app,
            "recovery-codes": self._recovery_codes,
            "back": self._page,
            "finish": self._page,
        }
        if form.get("step") not in steps:
            raise PageError("The form is not one of ours.")
        return steps[form["step"]]

    async def _make_passkey(self, visit: _Visit) -> HttpResponse:
        answer = visit.form.get("challenge", ""), visit.form.get("credential", "")
        name, cookie = visit.form.get("name", ""), visit.visitor.cookie
        try:
            codes = await self.factors.make_passkey(visit.person, cookie, answer, name)
        except PasskeyError:
            return await self._page(visit, "That passkey was not accepted. Try again.")
        return await self._added(visit, PASSKEY_AMR, codes)

    async def _drop_passkey(self, visit: _Visit) -> HttpResponse:
        await self._require_another(visit)
        owner = self.factors.owner(visit.person)
        await self.factors.passkeys.drop(owner, visit.form.get("passkey", ""))
        return await self._page(visit)

    async def _code_app(self, visit: _Visit) -> HttpResponse:
        owner = self.factors.owner(visit.person)
        await self.factors.code_apps.begin(owner, visit.visitor.cookie, self.clock())
        return await self._code_app_page(visit)

    async def _confirm_code_app(self, visit: _Visit) -> HttpResponse:
        code, cookie = visit.form.get("code", ""), visit.visitor.cookie
        try:
            codes = await self.factors.confirm_code_app(visit.person, cookie, code)
        except WrongCodeError:
            problem = "That code is not right, or was used already. Wait for the next one."
            return await self._code_app_page(visit, problem)
        return await self._added(visit, ("otp", "mfa"), codes)

    async def _added(
        self, visit: _Visit, amr: tuple[str, ...], codes: tuple[str, ...]
    ) -> HttpResponse:
        """Go on in a session of two factors: the person has shown the new one just now."""
        vault, secure = self.presence.vault, self.presence.settings.secure
        cookie = await vault.raise_session(visit.visitor.cookie, amr, TWO_FACTORS)
        if cookie is None:
            raise PageError("You were signed out meanwhile.", status=403)
        raised = replace(visit, visitor=with_cookie(cookie, secure))
        return self._codes(raised, codes) if codes else await self._page(raised)

    async def _drop_code_app(self, visit: _Visit) -> HttpResponse:
        await self._require_another(visit)
        await self.factors.code_apps.drop(self.factors.owner(visit.person))
        return await self._page(visit)

    async def _recovery_codes(self, visit: _Visit) -> HttpResponse:
        if not (await self.factors.held(visit.person)).count:
            raise PageError("Set up a passkey or a code app first.")
        owner = self.factors.owner(visit.person)
        return self._codes(visit, await self.factors.recovery.renew(owner))

    async def _require_another(self, visit: _Visit) -> None:
        """Require another factor beside the one to be removed, where everybody must have one."""
        if self.presence.settings.least_acr == PASSWORD_ALONE:
            return
        if (await self.factors.held(visit.person)).count < 2:
            raise PageError("Set up another passkey or code app first: you need one to sign in.")

    async def _page(self, visit: _Visit, problem: str | None = None) -> HttpResponse:
        person, owner = visit.person, self.factors.owner(visit.person)
        held, ceremony = await self.factors.held(person), None
        if self.presence.settings.has_passkeys:
            cookie, now = visit.visitor.cookie, self.clock()
            ceremony = await self.factors.passkeys.to_make(person, owner, cookie, now)
        return account_page(self._on(visit, problem), person.name, held, ceremony)

    async def _code_app_page(self, visit: _Visit, problem: str | None = None) -> HttpResponse:
        owner, cookie = self.factors.owner(visit.person), visit.visitor.cookie
        secret = await self.factors.code_apps.waiting(owner, cookie)
        if secret is None:
            return await self._page(visit, "That took too long. Begin again.")
        setup = setup_text(secret, visit.person.username, self.presence.settings.host)
        return code_app_page(self._on(visit, problem), secret, setup, svg_of(setup))

    def _codes(self, visit: _Visit, codes: tuple[str, ...]) -> HttpResponse:
        return recovery_codes_page(self._on(visit, None), codes)

    def _on(self, visit: _Visit, problem: str | None) -> Shown:
        form = self.presence.form(visit.visitor, self.presence.settings.account_page)
        return Shown(form, problem, 403 if problem else 200, visit.visitor.more)
