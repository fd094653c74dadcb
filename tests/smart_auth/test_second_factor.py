"""Signing in with two factors: who must, how, and what each may be used for."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest

from smart_auth.people.assurance import PASSWORD_ALONE, TWO_FACTORS
from smart_auth.people.one_time_codes import code_of
from smart_auth.store import Session, digest, unpack_session
from tests.smart_auth.authenticator import Authenticator
from tests.smart_auth.browsing import PASSWORD, REDIRECT, Browser
from tests.smart_auth.conftest import VERIFIER, House, asking, basic

COOKIE = "__Host-consentry-session"


def session(house: House, browser: Browser) -> Session:
    stored, _ = house.store.entries["session", digest(browser.cookies[COOKIE])]
    return unpack_session(stored)


async def with_code_app(house: House, username: str = "anna") -> tuple[str, list[str]]:
    """Set up a code app on the account page; return its secret and the recovery codes."""
    browser = await (await house.browser().open("/account")).sign_in(username)
    secret = await browser.set_up_code_app(house.clock.now)
    codes = browser.recovery_codes()
    assert len(codes) == 10
    house.clock.pass_(minutes=2)
    return secret, codes


async def with_passkey(house: House, username: str = "anna") -> Authenticator:
    """Make a passkey on the account page."""
    browser, device = (
        await (await house.browser().open("/account")).sign_in(username),
        Authenticator(),
    )
    await browser.submit("make-passkey", credential=device.make(browser.ceremony()), name="Phone")
    assert len(browser.recovery_codes()) == 10
    return device


async def test_who_has_none_signs_in_with_the_password_alone(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    assert session(house, browser).acr == PASSWORD_ALONE
    assert session(house, browser).amr == ("pwd",)


async def test_who_has_a_code_app_is_asked_for_its_code(house: House) -> None:
    secret, _ = await with_code_app(house)
    browser = await (await house.browser().get(asking())).sign_in()
    assert "One more step" in browser.text
    await browser.submit("code", code=code_of(secret, house.clock.now))
    assert browser.ticked()
    assert session(house, browser).acr == TWO_FACTORS
    assert session(house, browser).amr == ("pwd", "otp", "mfa")


async def test_the_password_alone_opens_nothing_for_who_has_a_second_factor(house: House) -> None:
    await with_code_app(house)
    browser = await (await house.browser().get(asking())).sign_in()
    page = browser.text
    for step in ("finish", "back", "decide", "code-app", "confirm-code-app", "make-passkey"):
        browser.text = page
        await browser.submit(step, code="123456")
        assert not browser.ticked()
        assert ("session", digest(browser.cookies[COOKIE])) not in house.store.entries
    await browser.open("/account")
    assert "User name" in browser.text


@pytest.mark.parametrize("code", ["", "000000", "x", "x" * 100_000, "a\x00b", "\ud800", "١٢٣٤٥٦"])
async def test_a_wrong_code_lets_nobody_in(house: House, code: str) -> None:
    await with_code_app(house)
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("code", code=code)
    assert browser.status in (400, 403)
    assert "signed in as" not in browser.text


async def test_one_code_signs_in_once_even_in_32_browsers_at_once(house: House) -> None:
    secret, _ = await with_code_app(house)
    browsers = [await house.browser().open("/account") for _ in range(32)]
    for browser in browsers:
        await browser.sign_in()
    code = code_of(secret, house.clock.now)
    await asyncio.gather(*(browser.submit("code", code=code) for browser in browsers))
    assert sum("signed in as" in browser.text for browser in browsers) == 1


async def test_a_code_of_the_set_up_does_not_sign_in(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    secret = await browser.set_up_code_app(house.clock.now)
    other = await (await house.browser().open("/account")).sign_in()
    await other.submit("code", code=code_of(secret, house.clock.now))
    assert other.status == 403


async def test_a_recovery_code_stands_in_once(house: House) -> None:
    _, codes = await with_code_app(house)
    for expected in (True, False):
        browser = await (await house.browser().open("/account")).sign_in()
        await browser.submit("code", code=codes[3].lower())
        assert ("signed in as" in browser.text) is expected
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("code", code=codes[4])
    assert "8 of your recovery codes are left" in browser.text


async def test_guessing_codes_meets_growing_waits_that_a_password_does_not_end(
    house: House,
) -> None:
    secret, codes = await with_code_app(house)
    statuses = []
    for _ in range(5):
        browser = await (await house.browser().open("/account")).sign_in()
        await browser.submit("code", code="000000")
        statuses.append(browser.status)
    assert statuses == [403, 403, 403, 429, 429]
    assert int(browser.headers["Retry-After"]) >= 1
    for right in (code_of(secret, house.clock.now), codes[0]):
        browser = await (await house.browser().open("/account")).sign_in()
        await browser.submit("code", code=right)
        assert browser.status == 429
    house.clock.pass_(seconds=2)
    await browser.submit("code", code=code_of(secret, house.clock.now))
    assert browser.status == 200


async def test_a_passkey_is_enough_by_itself_and_needs_no_name(house: House) -> None:
    device = await with_passkey(house)
    browser = await house.browser().get(asking())
    await browser.submit("passkey", credential=device.show(browser.ceremony()))
    assert browser.ticked()
    assert session(house, browser).acr == TWO_FACTORS
    assert session(house, browser).amr == ("pop", "user", "mfa")


async def test_a_passkey_is_a_second_factor_after_the_password(house: House) -> None:
    device = await with_passkey(house)
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("passkey", credential=device.show(browser.ceremony()))
    assert session(house, browser).amr == ("pwd", "pop", "user", "mfa")


async def test_the_passkey_of_another_person_is_no_second_factor(house: House) -> None:
    await with_code_app(house)
    device = await with_passkey(house, "drdoe")
    browser = await (await house.browser().open("/account")).sign_in()
    shown = house.server._account.factors.passkeys
    asked = await shown.to_show(browser.cookies[COOKIE], house.clock.now)
    form = {"challenge": asked.challenge, "credential": device.show(asked.options)}
    fixed = {n: browser.hidden(n) for n in ("request", "csrf")}
    await browser._send(
        "POST", (), tuple({"step": "passkey", **fixed, **form}.items()), browser.action("code")
    )
    assert browser.status == 403
    assert "signed in as" not in browser.text


async def test_a_passkey_answer_does_not_work_twice_nor_in_another_browser(house: House) -> None:
    device = await with_passkey(house)
    first, second = await house.browser().open("/account"), await house.browser().open("/account")
    credential, challenge = device.show(first.ceremony()), first.hidden("challenge")
    await second.submit("passkey", ("challenge", challenge), credential=credential)
    assert second.status in (400, 403)
    page, cookies = first.text, dict(first.cookies)
    await first.submit("passkey", credential=credential)
    assert "signed in as" in first.text
    first.text, first.cookies = page, cookies
    await first.submit("passkey", credential=credential)
    assert first.status == 400


async def test_each_factor_changes_the_cookie(house: House) -> None:
    secret, _ = await with_code_app(house)
    browser = await house.browser().open("/account")
    seen = [browser.cookies[COOKIE]]
    await browser.sign_in()
    seen.append(browser.cookies[COOKIE])
    await browser.submit("code", code=code_of(secret, house.clock.now))
    seen.append(browser.cookies[COOKIE])
    assert len(set(seen)) == 3


async def test_a_planted_cookie_does_not_set_up_a_factor_in_the_persons_place(
    house: House,
) -> None:
    strict(house)
    attacker = await house.browser().open("/account")
    victim = house.browser()
    victim.cookies, victim.text = dict(attacker.cookies), attacker.text
    await victim.sign_in()
    assert "Set up a second step" in victim.text
    attacker.text = victim.text
    await attacker.submit("code-app")
    assert (attacker.status, "<code>" in attacker.text) == (403, False)


def strict(house: House) -> None:
    """Let the server want two factors of everybody."""
    for room in (house.server._signing_in, house.server._account):
        presence = room.presence
        object.__setattr__(
            presence, "settings", replace(presence.settings, second_factor="required")
        )


async def test_who_has_none_sets_one_up_before_going_on_when_everybody_must(house: House) -> None:
    strict(house)
    browser = await (await house.browser().get(asking())).sign_in()
    assert "Set up a second step" in browser.text
    await browser.set_up_code_app(house.clock.now)
    assert len(browser.recovery_codes()) == 10
    assert not browser.ticked()
    await browser.submit("finish")
    assert browser.ticked()
    assert session(house, browser).acr == TWO_FACTORS


async def test_a_passkey_can_be_the_one_that_is_set_up(house: House) -> None:
    strict(house)
    browser, device = await (await house.browser().get(asking())).sign_in(), Authenticator()
    await browser.submit("make-passkey", credential=device.make(browser.ceremony()), name="Phone")
    await browser.submit("finish")
    assert browser.ticked()


async def test_setting_up_cannot_be_skipped(house: House) -> None:
    strict(house)
    browser = await (await house.browser().get(asking())).sign_in()
    page = browser.text
    for step in ("finish", "back", "confirm-code-app", "code", "decide"):
        browser.text = page
        await browser.submit(step, code="123456")
        assert not browser.ticked()
    await browser.get(asking())
    assert "User name" in browser.text


async def test_a_session_of_one_factor_is_not_enough_when_everybody_must(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    strict(house)
    await browser.get(asking())
    assert "User name" in browser.text


async def test_whoever_began_can_begin_again_as_somebody_else(house: House) -> None:
    await with_code_app(house)
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("restart")
    await browser.sign_in("drdoe")
    assert "Dora Doe" in browser.text


async def test_nothing_kept_names_a_person_or_holds_a_code(house: House) -> None:
    secret, codes = await with_code_app(house)
    kept = repr(house.store.entries)
    assert not any(each in kept for each in (secret, *codes, PASSWORD))


async def claims_of(house: House, browser: Browser) -> list[dict[str, object]]:
    """The claims of the access token and the id_token of a new code, then of a refresh."""
    await browser.allow()
    first = (await house.redeem(browser.answer["code"])).body
    second = (await house.refresh(first["refresh_token"])).body
    tokens = [first["access_token"], first["id_token"], second["access_token"], second["id_token"]]
    return [json.loads(base64.urlsafe_b64decode(t.split(".")[1] + "==")) for t in tokens]


async def test_tokens_say_how_and_when_the_person_signed_in(house: House) -> None:
    alone = await (await house.browser().get(asking())).sign_in()
    for claims in await claims_of(house, alone):
        assert (claims["acr"], claims["amr"]) == (PASSWORD_ALONE, ["pwd"])
    device, at = await with_passkey(house), int(house.clock.now.timestamp())
    browser = await house.browser().get(asking())
    await browser.submit("passkey", credential=device.show(browser.ceremony()))
    house.clock.pass_(seconds=100)
    for claims in await claims_of(house, browser):
        assert (claims["acr"], claims["amr"]) == (TWO_FACTORS, ["pop", "user", "mfa"])
        assert claims["auth_time"] == at


async def test_introspection_tells_it_too(house: House) -> None:
    code = await house.code(client_id="web")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    body = (await house.post_token(basic(), **form, code_verifier=VERIFIER)).body
    told = (await house.post("introspect", basic(), token=body["access_token"])).body
    assert (told["acr"], told["amr"]) == (PASSWORD_ALONE, ["pwd"])
    assert told["auth_time"] == int(house.clock.now.timestamp())


async def test_an_app_can_ask_for_two_factors(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    await browser.get(asking(acr_values=f"{TWO_FACTORS} {PASSWORD_ALONE}"))
    assert "User name" in browser.text
    await browser.sign_in()
    assert "Set up a second step" in browser.text
    await browser.set_up_code_app(house.clock.now)
    await browser.submit("finish")
    assert session(house, browser).acr == TWO_FACTORS
    assert browser.ticked()


async def test_an_app_that_takes_either_gets_what_it_names_first(house: House) -> None:
    asked = asking(acr_values=f"urn:x {PASSWORD_ALONE} {TWO_FACTORS}")
    browser = await (await house.browser().get(asked)).sign_in()
    assert browser.ticked()


@pytest.mark.parametrize("values", ["urn:x", "2", f"{TWO_FACTORS}/", TWO_FACTORS.upper()])
async def test_levels_that_are_not_ours_are_an_error(house: House, values: str) -> None:
    browser = await house.browser().get(asking(acr_values=values))
    assert browser.error == "unmet_authentication_requirements"


async def test_a_silent_request_for_two_factors_needs_two(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    await browser.get(asking(acr_values=TWO_FACTORS, prompt="none"))
    assert browser.error == "login_required"


async def test_step_up_asks_for_both_factors_again(house: House) -> None:
    secret, _ = await with_code_app(house)
    browser = await (await house.browser().get(asking())).sign_in()
    await browser.submit("code", code=code_of(secret, house.clock.now))
    house.clock.pass_(minutes=6)
    await browser.get(asking(acr_values=TWO_FACTORS, max_age="300"))
    assert "User name" in browser.text
    await browser.sign_in()
    assert not browser.ticked()
    await browser.submit("code", code=code_of(secret, house.clock.now))
    assert browser.ticked()
