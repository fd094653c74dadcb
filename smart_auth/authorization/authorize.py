"""The authorization endpoint (RFC 6749, 3.1; SMART App Launch 2.2, "Obtain authorization code").

An app's request begins it; then the person signs in (presence.py) and sees up to two pages, each a
form that is posted to the same URL with a ``step``: patient, decide (and sign-out).  What was asked
waits in the store, bound to the browser's cookie; the forms hold only its handle, so nothing can be
changed on the way.  A decision is made once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlencode

from smart_auth.authorization.deciding import grant_of, needs_patient, picked_scopes, view_of
from smart_auth.authorization.launch import PatientDirectory
from smart_auth.authorization.pushed_requests import resolve
from smart_auth.authorization.request import (
    code_location,
    error_location,
    identify_client,
    read_parameters,
    read_request,
)
from smart_auth.authorization.scopes import ScopeSet
from smart_auth.authorization.support import ScopeSupport
from smart_auth.clients.registry import Client, ClientRegistry
from smart_auth.errors import PageError, RedirectError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.pages.rendering import (
    PageForm,
    authorize_page,
    patient_page,
    problem_page,
    redirect,
)
from smart_auth.people.assurance import PASSWORD_ALONE
from smart_auth.people.browser import Visitor
from smart_auth.people.presence import Presence, Present, Wanted
from smart_auth.settings import SmartSettings
from smart_auth.store import AuthorizationRequest, IssuedCode, Launch, Pending, digest
from smart_auth.tokens.issuing import random_text
from smart_auth.vault import Vault

_MOST_PATIENTS = 50
_STEPS = ("patient", "decide", "sign-out")
_CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class _Visit:
    """One look of one browser at one pending request."""

    visitor: Visitor
    handle: str = field(repr=False)
    pending: Pending


@dataclass(frozen=True, slots=True)
class Authorization:
    """The authorization endpoint."""

    settings: SmartSettings
    clients: ClientRegistry
    vault: Vault
    presence: Presence
    directory: PatientDirectory
    support: ScopeSupport
    clock: Callable[[], datetime] = field(repr=False)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer GET or POST: an app's request, a form of our pages, or a return from sign-in."""
        try:
            if request.method == "POST" and any(name == "step" for name, _ in request.form):
                return await self._continue(request)
            if [name for name, _ in request.query] == [_CONTINUE]:
                return await self._resume(request, request.query[0][1])
            return await self._begin(request)
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)

    async def _begin(self, request: HttpRequest) -> HttpResponse:
        brought = read_parameters(request.query + request.form)
        parameters = await resolve(brought, self.clients, self.vault)
        client = identify_client(parameters, self.clients)
        try:
            asked = read_request(parameters, client, self.settings, self.support)
            visit = await self._visit(request, asked)
            if "none" in parameters.get("prompt", "").split(" "):
                raise await self._cannot_be_silent(visit)
        except RedirectError as error:
            return self._refuse(parameters["redirect_uri"], parameters.get("state"), error)
        return await self._show(visit)

    async def _visit(self, request: HttpRequest, asked: AuthorizationRequest) -> _Visit:
        visitor = self.presence.visitor(request)
        launch = await self._launch(asked)
        pending = Pending(
            request=asked,
            session=digest(visitor.cookie),
            asked_at=int(self.clock().timestamp()),
            launch=launch,
            patient=launch.patient if launch else None,
            patient_label=launch.patient_label if launch else None,
        )
        handle = random_text(self.vault.random_bytes)
        await self.vault.keep_pending(handle, pending)
        return _Visit(visitor, handle, pending)

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

    async def _resume(self, request: HttpRequest, handle: str) -> HttpResponse:
        """Go on after sign-in: the browser has another cookie now, and the request follows it."""
        visitor = self.presence.visitor(request)
        pending = await self._find(handle)
        session = await self.vault.find_session(visitor.cookie)
        if session is not None and session.before == pending.session:
            pending = replace(pending, session=digest(visitor.cookie))
            await self.vault.keep_pending(handle, pending)
        return await self._show(self._own(visitor, handle, pending))

    async def _continue(self, request: HttpRequest) -> HttpResponse:
        endpoint = self.settings.authorization_endpoint
        form = self.presence.posted(request, endpoint, repeated=("scope",))
        visitor, handle = self.presence.visitor(request), form.get("request", "")
        visit = self._own(visitor, handle, await self._find(handle))
        step = form.get("step")
        if step not in _STEPS:
            raise PageError("The form is not one of ours.")
        if step == "sign-out":
            await self.presence.end(visitor)
        present = await self._present(visit)
        if present is None:
            return await self._ask(visit)
        if step == "patient":
            return await self._pick_patient(visit, present, form)
        picked = tuple(value for name, value in request.form if name == "scope")
        return await self._decide(visit, present, form.get("decision"), picked)

    async def _find(self, handle: str) -> Pending:
        pending = await self.vault.find_pending(handle)
        if pending is None:
            raise PageError("This page has expired or was used already.")
        return pending

    def _own(self, visitor: Visitor, handle: str, pending: Pending) -> _Visit:
        if pending.session != digest(visitor.cookie):
            raise PageError("This form does not belong to this browser.", status=403)
        return _Visit(visitor, handle, pending)

    async def _present(self, visit: _Visit) -> Present | None:
        return await self.presence.find(visit.visitor, self._wanted(visit.pending))

    async def _ask(self, visit: _Visit) -> HttpResponse:
        back = f"{self.settings.authorization_endpoint}?{urlencode({_CONTINUE: visit.handle})}"
        return await self.presence.ask(visit.visitor, self._wanted(visit.pending), back)

    def _wanted(self, pending: Pending) -> Wanted:
        oldest = pending.request.max_age
        since = None if oldest is None else pending.asked_at - oldest
        why = f"Sign in to decide what {self._client(pending).name} may do."
        return Wanted(why, pending.request.acr or PASSWORD_ALONE, since)

    async def _show(self, visit: _Visit) -> HttpResponse:
        """Show the next page that this request needs."""
        present = await self._present(visit)
        if present is None:
            return await self._ask(visit)
        self._require_launched_for(present, visit.pending)
        if visit.pending.patient is None and needs_patient(visit.pending):
            return await self._choose_patient(visit, present, "")
        return self._authorize_page(visit, present)

    def _require_launched_for(self, present: Present, pending: Pending) -> None:
        launch = pending.launch
        if launch is not None and launch.username != present.person.username:
            raise PageError("This launch was made for somebody else.", status=403)

    async def _choose_patient(self, visit: _Visit, present: Present, search: str) -> HttpResponse:
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
        return patient_page(
            form, client.name, present.person.name, search, offered, visit.visitor.more
        )

    async def _pick_patient(
        self, visit: _Visit, present: Present, form: dict[str, str]
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
        self, visit: _Visit, present: Present, decision: str | None, picked: tuple[str, ...]
    ) -> HttpResponse:
        self._require_launched_for(present, visit.pending)
        if visit.pending.patient is None and needs_patient(visit.pending):
            raise PageError("Choose a patient first.")
        if decision not in ("allow", "deny"):
            raise PageError("The form is not one of ours.")
        scopes = picked_scopes(visit.pending, picked)
        if await self.vault.take_pending(visit.handle) is None:
            raise PageError("This page has expired or was used already.")
        asked = visit.pending.request
        if decision == "deny" or not scopes:
            denied = RedirectError("access_denied", "the person did not allow it")
            return self._refuse(asked.redirect_uri, asked.state, denied)
        return await self._allow(visit.pending, present, scopes)

    async def _allow(self, pending: Pending, present: Present, scopes: ScopeSet) -> HttpResponse:
        asked = pending.request
        if asked.launch is not None and await self.vault.take_launch(asked.launch) is None:
            error = RedirectError("invalid_request", "launch has expired or was used already")
            return self._refuse(asked.redirect_uri, asked.state, error)
        grant = grant_of(
            random_text(self.vault.random_bytes), pending, present, scopes, self.clock()
        )
        issued = IssuedCode(
            grant, asked.redirect_uri, asked.code_challenge, asked.nonce, asked.dpop_jkt
        )
        code = await self.vault.issue_code(issued, self.clock())
        return redirect(code_location(asked, code, self.settings.issuer))

    def _authorize_page(self, visit: _Visit, present: Present) -> HttpResponse:
        name, pending = self._client(visit.pending).name, visit.pending
        view = view_of(pending, name, present.person, self.settings)
        return authorize_page(self._form(visit), view, visit.visitor.more)

    def _form(self, visit: _Visit) -> PageForm:
        form = self.presence.form(visit.visitor, self.settings.authorization_endpoint, visit.handle)
        return replace(form, redirect_uri=visit.pending.request.redirect_uri)

    def _client(self, pending: Pending) -> Client:
        client = self.clients.find(pending.request.client_id)
        if client is None:
            raise PageError("The app is no longer registered here.")
        return client

    def _refuse(self, redirect_uri: str, state: str | None, error: RedirectError) -> HttpResponse:
        answer = redirect(error_location(redirect_uri, state, error, self.settings.issuer))
        return replace(answer, refusal=f"{error.error}: {error}")
