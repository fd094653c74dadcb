"""The account page: only who signed in a short while ago changes how she signs in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_auth.people.assurance import TWO_FACTORS
from smart_auth.people.one_time_codes import code_of
from tests.smart_auth.authenticator import Authenticator
from tests.smart_auth.conftest import ISSUER, House
from tests.smart_auth.test_second_factor import session, strict, with_code_app, with_passkey


async def test_nobody_sees_the_page_without_signing_in(house: House) -> None:
    browser = await house.browser().open("/account")
    assert "Password" in browser.text
    browser.cookies = {"__Host-consentry-session": "A" * 43}
    await browser.open("/account")
    assert "Password" in browser.text


async def test_signing_out_ends_the_session(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("sign-out")
    assert "Password" in browser.text
    await browser.open("/account")
    assert "Password" in browser.text


@pytest.mark.parametrize("step", ["sign-out", "code-app", "drop-code-app", "recovery-codes"])
async def test_another_site_cannot_send_the_forms_of_the_page(house: House, step: str) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    for csrf in ("", "A" * 43):
        form = (("step", step), ("csrf", csrf))
        await browser._send("POST", (), form, f"{ISSUER}/account")
        assert browser.status == 403
    await browser.open("/account")
    assert "Anna Archer" in browser.text


async def test_a_browser_left_open_changes_nothing(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    page = browser.text
    house.clock.pass_(minutes=11)
    await browser.open("/account")
    assert "Password" in browser.text
    house.clock.pass_(minutes=10)
    browser.text = page
    await browser.submit("code-app")
    assert "Password" in browser.text


async def test_a_session_of_one_factor_does_not_change_the_second(house: House) -> None:
    old = await (await house.browser().open("/account")).sign_in()
    page = old.text
    await with_passkey(house)
    for step in ("code-app", "recovery-codes", "drop-passkey"):
        old.text = page
        await old.submit(step)
        assert "Password" in old.text
        assert not old.recovery_codes()


async def test_whoever_adds_a_factor_goes_on_with_two_in_a_new_session(house: House) -> None:
    browser, device = await (await house.browser().open("/account")).sign_in(), Authenticator()
    before = dict(browser.cookies)
    await browser.submit("make-passkey", credential=device.make(browser.ceremony()), name="Phone")
    await browser.submit("finish")
    assert "<strong>Phone</strong>" in browser.text
    assert session(house, browser).acr == TWO_FACTORS
    assert session(house, browser).amr == ("pwd", "pop", "user", "mfa")
    browser.cookies = before
    await browser.open("/account")
    assert "User name" in browser.text


async def test_factors_are_named_and_can_be_removed(house: House) -> None:
    device = await with_passkey(house)
    browser = await house.browser().open("/account")
    await browser.submit("passkey", credential=device.show(browser.ceremony()))
    assert "<strong>Phone</strong>" in browser.text
    assert "last used 4 May 2026" in browser.text
    await browser.submit("drop-passkey", passkey=browser.hidden("passkey"))
    assert "Phone" not in browser.text
    other = await (await house.browser().open("/account")).sign_in()
    assert "Anna Archer" in other.text


async def test_a_name_of_a_passkey_is_text(house: House) -> None:
    browser, device = await (await house.browser().open("/account")).sign_in(), Authenticator()
    name = "<b>\"'" + "x" * 500
    await browser.submit("make-passkey", credential=device.make(browser.ceremony()), name=name)
    await browser.submit("finish")
    assert "&lt;b&gt;" in browser.text
    assert "<b>" not in browser.text


async def test_a_passkey_of_somebody_else_cannot_be_removed(house: House) -> None:
    device = await with_passkey(house)
    browser = await house.browser().open("/account")
    await browser.submit("passkey", credential=device.show(browser.ceremony()))
    key = browser.hidden("passkey")
    other = await (await house.browser().open("/account")).sign_in("drdoe")
    await other.submit("drop-passkey", passkey=key)
    await browser.open("/account")
    assert "Phone" in browser.text


async def test_the_last_factor_stays_where_everybody_must_have_one(house: House) -> None:
    secret, _ = await with_code_app(house)
    strict(house)
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("code", code=code_of(secret, house.clock.now))
    page = browser.text
    await browser.submit("drop-code-app")
    assert browser.status == 400
    browser.text, device = page, Authenticator()
    await browser.submit("make-passkey", credential=device.make(browser.ceremony()), name="Phone")
    await browser.submit("drop-code-app")
    assert "Set up a code app" in browser.text


async def test_recovery_codes_are_shown_once_and_can_be_made_anew(house: House) -> None:
    secret, old = await with_code_app(house)
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("code", code=code_of(secret, house.clock.now))
    assert browser.recovery_codes() == []
    await browser.submit("recovery-codes")
    new = browser.recovery_codes()
    assert len(set(new) | set(old)) == 20
    other = await (await house.browser().open("/account")).sign_in()
    await other.submit("code", code=old[0])
    assert other.status == 403


async def test_without_a_factor_there_are_no_recovery_codes(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("recovery-codes")
    assert (browser.status, browser.recovery_codes()) == (400, [])


async def test_a_new_secret_is_not_the_persons_before_a_code_of_it(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("code-app")
    await browser.submit("confirm-code-app", code="000000")
    assert browser.status == 403
    other = await (await house.browser().open("/account")).sign_in()
    assert "You have none. An app" in other.text


async def test_a_server_at_an_address_offers_no_passkeys(house: House) -> None:
    presence = house.server._account.presence
    settings = replace(presence.settings, issuer="http://127.0.0.1:8080/auth")
    assert not settings.has_passkeys
    assert replace(settings, issuer="http://localhost:8080/auth").has_passkeys
    assert replace(settings, issuer="https://a.example:443/auth").origin == "https://a.example"
    assert replace(settings, issuer="http://localhost:8080/x").origin == "http://localhost:8080"
