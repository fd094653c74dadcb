"""The authorization endpoint (RFC 6749, 3.1; SMART App Launch 2.2, "Obtain authorization code").

An app's request begins it; then the person sees up to three pages, each a form that is posted to
the same URL with a ``step``: sign-in, patient, decide (and sign-out).  What was asked waits in the
store, bound to the browser's cookie; the forms hold only its handle, so nothing can be changed on
the way.  A decision is made once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from smart_auth.authorization_request import (
    code_location,
    error_location,
    identify_client,
    read_parameters,
    read_request,
)
from smart_auth.browser import csrf_token, read_cookie, require_csrf_token, set_cookie
from smart_auth.clients import Client, ClientRegistry
from smart_auth.errors import PageError, RedirectError, TemporarilyUnavailableError
from smart_auth.exchange import HttpRequest, HttpResponse, Pairs
from smart_auth.issuing import random_text
from smart_auth.launch import PatientDirectory
from smart_auth.pages import (
    AuthorizeView,
    PageForm,
    authorize_page,
    patient_page,
    problem_page,
    redirect,
    sign_in_page,
)
from smart_auth.pushed_requests import resolve
from smart_auth.scopes import ScopeSet, narrow, parse_scopes
from smart_auth.settings import SmartSettings
from smart_auth.signing_in import Entrance
from smart_auth.store import AuthorizationRequest, Grant, IssuedCode, Launch, Pending, digest
from smart_auth.users import User, UserRegistry
from smart_auth.vault import Vault
from smart_auth.wording import choices_of, duration_of, facts_of, offered_values

_MOST_PATIENTS = 50
_STEPS = ("sign-in", "patient", "decide", "sign-out")


@dataclass(frozen=True, slots=True)
class _Visit:
    """One look of one browser at one pending request.

    Attributes:
        cookie: The browser's identifier.
        more: Headers that the answer must carry: a new cookie.
    """

    cookie: str = field(repr=False)
    handle: str = field(repr=False)
    pending: Pending
    more: Pairs = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class _Present:
    """A person who is signed in, in this browser, recently enough."""

    person: User
    auth_time: int
    ends: int


@dataclass(frozen=True, slots=True)
class Authorization:
    """The authorization endpoint."""

    settings: SmartSettings
    clients: ClientRegistry
    users: UserRegistry
    vault: Vault
    entrance: Entrance
    directory: PatientDirectory
    clock: Callable[[], datetime] = field(repr=False)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer GET or POST: an app's request, or a form of one of our pages."""
        try:
            if request.method == "POST" and any(name == "step" for name, _ in request.form):
                return await self._continue(request)
            return await self._begin(request)
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)

    async def _begin(self, request: HttpRequest) -> HttpResponse:
        brought = read_parameters(request.query + request.form)
        parameters = await resolve(brought, self.clients, self.vault)
        client = identify_client(parameters, self.clients)
        try:
            asked = read_request(parameters, client, self.settings)
            visit = await self._visit(request, asked)
            if "none" in parameters.get("prompt", "").split(" "):
                raise await self._cannot_be_silent(visit)
        except RedirectError as error:
            return self._refuse(parameters["redirect_uri"], parameters.get("state"), error)
        return await self._show(visit)

    async def _visit(self, request: HttpRequest, asked: AuthorizationRequest) -> _Visit:
        cookie = read_cookie(request.cookies, self.settings.secure)
        more: Pairs = ()
        if cookie is None:
            cookie = random_text(self.vault.random_bytes)
            more = set_cookie(cookie, self.settings.secure)
        launch = await self._launch(asked)
        pending = Pending(
            request=asked,
            session=digest(cookie),
            asked_at=int(self.clock().timestamp()),
            launch=launch,
            patient=launch.patient if launch else None,
            patient_label=launch.patient_label if launch else None,
        )
        handle = random_text(self.vault.random_bytes)
        await self.vault.keep_pending(handle, pending)
        return _Visit(cookie, handle, pending, more)

    async def _launch(self, asked: AuthorizationRequest) -> Launch | None:
        if asked.launch is None:
            return None
        launch = await self.vault.find_launch(asked.launch)
        if launch is None or launch.client_id != asked.client_id:
            raise RedirectError("invalid_request", "launch is unknown, expired or another app's")
        return launch

    async def _cannot_be_silent(self, visit: _Visit) -> RedirectError:
        """Return why ``prompt=none`` fails: a person always decides (OpenID Core, 3.1.2.6)."""
        if await self._present(visit) is None:
            return RedirectError("login_required", "nobody is signed in")
        return RedirectError("consent_required", "a person must decide")

    async def _continue(self, request: HttpRequest) -> HttpResponse:
        form = read_parameters(tuple(pair for pair in request.form if pair[0] != "scope"))
        visit = await self._revisit(request, form)
        step = form.get("step")
        if step == "sign-in":
            return await self._sign_in(visit, form)
        if step not in _STEPS:
            raise PageError("The form is not one of ours.")
        present = await self._present(visit)
        if step == "sign-out":
            await self.vault.close_session(visit.cookie)
            return self._sign_in_page(visit)
        if present is None:
            return self._sign_in_page(visit)
        if step == "patient":
            return await self._pick_patient(visit, present, form)
        picked = tuple(value for name, value in request.form if name == "scope")
        return await self._decide(visit, present, form.get("decision"), picked)

    async def _revisit(self, request: HttpRequest, form: dict[str, str]) -> _Visit:
        """Find the pending request of a form; the form must be from this browser."""
        handle = form.get("request", "")
        cookie = read_cookie(request.cookies, self.settings.secure)
        if cookie is None:
            raise PageError("This browser does not keep our cookie.", status=403)
        require_csrf_token(cookie, handle, form.get("csrf", ""))
        pending = await self.vault.find_pending(handle)
        if pending is None:
            raise PageError("This page has expired or was used already.")
        if pending.session != digest(cookie):
            raise PageError("This form does not belong to this browser.", status=403)
        return _Visit(cookie, handle, pending)

    async def _sign_in(self, visit: _Visit, form: dict[str, str]) -> HttpResponse:
        try:
            person = await self.entrance.admit(
                form.get("username", ""), form.get("password", ""), self.clock()
            )
        except TemporarilyUnavailableError as error:
            wait = (("Retry-After", str(error.retry_after)),)
            problem = f"Too many attempts. Wait {error.retry_after} seconds."
            return self._sign_in_page(visit, problem, 429, wait)
        if person is None:
            return self._sign_in_page(visit, "User name or password is wrong.", 403)
        await self.vault.close_session(visit.cookie)
        cookie = await self.vault.open_session(person.username, self.clock())
        pending = replace(visit.pending, session=digest(cookie))
        await self.vault.keep_pending(visit.handle, pending)
        more = set_cookie(cookie, self.settings.secure)
        return await self._show(_Visit(cookie, visit.handle, pending, more))

    async def _present(self, visit: _Visit) -> _Present | None:
        """Return who is signed in, or None when nobody is, or not recently enough."""
        session = await self.vault.find_session(visit.cookie)
        person = None if session is None else self.users.find(session.username)
        if session is None or person is None:
            return None
        oldest = visit.pending.request.max_age
        if oldest is not None and session.auth_time < visit.pending.asked_at - oldest:
            return None
        return _Present(person, session.auth_time, session.ends)

    async def _show(self, visit: _Visit) -> HttpResponse:
        """Show the next page that this request needs."""
        present = await self._present(visit)
        if present is None:
            return self._sign_in_page(visit)
        launch = visit.pending.launch
        if launch is not None and launch.username != present.person.username:
            raise PageError("This launch was made for somebody else.", status=403)
        if visit.pending.patient is None and self._needs_patient(visit.pending):
            return await self._choose_patient(visit, present, "")
        return self._authorize_page(visit, present)

    def _needs_patient(self, pending: Pending) -> bool:
        scopes = parse_scopes(pending.request.scope)
        levels = {scope.level for scope in scopes.resources}
        return "launch/patient" in scopes or "patient" in levels

    async def _choose_patient(self, visit: _Visit, present: _Present, search: str) -> HttpResponse:
        """Take a patient's own record; show anybody else the picker and note what it offers."""
        own = present.person.patient
        if own is not None:
            pending = replace(visit.pending, patient=own, patient_label=present.person.name)
            await self.vault.keep_pending(visit.handle, pending)
            return self._authorize_page(replace(visit, pending=pending), present)
        found = await self.directory.search(present.person, search)
        offered = tuple((reference, label) for reference, label in found[:_MOST_PATIENTS])
        pending = replace(visit.pending, offered=offered)
        await self.vault.keep_pending(visit.handle, pending)
        form, client = self._form(visit), self._client(pending)
        return patient_page(form, client.name, present.person.name, search, offered, visit.more)

    async def _pick_patient(
        self, visit: _Visit, present: _Present, form: dict[str, str]
    ) -> HttpResponse:
        picked = form.get("patient")
        if visit.pending.patient is not None:
            raise PageError("The patient was chosen already.")
        if picked is None:
            return await self._choose_patient(visit, present, form.get("search", ""))
        label = dict(visit.pending.offered).get(picked)
        if label is None:
            raise PageError("That patient was not offered.")
        pending = replace(visit.pending, patient=picked, patient_label=label)
        await self.vault.keep_pending(visit.handle, pending)
        return await self._show(replace(visit, pending=pending))

    async def _decide(
        self, visit: _Visit, present: _Present, decision: str | None, picked: tuple[str, ...]
    ) -> HttpResponse:
        launch = visit.pending.launch
        if launch is not None and launch.username != present.person.username:
            raise PageError("This launch was made for somebody else.", status=403)
        if visit.pending.patient is None and self._needs_patient(visit.pending):
            raise PageError("Choose a patient first.")
        if decision not in ("allow", "deny"):
            raise PageError("The form is not one of ours.")
        scopes = self._picked_scopes(visit.pending, picked)
        if await self.vault.take_pending(visit.handle) is None:
            raise PageError("This page has expired or was used already.")
        asked = visit.pending.request
        if decision == "deny" or not scopes:
            denied = RedirectError("access_denied", "the person did not allow it")
            return self._refuse(asked.redirect_uri, asked.state, denied)
        return await self._allow(visit.pending, present, scopes)

    async def _allow(self, pending: Pending, present: _Present, scopes: ScopeSet) -> HttpResponse:
        asked = pending.request
        if asked.launch is not None and await self.vault.take_launch(asked.launch) is None:
            error = RedirectError("invalid_request", "launch has expired or was used already")
            return self._refuse(asked.redirect_uri, asked.state, error)
        grant = self._grant(pending, present, scopes)
        issued = IssuedCode(
            grant, asked.redirect_uri, asked.code_challenge, asked.nonce, asked.dpop_jkt
        )
        code = await self.vault.issue_code(issued, self.clock())
        return redirect(code_location(asked, code, self.settings.issuer))

    def _grant(self, pending: Pending, present: _Present, scopes: ScopeSet) -> Grant:
        launch = pending.launch or Launch(pending.request.client_id, present.person.username)
        online = "online_access" in scopes and "offline_access" not in scopes
        return Grant(
            grant_id=random_text(self.vault.random_bytes),
            client_id=pending.request.client_id,
            username=present.person.username,
            scope=str(scopes),
            auth_time=present.auth_time,
            granted_at=self.clock().timestamp(),
            patient=pending.patient,
            encounter=launch.encounter,
            need_patient_banner=launch.need_patient_banner,
            intent=launch.intent,
            fhir_context=launch.fhir_context,
            online_until=present.ends if online else None,
        )

    def _picked_scopes(self, pending: Pending, picked: tuple[str, ...]) -> ScopeSet:
        """Return what was ticked, all of it offered, and the words that have no checkbox."""
        scopes = parse_scopes(pending.request.scope)
        if not set(picked) <= set(offered_values(choices_of(scopes))):
            raise PageError("The form holds a scope that was not offered.")
        chosen = parse_scopes(" ".join(picked))
        unticked = () if "offline_access" in picked else ("offline_access",)
        resources = narrow(ScopeSet(chosen.resources), ScopeSet(scopes.resources)).resources
        return ScopeSet(resources, scopes.without_words(*unticked).words)

    def _authorize_page(self, visit: _Visit, present: _Present) -> HttpResponse:
        scopes = parse_scopes(visit.pending.request.scope)
        settings = self.settings
        view = AuthorizeView(
            client_name=self._client(visit.pending).name,
            user_name=present.person.name,
            patient_label=visit.pending.patient_label or visit.pending.patient,
            choices=choices_of(scopes),
            facts=facts_of(scopes),
            duration=duration_of(
                scopes,
                settings.app_token_lifetime,
                settings.session_lifetime,
                settings.refresh_lifetime,
            ),
        )
        return authorize_page(self._form(visit), view, visit.more)

    def _sign_in_page(
        self, visit: _Visit, problem: str | None = None, status: int = 200, more: Pairs = ()
    ) -> HttpResponse:
        name = self._client(visit.pending).name
        return sign_in_page(self._form(visit), name, problem, status, (*visit.more, *more))

    def _form(self, visit: _Visit) -> PageForm:
        return PageForm(
            action=self.settings.authorization_endpoint,
            handle=visit.handle,
            csrf=csrf_token(visit.cookie, visit.handle),
            redirect_uri=visit.pending.request.redirect_uri,
        )

    def _client(self, pending: Pending) -> Client:
        client = self.clients.find(pending.request.client_id)
        if client is None:
            raise PageError("The app is no longer registered here.")
        return client

    def _refuse(self, redirect_uri: str, state: str | None, error: RedirectError) -> HttpResponse:
        return redirect(error_location(redirect_uri, state, error, self.settings.issuer))
