"""The sign-in pages: only the browser that began goes on, once, to the page that asked."""

from __future__ import annotations

import pytest

from tests.smart_auth.conftest import ISSUER, House, asking

COOKIE = "__Host-consentry-session"


async def test_whoever_signs_in_is_sent_back_to_the_page_that_asked(house: House) -> None:
    browser = await house.browser().open("/account")
    assert "Sign in to see your account." in browser.text
    await browser.sign_in()
    assert "signed in as <strong>Anna Archer</strong>" in browser.text


async def test_the_way_back_is_not_for_the_browser_to_name(house: House) -> None:
    browser = await house.browser().open("/account", ("back", "https://evil.example/"))
    assert "evil" not in browser.text
    await browser.submit("sign-in", username="anna", password="correct horse", back="//evil")
    assert "Anna Archer" in browser.text


async def test_the_sign_in_url_itself_leads_to_the_account(house: House) -> None:
    browser = await house.browser()._send("GET", (), (), f"{ISSUER}/sign-in")
    assert (browser.status, browser.headers["Location"]) == (303, f"{ISSUER}/account")


async def test_a_sign_in_is_finished_once(house: House) -> None:
    browser = await house.browser().open("/account")
    page, cookies = browser.text, dict(browser.cookies)
    await browser.sign_in()
    browser.text, browser.cookies = page, cookies
    await browser.sign_in()
    assert (browser.status, browser.cookies) == (400, cookies)


async def test_a_sign_in_form_from_another_browser_is_refused(house: House) -> None:
    attacker = await house.browser().open("/account")
    victim = await house.browser().open("/account")
    victim.text = attacker.text
    assert (await victim.sign_in()).status == 403
    assert COOKIE not in str(victim.headers.get("Set-Cookie", ""))


async def test_the_form_of_one_sign_in_does_not_fit_another(house: House) -> None:
    browser = await house.browser().open("/account")
    first = browser.hidden("csrf")
    await browser.open("/account")
    form = {"step": "sign-in", "request": browser.hidden("request"), "csrf": first}
    await browser._send("POST", (), tuple(form.items()), f"{ISSUER}/sign-in")
    assert browser.status == 403


async def test_a_planted_cookie_neither_signs_in_nor_goes_on(house: House) -> None:
    attacker = await house.browser().get(asking())
    victim = house.browser()
    victim.cookies = dict(attacker.cookies)
    victim.text = attacker.text
    await victim.sign_in()
    assert victim.ticked()
    handle = victim.hidden("request")
    await attacker.get((("continue", handle),))
    assert (attacker.status, attacker.ticked()) == (403, [])


async def test_what_an_app_asked_in_one_browser_does_not_go_on_in_another(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    other = await (await house.browser().open("/account")).sign_in("drdoe")
    await other.get((("continue", browser.hidden("request")),))
    assert (other.status, other.ticked()) == (403, [])


@pytest.mark.parametrize("handle", ["", "x", "x\x00", "é", "A" * 43, "x" * 100_000])
async def test_an_unknown_handle_is_refused(house: House, handle: str) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.get((("continue", handle),))
    assert browser.status == 400
    await browser.open("/account")
    form = (("step", "sign-in"), ("request", handle), ("csrf", browser.hidden("csrf")))
    await browser._send("POST", (), form, f"{ISSUER}/sign-in")
    assert browser.status in (400, 403)


@pytest.mark.parametrize("text", ["x" * 100_000, "a\x00b", "\ud800", "ü" * 50])
async def test_no_name_or_password_breaks_the_page(house: House, text: str) -> None:
    for username, password in ((text, "x"), ("anna", text)):
        browser = await house.browser().open("/account")
        await browser.sign_in(username, password)
        assert browser.status in (400, 403)


async def test_a_sign_in_expires(house: House) -> None:
    browser = await house.browser().open("/account")
    house.clock.pass_(minutes=16)
    assert (await browser.sign_in()).status == 400


async def test_a_step_that_there_is_not_is_refused(house: House) -> None:
    browser = await house.browser().open("/account")
    form = {"step": "finish", "request": browser.hidden("request"), "csrf": browser.hidden("csrf")}
    await browser._send("POST", (), tuple(form.items()), f"{ISSUER}/sign-in")
    assert browser.status == 400
