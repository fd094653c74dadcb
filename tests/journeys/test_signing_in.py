"""People sign in with passkeys and codes, in a real browser before a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Error, Page

from fhir_server.commands.story.play import Play
from smart_auth.people.one_time_codes import code_of
from tests.app_site import AppSite
from tests.chromium import chromium, needs_chromium

pytestmark = needs_chromium
_SHOW = """async (options) => {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(options));
  return JSON.stringify((await navigator.credentials.get({ publicKey })).toJSON());
}"""
_SEND = """([credential, challenge]) => {
  const form = document.querySelector("form[data-passkey]");
  form.elements.credential.value = credential;
  if (challenge) form.elements.challenge.value = challenge;
  form.submit();
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@contextmanager
def device(browser: Browser) -> Iterator[tuple[Page, CDPSession, str]]:
    """A browser of a person whose computer keeps passkeys, unlocked without a question."""
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield page, session, made["authenticatorId"]
    context.close()


def account(play: Play) -> str:
    return f"{play.server.url}/auth/account"


def password(page: Page, play: Play) -> None:
    person = play.cast.people[play.user]
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(person.password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def make_passkey(page: Page, play: Play, name: str) -> None:
    """Sign in and add a passkey on the account page."""
    page.goto(account(play))
    password(page, play)
    page.get_by_label("Name of the new passkey").fill(name)
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_role("button", name="I have kept them").click()
    page.get_by_text(name).wait_for()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("User name").wait_for()


def test_a_passkey_is_made_used_and_removed(browser: Browser, journey: Play) -> None:
    assert journey.server.url.startswith("http://localhost:")
    with device(browser) as (page, session, key):
        make_passkey(page, journey, "My computer")
        page.get_by_text("My computer").wait_for()
        page.get_by_text("10 of your recovery codes are left").wait_for()
        kept = session.send("WebAuthn.getCredentials", {"authenticatorId": key})["credentials"]
        assert [each["rpId"] for each in kept] == ["localhost"]
        assert journey.user not in json.dumps(kept[0]["userHandle"])
        sign_out(page)
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.get_by_text("last used").wait_for()
        page.get_by_role("button", name="Remove the passkey My computer").click()
        page.get_by_text("A passkey is kept by your phone").wait_for()
        sign_out(page)
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.get_by_text("not accepted").wait_for()


def test_a_passkey_is_the_second_factor_after_the_password(browser: Browser, journey: Play) -> None:
    with device(browser) as (page, _, _):
        make_passkey(page, journey, "My computer")
        sign_out(page)
        password(page, journey)
        page.get_by_role("button", name="Use your passkey").click()
        page.get_by_text("My computer").wait_for()


def test_a_passkey_that_is_not_unlocked_signs_nobody_in(browser: Browser, journey: Play) -> None:
    with device(browser) as (page, session, key):
        make_passkey(page, journey, "My computer")
        sign_out(page)
        session.send("WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False})
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.get_by_text("No passkey was used").wait_for()
        page.get_by_label("User name").wait_for()


def test_an_answer_to_another_challenge_is_refused(browser: Browser, journey: Play) -> None:
    with device(browser) as (page, _, _):
        make_passkey(page, journey, "My computer")
        sign_out(page)
        old = options_of(page)
        page.reload()
        credential = page.evaluate(_SHOW, old)
        page.evaluate(_SEND, [credential, ""])
        page.get_by_text("not accepted").wait_for()
        credential = page.evaluate(_SHOW, options_of(page))
        page.evaluate(_SEND, [credential, json.loads(old)["challenge"]])
        page.get_by_text("not accepted").wait_for()
        credential = page.evaluate(_SHOW, options_of(page))
        page.evaluate(_SEND, [credential, ""])
        page.get_by_text("My computer").wait_for()


def test_a_passkey_shown_to_another_origin_is_refused(
    browser: Browser, journey: Play, site: AppSite
) -> None:
    (site.folder / "plain.html").write_text("<title>another origin</title>")
    with device(browser) as (page, _, _):
        make_passkey(page, journey, "My computer")
        sign_out(page)
        options = options_of(page)
        port = urlsplit(site.url).port
        page.goto(
            f"http://127.0.0.1:{port}/plain.html"
        )  # a host of another name: the browser refuses
        with pytest.raises(Error, match="SecurityError"):
            page.evaluate(_SHOW, options)
        page.goto(f"http://localhost:{port}/plain.html")  # the name is the same: we refuse
        credential = page.evaluate(_SHOW, options)
        page.goto(account(journey))
        page.evaluate(_SEND, [credential, json.loads(options)["challenge"]])
        page.get_by_text("not accepted").wait_for()


def test_a_code_app_is_set_up_and_asked_for(browser: Browser, journey: Play) -> None:
    with device(browser) as (page, _, _):
        page.goto(account(journey))
        password(page, journey)
        page.get_by_role("button", name="Set up a code app").click()
        page.get_by_role("img", name="QR code").wait_for()
        secret = page.locator("code").inner_text().replace(" ", "")
        page.get_by_role("textbox", name="Code").fill(code_of(secret, datetime.now(UTC)))
        page.get_by_role("button", name="Continue").click()
        code = page.locator("li code").first.inner_text()
        page.get_by_role("button", name="I have kept them").click()
        sign_out(page)
        password(page, journey)
        page.get_by_label("Code from your code app, or a recovery code").fill("000000")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("alert").filter(has_text="not right").wait_for()
        page.get_by_label("Code from your code app, or a recovery code").fill(code)
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("9 of your recovery codes are left").wait_for()


@pytest.mark.parametrize("scripts", [True, False])
def test_pages_break_no_policy_and_work_without_scripts(
    browser: Browser, journey: Play, scripts: bool
) -> None:
    context: BrowserContext = browser.new_context(java_script_enabled=scripts)
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(account(journey))
    page.get_by_role("button", name="Sign in with a passkey").wait_for(
        state="visible" if scripts else "hidden"
    )
    password(page, journey)
    page.get_by_role("button", name="Set up a code app").click()
    page.get_by_role("button", name="Back").click()
    sign_out(page)
    context.close()
    assert said == []


def options_of(page: Page) -> str:
    return str(page.locator("form[data-passkey]").get_attribute("data-options"))
