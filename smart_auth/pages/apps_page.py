"""The page "apps that may see my data" (SMART App Launch 2.2, "management_endpoint"): a person sees
what she has granted to whom, and takes it back, app by app."""

from __future__ import annotations

from dataclasses import dataclass

from smart_auth.authorization.scopes import parse_scopes
from smart_auth.authorization.wording import choices_of, facts_of
from smart_auth.clients.registry import ClientRegistry
from smart_auth.errors import PageError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.pages.rendering import moment, problem_page, render
from smart_auth.people.presence import Presence, Present, Wanted
from smart_auth.tokens.bearer import subject_of
from smart_auth.tokens.granted import Granted, GrantRegister

_WANTED = Wanted("Sign in to see which apps may see your data.")


@dataclass(frozen=True, slots=True)
class _App:
    """What the page says of one app, all of it plain text."""

    client_id: str
    name: str
    does: tuple[str, ...]
    since: str
    used: str
    until: str


@dataclass(frozen=True, slots=True)
class AppsPage:
    """``[issuer]/apps``."""

    presence: Presence
    granted: GrantRegister
    clients: ClientRegistry

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer GET, or a form of the page: ``step`` = ``revoke`` with ``client_id``."""
        try:
            return await self._answer(request)
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        visitor, here = self.presence.visitor(request), self.presence.settings.apps_page
        form = self.presence.posted(request, here) if request.method == "POST" else {}
        present = await self.presence.find(visitor, _WANTED)
        if present is None:
            return await self.presence.ask(visitor, _WANTED, here)
        done = await self._revoke(present, form) if form else ""
        granted = await self.granted.of(present.person.username)
        values = {
            "title": "Apps that may see your data",
            "user_name": present.person.name,
            "done": done,
            "apps": self._apps(granted),
        }
        return render("apps.html", self.presence.form(visitor, here), values, 200, visitor.more)

    async def _revoke(self, present: Present, form: dict[str, str]) -> str:
        """End what the person granted to an app; it holds for the next request on every worker."""
        if form.get("step") != "revoke" or not form.get("client_id"):
            raise PageError("The form is not one of ours.")
        client_id, username = form["client_id"], present.person.username
        if client_id not in {each.client_id for each in await self.granted.of(username)}:
            return "That app has no access any more."
        subject = subject_of(self.presence.settings.issuer, username)
        await self.granted.revocations.revoke_pair(subject, client_id)
        return f"{self._name(client_id)} has no access any more."

    def _apps(self, granted: tuple[Granted, ...]) -> list[_App]:
        by_client: dict[str, list[Granted]] = {}
        for each in granted:
            by_client.setdefault(each.client_id, []).append(each)
        return [self._app(client_id, held) for client_id, held in by_client.items()]

    def _app(self, client_id: str, held: list[Granted]) -> _App:
        words: dict[str, None] = {}
        for each in held:
            scopes = parse_scopes(each.scope)
            words |= dict.fromkeys(choice.words for choice in choices_of(scopes))
            words |= dict.fromkeys(facts_of(scopes))
        return _App(
            client_id=client_id,
            name=self._name(client_id),
            does=tuple(words),
            since=moment(min(each.granted_at for each in held)),
            used=moment(max(each.used_at for each in held)),
            until=moment(max(each.until for each in held)),
        )

    def _name(self, client_id: str) -> str:
        client = self.clients.find(client_id)
        return (
            client.name
            if client is not None
            else f"An app that is no longer registered ({client_id})"
        )
