"""An app before the real server, over HTTP: what a conformance kit would do, one step a method."""

from __future__ import annotations

import base64
import html
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from fhir_server.commands.story.play import Play
from smart_auth.tokens.jwt import client_assertion
from tests.app_site import CALLBACK, SECRET, AppSite

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ORIGIN = {"Origin": "https://app.example.org"}
PATIENT_SCOPES = "launch/patient openid fhirUser offline_access patient/*.rs"
EHR_SCOPES = "launch openid fhirUser offline_access user/*.rs patient/*.rs"


@dataclass
class App:
    """An app that a person uses, and the person's browser.

    Attributes:
        client_id: ``py-app`` is public, ``py-web-app`` has a secret, ``jwt-app`` a key.
        username: Who signs in.
        page: The last page of ours.
        back: The URL that led back to the app.
    """

    play: Play
    site: AppSite
    client_id: str = "py-app"
    username: str = ""
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    browser: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=60))
    page: httpx2.Response | None = None
    back: str = ""

    @property
    def issuer(self) -> str:
        return f"{self.play.server.url}/auth"

    def asked(self, scope: str = PATIENT_SCOPES, **changed: str | None) -> dict[str, str]:
        """The parameters of an authorization request, changed here and there (None: left out)."""
        digest = sha256(self.verifier.encode()).digest()
        good: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "scope": scope,
            "state": self.state,
            "aud": self.play.server.fhir,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return {name: text for name, text in (good | changed).items() if text is not None}

    def open(self, asked: Mapping[str, str], method: str = "GET") -> None:
        """Ask for authorization, and sign in if the page asks for it."""
        url = f"{self.issuer}/authorize"
        if method == "GET":
            self._show(self.browser.get(url, params=dict(asked)))
        else:
            self._show(self.browser.post(url, data=dict(asked)))
        person = self.play.cast.people[self.username or self.play.user]
        if self.page is not None and "sign-in" in self.forms():
            self.submit("sign-in", username=person.username, password=person.password)

    def allow(self, *scopes: str) -> dict[str, str]:
        """Allow what is ticked, or these scopes only; what the redirect brought."""
        form = self.forms()["decide"]
        if scopes:
            form["scope"] = list(scopes)
        self.submit("decide", form, decision="allow")
        return self.brought

    def submit(self, step: str, form: dict[str, list[str]] | None = None, **more: str) -> None:
        """Post the page's form for a step to where it says."""
        sent = {**(form or self.forms()[step]), **{name: [text] for name, text in more.items()}}
        self._show(self.browser.post(sent.pop("action")[0], data=sent))

    @property
    def brought(self) -> dict[str, str]:
        """What the redirect to the app carries."""
        query = parse_qs(urlsplit(self.back).query, keep_blank_values=True)
        return {name: texts[0] for name, texts in query.items()}

    def code(self, scope: str = PATIENT_SCOPES, method: str = "GET", **changed: str | None) -> str:
        """A code, the person allowing all that is asked."""
        self.open(self.asked(scope, **changed), method)
        return self.allow()["code"]

    def redeem(self, code: str, **changed: str | None) -> httpx2.Response:
        """Exchange a code (RFC 6749, 4.1.3; RFC 7636, 4.5)."""
        good: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
        }
        return self.token(good | changed)

    def refresh(self, token: str, **more: str) -> httpx2.Response:
        return self.token({"grant_type": "refresh_token", "refresh_token": token, **more})

    def token(self, form: Mapping[str, str | None]) -> httpx2.Response:
        """Ask the token endpoint, authenticated as this kind of client is."""
        own = {} if "client_id" in form else self._authentication()
        auth = (self.client_id, SECRET) if self.client_id == "py-web-app" else None
        sent = {name: text for name, text in {**own, **form}.items() if text is not None}
        return httpx2.post(f"{self.issuer}/token", data=sent, auth=auth, headers=ORIGIN, timeout=60)

    def granted(self, scope: str = PATIENT_SCOPES, **changed: str | None) -> dict[str, Any]:
        """A token answer, the person allowing all that is asked."""
        answer = self.redeem(self.code(scope, **changed))
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def get(self, path: str, token: str) -> httpx2.Response:
        """Ask the FHIR API, from another origin."""
        headers = {"Authorization": f"Bearer {token}", **ORIGIN}
        return httpx2.get(f"{self.play.server.fhir}/{path}", headers=headers, timeout=60)

    def ehr_launch(self, **members: object) -> dict[str, str]:
        """What the launch URL is called with: ``iss`` and ``launch``."""
        document = {
            "client_id": self.client_id,
            "username": self.username,
            "patient": self.play.patient,
            "encounter": self.play.of("Encounter")[0].reference,
            **members,
        }
        headers = {"Authorization": f"Bearer {self.play.ehr().token}"}
        answer = httpx2.post(f"{self.issuer}/launch", json=document, headers=headers, timeout=60)
        assert answer.status_code == 201, answer.text
        return {"iss": self.play.server.fhir, "launch": str(answer.json()["launch"])}

    def forms(self) -> dict[str, dict[str, list[str]]]:
        """The forms of the page by their step: hidden fields and ticked boxes, and where they go."""
        assert self.page is not None
        found = {}
        for action, body in re.findall(
            r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', self.page.text, re.S
        ):
            fields: dict[str, list[str]] = {"action": [html.unescape(action)]}
            for tag in re.findall(r"<input[^>]*>", body):
                if 'type="hidden"' in tag or (" checked" in tag and 'type="checkbox"' in tag):
                    name, value = _attribute(tag, "name"), _attribute(tag, "value")
                    fields.setdefault(name, []).append(value)
            found[fields.get("step", [""])[0]] = fields
        return found

    def _show(self, answer: httpx2.Response) -> None:
        """Follow redirects that stay with us; note the one that leads back to the app."""
        while "location" in answer.headers:
            place = answer.headers["location"]
            if not place.startswith(f"{self.issuer}/"):
                self.back, self.page = place, None
                return
            answer = self.browser.get(place)
        self.page = answer

    def _authentication(self) -> dict[str, str]:
        if self.client_id != "jwt-app":
            return {} if self.client_id == "py-web-app" else {"client_id": self.client_id}
        return {
            "client_assertion_type": ASSERTION,
            "client_assertion": client_assertion(
                self.site.app_key, "jwt-app", f"{self.issuer}/token", datetime.now(UTC), "ES384"
            ),
        }


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, read without believing them."""
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


@pytest.fixture
def app(journey: Play, site: AppSite) -> App:
    """A public app in the hands of a patient of this test's own."""
    return App(journey, site)


@pytest.fixture
def app_of(journey: Play, site: AppSite) -> Callable[..., App]:
    """Makes apps: ``app_of(client_id, username)``."""
    return lambda client_id="py-app", username="": App(journey, site, client_id, username)
