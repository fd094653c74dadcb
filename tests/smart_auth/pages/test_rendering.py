"""Pages: the policy fits the style, and nothing that comes from outside becomes markup."""

from __future__ import annotations

import base64
import re
from hashlib import sha256

import pytest

from smart_auth.authorization.wording import Choice
from smart_auth.pages.rendering import (
    AuthorizeView,
    PageForm,
    authorize_page,
    problem_page,
    sign_in_page,
)

EVIL = '"><script>alert(1)</script>'


def test_the_policy_permits_exactly_the_style_of_the_page() -> None:
    page = problem_page("x", 400)
    style = re.search(r"<style>(.*?)</style>", page.body.decode(), re.DOTALL)
    assert style is not None
    hashed = base64.b64encode(sha256(style[1].encode()).digest()).decode()
    policy = dict(page.headers)["Content-Security-Policy"]
    assert f"style-src 'sha256-{hashed}'" in policy
    assert "form-action 'none'" in policy


@pytest.mark.parametrize(
    ("redirect_uri", "source"),
    [
        ("https://app.example.org:8443/cb?x=1", "https://app.example.org:8443;"),
        ("http://localhost:3000/cb", "http://localhost:3000;"),
        ("org.example.app:/cb", "org.example.app:;"),
    ],
)
def test_the_forms_may_lead_to_the_app_and_nowhere_else(redirect_uri: str, source: str) -> None:
    form = PageForm("https://as.example/authorize", "h", "c", redirect_uri)
    policy = dict(sign_in_page(form, "App", None, 200, ()).headers)["Content-Security-Policy"]
    assert f"form-action 'self' {source}" in policy


def test_names_and_labels_are_text() -> None:
    form = PageForm(EVIL, EVIL, EVIL, "https://app.example.org/cb")
    choice = Choice(EVIL, EVIL, (Choice(EVIL, EVIL),))
    view = AuthorizeView(EVIL, EVIL, EVIL, (choice,), (EVIL,), EVIL)
    for page in (authorize_page(form, view, ()), sign_in_page(form, EVIL, EVIL, 200, ())):
        assert b"<script" not in page.body


def test_every_field_has_a_label_and_the_page_a_language() -> None:
    form = PageForm("https://as.example/authorize", "h", "c", "https://app.example.org/cb")
    text = sign_in_page(form, "App", None, 200, ()).body.decode()
    assert '<html lang="en">' in text
    assert 'name="viewport"' in text
    visible = re.findall(r'<input type="(?!hidden)', text)
    assert len(visible) == text.count("<label>") == 2
