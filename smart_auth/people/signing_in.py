"""The sign-in pages: how a person shows who she is, step by step, for whichever page asked.

First the password, or a passkey, which is two factors in one.  After the password a second factor
is asked of everybody who has one; who has none sets one up here when the page that asked, or the
server, wants two.  What is not finished waits in the store (``SignIn``), bound to the browser's
cookie; the forms hold only its handle.  With each factor that is shown the browser gets another
cookie, so that nobody who had planted the one before can go on in the person's place (CWE-384).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from smart_auth.errors import ChangedError, PageError, TemporarilyUnavailableError
from smart_auth.exchange import HttpRequest, HttpResponse, Pairs
from smart_auth.pages.factor_pages import (
    Shown,
    code_app_page,
    recovery_codes_page,
    second_factor_page,
    set_up_page,
)
from smart_auth.pages.rendering import problem_page, redirect, sign_in_page
from smart_auth.people.assurance import PASSKEY_AMR, PASSWORD_ALONE, TWO_FACTORS, reaches
from smart_auth.people.browser import Visitor, require_cookie, with_cookie
from smart_auth.people.entrance import Entrance
from smart_auth.people.factors import Factors
from smart_auth.people.one_time_codes import WrongCodeError, setup_text
from smart_auth.people.outside import Outside
from smart_auth.people.passkeys import PasskeyError
from smart_auth.people.presence import Presence
from smart_auth.people.qr_code import svg_of
from smart_auth.people.users import User
from smart_auth.store import SignIn, digest

_WRONG = "User name or password is wrong."
_REFUSED = "That passkey was not accepted. Try again."
_WRONG_CODE = "That code is not right, or was used already. Wait for the next one."


@dataclass(frozen=True, slots=True)
class _Step:
    """One form of an unfinished sign-in, from the browser that it belongs to.

    Attributes:
        person: Who has shown a first factor, if anybody has.
    """

    visitor: Visitor
    handle: str = field(repr=False)
    sign_in: SignIn
    person: User | None
    form: dict[str, str] = field(repr=False)

    @property
    def answer(self) -> tuple[str, str]:
        """The challenge, and what the browser answers to it."""
        return self.form.get("challenge", ""), self.form.get("credential", "")


@dataclass(frozen=True, slots=True)
class SigningIn:
    """``[issuer]/sign-in``."""

    presence: Presence
    entrance: Entrance
    factors: Factors
    outside: Outside | None
    clock: Callable[[], datetime] = field(repr=False)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a form of the sign-in pages; whoever opens the URL itself is sent to the account."""
        if request.method != "POST":
            return redirect(self.presence.settings.account_page)
        try:
            step = await self._step(request)
            return await self._taken(step)(step)
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)
        except ChangedError:
            return problem_page("This was done elsewhere at the same moment. Begin again.", 409)

    async def away(self, request: HttpRequest) -> HttpResponse:
        """Answer ``GET [issuer]/outside``: send a browser to the outside provider, or take it back."""
        try:
            return await self._way(request, self._provider())
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)

    def _provider(self) -> Outside:
        if self.outside is None:
            raise PageError("There is no such page.", status=404)
        return self.outside

    async def _way(self, request: HttpRequest, outside: Outside) -> HttpResponse:
        """Send the browser to the provider, or note the factor that it comes back with."""
        visitor = require_cookie(request.cookies, self.presence.settings.secure)
        handle = dict(request.query).get("request")
        if handle is not None:
            step = await self._unfinished(visitor, handle, {})
            return redirect(await outside.begin(visitor, step.handle))
        arrival = await outside.arrive(request, visitor)
        step = await self._unfinished(visitor, arrival.sign_in, {})
        if step.person not in (None, arrival.person):
            raise PageError("Somebody else has begun to sign in here. Begin again.", status=403)
        return await self._shown(replace(step, person=arrival.person), arrival.amr)

    async def _step(self, request: HttpRequest) -> _Step:
        form = self.presence.posted(request, self.presence.settings.sign_in_page)
        visitor = require_cookie(request.cookies, self.presence.settings.secure)
        return await self._unfinished(visitor, form.get("request", ""), form)

    async def _unfinished(self, visitor: Visitor, handle: str, form: dict[str, str]) -> _Step:
        sign_in = await self.presence.vault.find_sign_in(handle)
        if sign_in is None:
            raise PageError("This page has expired or was used already.")
        if sign_in.cookie != digest(visitor.cookie):
            raise PageError("This form does not belong to this browser.", status=403)
        person = sign_in.username and self.presence.users.find(sign_in.username)
        return _Step(visitor, handle, sign_in, person or None, form)

    def _taken(self, step: _Step) -> Callable[[_Step], Awaitable[HttpResponse]]:
        """Return what a step does; most need a person who has shown a factor."""
        name = step.form.get("step", "")
        anybody = {"sign-in": self._password, "passkey": self._passkey, "restart": self._restart}
        somebody = {
            "code": self._code,
            "make-passkey": self._make_passkey,
            "code-app": self._code_app,
            "confirm-code-app": self._confirm_code_app,
            "back": self._go_on,
            "finish": self._go_on,
        }
        steps = anybody if step.person is None else anybody | somebody
        if name not in steps:
            raise PageError("The form is not one of ours.")
        return steps[name]

    async def _restart(self, step: _Step) -> HttpResponse:
        fresh = replace(step.sign_in, username=None, amr=())
        await self.presence.vault.keep_sign_in(step.handle, fresh)
        return await self._first_page(replace(step, sign_in=fresh, person=None))

    async def _password(self, step: _Step) -> HttpResponse:
        name, password = step.form.get("username", ""), step.form.get("password", "")
        try:
            person = await self.entrance.admit(name, password, self.clock())
        except TemporarilyUnavailableError as error:
            return await self._first_page(step, *_too_many(error))
        if person is None:
            return await self._first_page(step, _WRONG, 403)
        return await self._shown(replace(step, person=person), ("pwd",))

    async def _passkey(self, step: _Step) -> HttpResponse:
        try:
            username = await self.factors.passkeys.show(
                step.visitor.cookie, step.answer, self.clock()
            )
        except PasskeyError:
            return await self._again(step, _REFUSED, 403)
        person = self.presence.users.find(username)
        if person is None or (step.person is not None and step.person != person):
            return await self._again(step, _REFUSED, 403)
        return await self._shown(replace(step, person=person), PASSKEY_AMR)

    async def _code(self, step: _Step) -> HttpResponse:
        try:
            await self.factors.accept_code(_known(step), step.form.get("code", ""))
        except TemporarilyUnavailableError as error:
            return await self._again(step, *_too_many(error))
        except WrongCodeError:
            return await self._again(step, _WRONG_CODE, 403)
        return await self._shown(step, ("otp", "mfa"))

    async def _code_app(self, step: _Step) -> HttpResponse:
        await self._require_none(step)
        owner = self.factors.owner(_known(step))
        await self.factors.code_apps.begin(owner, step.visitor.cookie, self.clock())
        return await self._code_app_page(step)

    async def _confirm_code_app(self, step: _Step) -> HttpResponse:
        await self._require_none(step)
        person, cookie = _known(step), step.visitor.cookie
        try:
            codes = await self.factors.confirm_code_app(person, cookie, step.form.get("code", ""))
        except WrongCodeError:
            return await self._code_app_page(step, _WRONG_CODE, 403)
        return await self._enrolled(step, ("otp", "mfa"), codes)

    async def _make_passkey(self, step: _Step) -> HttpResponse:
        await self._require_none(step)
        person, cookie, name = _known(step), step.visitor.cookie, step.form.get("name", "")
        try:
            codes = await self.factors.make_passkey(person, cookie, step.answer, name)
        except PasskeyError:
            return await self._again(step, _REFUSED, 403)
        return await self._enrolled(step, PASSKEY_AMR, codes)

    async def _require_none(self, step: _Step) -> None:
        """Only who has no second factor sets one up here: the password alone gives no second one."""
        if (await self.factors.held(_known(step))).count:
            raise PageError("You have a second step already.", status=403)

    async def _enrolled(
        self, step: _Step, amr: tuple[str, ...], codes: tuple[str, ...]
    ) -> HttpResponse:
        """Show the recovery codes, once, before the sign-in is finished."""
        if not codes:
            return await self._shown(step, amr)
        renewed = await self._renewed(step, amr)
        shown = recovery_codes_page(self._on(renewed), codes)
        return replace(shown, person=_known(renewed).username)

    async def _shown(self, step: _Step, amr: tuple[str, ...]) -> HttpResponse:
        renewed = await self._renewed(step, amr)
        return replace(await self._go_on(renewed), person=_known(renewed).username)

    async def _renewed(self, step: _Step, amr: tuple[str, ...]) -> _Step:
        """Note a factor that was shown, and give the browser another cookie."""
        await self.presence.end(step.visitor)
        visitor = self.presence.renewed()
        known = tuple(dict.fromkeys((*step.sign_in.amr, *amr)))
        name, cookie = _known(step).username, digest(visitor.cookie)
        sign_in = replace(step.sign_in, cookie=cookie, username=name, amr=known)
        if await self.presence.vault.take_sign_in(step.handle) is None:
            raise PageError("This page has expired or was used already.")
        await self.presence.vault.keep_sign_in(step.handle, sign_in)
        return replace(step, visitor=visitor, sign_in=sign_in)

    async def _go_on(self, step: _Step) -> HttpResponse:
        """Show the page that is needed next, or finish."""
        if "mfa" in step.sign_in.amr:
            return await self._finish(step, TWO_FACTORS)
        held = await self.factors.held(_known(step))
        wanted = step.sign_in.acr, self.presence.settings.least_acr
        if held.count or not all(reaches(PASSWORD_ALONE, each) for each in wanted):
            return await self._again(step)
        return await self._finish(step, PASSWORD_ALONE)

    async def _finish(self, step: _Step, acr: str) -> HttpResponse:
        """Open the session and send the browser back to the page that asked."""
        if await self.presence.vault.take_sign_in(step.handle) is None:
            raise PageError("This page has expired or was used already.")
        done, vault = step.sign_in, self.presence.vault
        cookie = await vault.open_session(done, _known(step), acr, self.clock())
        return redirect(done.back, with_cookie(cookie, self.presence.settings.secure).more)

    async def _again(
        self, step: _Step, problem: str | None = None, status: int = 200, more: Pairs = ()
    ) -> HttpResponse:
        """Show the page of the step that the sign-in has come to."""
        if step.person is None:
            return await self._first_page(step, problem, status, more)
        person, shown = step.person, self._on(step, problem, status, more)
        held, owner = await self.factors.held(person), self.factors.owner(person)
        passkeys, cookie, now = self.factors.passkeys, step.visitor.cookie, self.clock()
        if held.count:
            ceremony = await passkeys.to_show(cookie, now, owner) if held.passkeys else None
            return second_factor_page(shown, person.name, held, ceremony)
        able = self.presence.settings.has_passkeys
        making = await passkeys.to_make(person, owner, cookie, now) if able else None
        return set_up_page(shown, person.name, making)

    async def _first_page(
        self, step: _Step, problem: str | None = None, status: int = 200, more: Pairs = ()
    ) -> HttpResponse:
        shown = self._on(step, problem, status, more)
        ceremony = await self.presence.ceremony(step.visitor)
        elsewhere = self.presence.settings.elsewhere(step.handle)
        why = step.sign_in.why
        return sign_in_page(shown.form, why, problem, status, shown.more, ceremony, elsewhere)

    async def _code_app_page(
        self, step: _Step, problem: str | None = None, status: int = 200
    ) -> HttpResponse:
        person = _known(step)
        secret = await self.factors.code_apps.waiting(
            self.factors.owner(person), step.visitor.cookie
        )
        if secret is None:
            return await self._again(step, "That took too long. Begin again.", 403)
        setup = setup_text(secret, person.username, self.presence.settings.host)
        return code_app_page(self._on(step, problem, status), secret, setup, svg_of(setup))

    def _on(
        self, step: _Step, problem: str | None = None, status: int = 200, more: Pairs = ()
    ) -> Shown:
        action = self.presence.settings.sign_in_page
        form = self.presence.form(step.visitor, action, step.handle)
        return Shown(form, problem, status, (*step.visitor.more, *more))


def _known(step: _Step) -> User:
    if step.person is None:
        raise PageError("This page has expired or was used already.")
    return step.person


def _too_many(error: TemporarilyUnavailableError) -> tuple[str, int, Pairs]:
    wait = (("Retry-After", str(error.retry_after)),)
    return f"Too many attempts. Wait {error.retry_after} seconds.", 429, wait
