"""Bytes that no client should send, to every endpoint of the authorization server, over HTTP."""

from __future__ import annotations

import gzip
from urllib.parse import quote

import httpx2
import pytest

from fhir_server.commands.story.play import Play
from tests.app_site import CALLBACK, AppSite
from tests.smart_auth.conformance.conftest import App

ENDPOINTS = ["token", "introspect", "revoke", "par", "register", "authorize", "launch"]
FORM = "application/x-www-form-urlencoded"
BODIES = [
    b"",
    b"\x00",
    b"\xff\xfe\xfd",
    b"grant_type=client_credentials&grant_type=client_credentials",
    b"grant_type=%00&client_id=%ff%fe&code=%ED%A0%80",
    b"client_id=py-app&code=\r\nSet-Cookie:%20x=y&grant_type=authorization_code",
    b"=&&&===&;",
    b"a=" + b"x" * 200_000,
    b"&".join(b"p%d=1" % number for number in range(20_000)),
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b'{"client_id":"\\ud800","redirect_uris":["\\u0000"]}',
    "client_id=\u202epy-app&redirect_uri=javascript:alert(1)".encode(),
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("number", range(len(BODIES)))
def test_no_body_breaks_an_endpoint(clinic: Play, endpoint: str, number: int) -> None:
    url = f"{clinic.server.url}/auth/{endpoint}"
    for kind in (FORM, "application/json", "text/plain; charset=utf-16", ""):
        answer = httpx2.post(
            url, content=BODIES[number], headers={"Content-Type": kind}, timeout=60
        )
        assert 400 <= answer.status_code < 500
        assert "location" not in answer.headers
        if endpoint != "authorize":
            assert answer.json()["error"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_body_that_is_too_large_or_packed_in_a_strange_way_is_not_read(
    clinic: Play, endpoint: str
) -> None:
    url = f"{clinic.server.url}/auth/{endpoint}"
    bomb = gzip.compress(b"a" * 50_000_000)
    for content, coding in ((b"a" * 300_000, "identity"), (bomb, "gzip"), (b"x", "br")):
        headers = {"Content-Type": FORM, "Content-Encoding": coding}
        answer = httpx2.post(url, content=content, headers=headers, timeout=60)
        assert answer.status_code in (401, 413, 415), answer.text


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
@pytest.mark.parametrize("endpoint", ["token", "introspect", "revoke", "par", "register"])
def test_another_method_is_none(clinic: Play, endpoint: str, method: str) -> None:
    answer = httpx2.request(method, f"{clinic.server.url}/auth/{endpoint}", timeout=60)
    assert answer.status_code == 405


STRANGE_STATES = ["s" * 100_000, "a\r\nSet-Cookie: x=y", "\x00", "%0d%0a", "\u202e", "<script>"]


@pytest.mark.parametrize("state", STRANGE_STATES)
def test_a_strange_state_comes_back_exactly_or_not_at_all(
    journey: Play, site: AppSite, state: str
) -> None:
    """By POST: 100 kB do not fit into a URL here."""
    app = App(journey, site)
    asked = app.asked(state=state, scope="telepathy")
    answer = app.browser.post(f"{app.issuer}/authorize", data=asked)
    where = answer.headers.get("location", "")
    assert answer.status_code in (303, 400)
    assert "set-cookie" not in answer.headers or "x=y" not in answer.headers["set-cookie"]
    if where:
        assert where.startswith(f"{CALLBACK}?")
        assert f"state={quote(state, safe='')}" in where
        assert "error=invalid_scope" in where
    else:
        assert "<script>" not in answer.text
