"""A person's browser before the pages of the server under test."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from smart_auth.exchange import HttpRequest, Pairs
from smart_auth.people.one_time_codes import code_of
from smart_auth.server import SmartServer

ISSUER = "https://auth.example.org/auth"
AUTHORIZE = f"{ISSUER}/authorize"
REDIRECT = "https://app.example.org/callback"
PASSWORD = "correct horse"


def pairs(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(parameters.items())


@dataclass
class Browser:
    """A browser: keeps cookies, fills in the forms of the page it shows, follows redirects of ours."""

    server: SmartServer
    cookies: dict[str, str] = field(default_factory=dict)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""

    async def get(self, parameters: Pairs) -> Browser:
        return await self._send("GET", parameters, ())

    async def post(self, parameters: Pairs) -> Browser:
        return await self._send("POST", (), parameters)

    async def submit(self, step: str, *more: tuple[str, str], **fields: str) -> Browser:
        """Post the page's form where it says."""
        fixed = {"step": step, "request": self.hidden("request"), "csrf": self.hidden("csrf")}
        if "credential" in fields:
            fixed["challenge"] = self.hidden("challenge")
        form = (*pairs(fixed | fields), *more)
        await self._send("POST", (), form, self.action(step))
        return await self._follow()

    async def sign_in(self, username: str = "anna", password: str = PASSWORD) -> Browser:
        return await self.submit("sign-in", username=username, password=password)

    async def allow(self, *scopes: str) -> Browser:
        picked = scopes or tuple(self.ticked())
        ticked = [("scope", scope) for scope in picked]
        return await self.submit("decide", *ticked, decision="allow")

    def ceremony(self) -> str:
        """Return what the page would ask the browser for a passkey with, as JSON."""
        found = re.search(r'data-options="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""

    async def set_up_code_app(self, at: datetime) -> str:
        """Set up a code app where the page offers it; return its secret, recovery codes shown."""
        await self.submit("code-app")
        found = re.search(r"<code>([A-Z2-7 ]+)</code>", self.text)
        secret = found[1].replace(" ", "") if found else ""
        await self.submit("confirm-code-app", code=code_of(secret, at))
        return secret

    def recovery_codes(self) -> list[str]:
        """Return the recovery codes that the page shows."""
        return re.findall(r"<code>([A-Z2-7]{4}(?:-[A-Z2-7]{4}){3})</code>", self.text)

    def action(self, step: str) -> str:
        """Return where the form of a step goes, or any form of the page."""
        found = re.search(
            rf'action="([^"]*)"[^>]*>\s*<input type="hidden" name="step" value="{step}"', self.text
        )
        found = found or re.search('action="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else AUTHORIZE

    def hidden(self, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""

    def ticked(self) -> list[str]:
        found = re.findall(r'name="scope" value="([^"]*)" checked', self.text)
        return [html.unescape(each) for each in found]

    @property
    def answer(self) -> dict[str, str]:
        """The parameters that the redirect carries to the app."""
        location = self.headers["Location"]
        assert location.startswith(f"{REDIRECT}?")
        return dict(parse_qsl(urlsplit(location).query, keep_blank_values=True))

    @property
    def error(self) -> str:
        return self.answer.get("error", "")

    async def open(self, path: str, *query: tuple[str, str]) -> Browser:
        """Open a page of ours: ``/account``."""
        return await self._send("GET", query, (), f"{ISSUER}{path}")

    async def _send(self, method: str, query: Pairs, form: Pairs, url: str = AUTHORIZE) -> Browser:
        call = {
            AUTHORIZE: self.server.authorize,
            f"{ISSUER}/sign-in": self.server.sign_in,
            f"{ISSUER}/account": self.server.account,
            f"{ISSUER}/apps": self.server.apps,
            f"{ISSUER}/open-app": self.server.open_app,
            f"{ISSUER}/seen": self.server.seen,
            f"{ISSUER}/outside": self.server.outside,
        }[url]
        path = urlsplit(url).path
        response = await call(HttpRequest(method, url, path, {}, query, form, dict(self.cookies)))
        self.status, self.text = response.status, response.body.decode()
        self.headers = dict(response.headers)
        name, _, value = self.headers.get("Set-Cookie", "").partition(";")[0].partition("=")
        if name:
            self.cookies[name] = value
        return self

    async def _follow(self) -> Browser:
        """Follow redirects that stay with us, as long as there are any."""
        location = self.headers.get("Location", "")
        if not location.startswith(f"{ISSUER}/"):
            return self
        place, _, query = location.partition("?")
        given = self.headers.get("Set-Cookie", "")
        await self._send("GET", tuple(parse_qsl(query)), (), place)
        self.headers.setdefault("Set-Cookie", given)
        return await self._follow()
