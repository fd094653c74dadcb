"""The account page: a person sees how she signs in."""

from __future__ import annotations

from dataclasses import dataclass

from smart_auth.errors import PageError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.pages import account_page, problem_page
from smart_auth.presence import Presence, Wanted

_WANTED = Wanted("Sign in to see your account.")


@dataclass(frozen=True, slots=True)
class Account:
    """``[issuer]/account``."""

    presence: Presence

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer GET, or a form of the page."""
        try:
            return await self._answer(request)
        except PageError as error:
            return problem_page(str(error), error.status, error.retry_after)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        visitor, here = self.presence.visitor(request), self.presence.settings.account_page
        if request.method == "POST":
            form = self.presence.posted(request, here)
            if form.get("step") != "sign-out":
                raise PageError("The form is not one of ours.")
            await self.presence.end(visitor)
        present = await self.presence.find(visitor, _WANTED)
        if present is None:
            return await self.presence.ask(visitor, _WANTED, here)
        form_ = self.presence.form(visitor, here)
        return account_page(form_, present.person.name, visitor.more)
