"""No answer of this room without a record: a request is answered, that is noted, and then the answer leaves.

On record is every request of a client, every form of a page, every page that somebody sees who is signed in, and every
refusal.  A page that asks a browser to sign in, of whom nothing is known yet, is not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from smart_auth.attempts import AttemptLog, Party, attempt_of, claimed_client, party
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.people.browser import read_cookie
from smart_auth.people.users import UserRegistry
from smart_auth.settings import SmartSettings
from smart_auth.tokens.bearer import subject_of
from smart_auth.vault import Vault

Answer = Callable[[HttpRequest], Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class OnRecord:
    """Answers requests, and puts them on record first."""

    log: AttemptLog
    settings: SmartSettings
    users: UserRegistry
    vault: Vault

    async def called(self, endpoint: str, request: HttpRequest, answer: Answer) -> HttpResponse:
        """Answer a client."""
        response = await answer(request)
        await self.log.note(attempt_of(endpoint, request, response, claimed_client(request)))
        return response

    async def visited(self, endpoint: str, request: HttpRequest, answer: Answer) -> HttpResponse:
        """Answer a browser: a form, or a page."""
        client = await self._decided_about(request) or claimed_client(request)
        person = await self._before_it(request)  # before the answer, which may end what tells it
        response = await answer(request)
        if response.person:
            person = self._party(response.person, proved=True)
        if person or response.refusal or request.method != "GET":
            await self.log.note(attempt_of(endpoint, request, response, client, person))
        return response

    async def unread(self, endpoint: str, request: HttpRequest, response: HttpResponse) -> None:
        """Put on record that a request is refused whose body was not read."""
        await self.log.note(attempt_of(endpoint, request, response, None))

    async def _decided_about(self, request: HttpRequest) -> Party | None:
        """The app whose request a person is about to decide."""
        fields = dict(request.query + request.form)
        handle = fields.get("continue") or fields.get("request")
        pending = await self.vault.find_pending(handle) if handle else None
        return party(pending.request.client_id, proved=False) if pending else None

    async def _before_it(self, request: HttpRequest) -> Party | None:
        """Who is named in a form for signing in, has begun to sign in, or is signed in; None where nobody is known here."""
        form = dict(request.form)
        if "username" in form:
            return self._party(form["username"], proved=False)
        sign_in = await self.vault.find_sign_in(form["request"]) if "request" in form else None
        if sign_in is not None:
            return self._party(sign_in.username or "", proved=False)
        cookie = read_cookie(request.cookies, self.settings.secure)
        session = await self.vault.find_session(cookie) if cookie else None
        if session is None or self.users.has_ended(session.username, session.auth_time):
            return None
        return self._party(session.username, proved=True)

    def _party(self, username: str, *, proved: bool) -> Party | None:
        """What was typed for a user name is told of nobody else: it may be a password."""
        if self.users.find(username) is None:
            return None
        return Party(subject_of(self.settings.issuer, username), proved)
