"""What the operator decides about people holds for everything that they were given, on every process."""

from __future__ import annotations

import pytest

from smart_auth.errors import ConfigurationError
from smart_auth.people.one_time_codes import code_of
from smart_auth.server import SmartServer
from tests.smart_auth.conftest import House, asking
from tests.smart_auth.stand_ins import Patients
from tests.smart_auth.test_second_factor import with_code_app, with_passkey


async def tokens(house: House) -> tuple[str, str]:
    body = (await house.redeem(await house.code())).body
    return body["access_token"], body["refresh_token"]


async def test_a_disabled_person_loses_sessions_tokens_and_the_way_in(house: House) -> None:
    access, refresh = await tokens(house)
    browser = await (await house.browser().open("/account")).sign_in()
    code = await house.code()
    await house.server.accounts.disable("anna")
    assert await house.refused(access) == "UnknownCallerError"
    assert (await house.refresh(refresh)).error == (400, "invalid_grant")
    assert (await house.redeem(code)).error == (400, "invalid_grant")
    await browser.open("/account")
    assert "User name" in browser.text
    await browser.sign_in()
    assert (browser.status, "User name or password is wrong." in browser.text) == (403, True)


async def test_a_disabled_person_is_not_told_apart_from_a_wrong_password(house: House) -> None:
    await house.server.accounts.disable("anna")
    texts = []
    for name, password in (("anna", "correct horse"), ("anna", "wrong"), ("nobody", "x")):
        browser = await house.browser().open("/account")
        await browser.sign_in(name, password)
        texts.append((browser.status, browser.text.count("is wrong")))
    assert texts == [(403, 1)] * 3


async def test_a_passkey_of_a_disabled_person_is_refused(house: House) -> None:
    device = await with_passkey(house)
    await house.server.accounts.disable("anna")
    browser = await house.browser().open("/account")
    await browser.submit("passkey", credential=device.show(browser.ceremony()))
    assert browser.status == 403


async def test_a_sign_in_that_was_begun_does_not_finish(house: House) -> None:
    secret, _ = await with_code_app(house)
    browser = await (await house.browser().get(asking())).sign_in()
    await house.server.accounts.disable("anna")
    await browser.submit("code", code=code_of(secret, house.clock.now))
    assert not browser.ticked()


async def test_what_has_ended_stays_ended_when_the_person_is_enabled(house: House) -> None:
    access, refresh = await tokens(house)
    browser = await (await house.browser().open("/account")).sign_in()
    await house.server.accounts.disable("anna")
    house.clock.pass_(seconds=5)
    await house.server.accounts.enable("anna")
    house.clock.pass_(seconds=5)
    assert await house.refused(access) == "RevokedTokenError"
    assert (await house.refresh(refresh)).error == (400, "invalid_grant")
    await browser.open("/account")
    assert "User name" in browser.text
    await browser.sign_in()
    assert "Anna Archer" in browser.text
    assert await house.refused((await tokens(house))[0]) == ""


async def test_another_process_knows_when_it_is_told(house: House, registered: object) -> None:
    access, _ = await tokens(house)
    settings = house.server._settings
    other = SmartServer(
        settings,
        house.keys,
        *registered,
        house.store,
        house.register,
        house.clock,
        Patients(),  # type: ignore[misc]
    )
    assert (await other.authenticate(access, house.clock.now)).user == "Patient/1"
    await house.server.accounts.disable("anna")
    await other.recheck()
    here, house.server = house.server, other
    assert await house.refused(access) == "RevokedTokenError"
    browser = await (await house.browser().open("/account")).sign_in()
    assert browser.status == 403
    await here.accounts.enable("anna")


async def test_others_are_not_touched(house: House) -> None:
    await house.server.accounts.disable("anna")
    browser = await (await house.browser().open("/account")).sign_in("drdoe")
    assert "Dora Doe" in browser.text


async def test_a_reset_forgets_factors_and_waits_and_ends_what_was_given(house: House) -> None:
    await with_code_app(house)
    browser = await (await house.browser().open("/account")).sign_in()
    for _ in range(4):
        await browser.submit("code", code="000000")
    await house.server.accounts.reset("anna")
    house.clock.pass_(seconds=5)
    browser = await (await house.browser().open("/account")).sign_in()
    assert "You have none. A passkey" in browser.text
    assert "You have none. An app" in browser.text
    assert "Recovery codes" not in browser.text


async def test_a_reset_does_not_enable(house: House) -> None:
    await house.server.accounts.disable("anna")
    await house.server.accounts.reset("anna")
    browser = await (await house.browser().open("/account")).sign_in()
    assert browser.status == 403


@pytest.mark.parametrize("name", ["nobody", "", "ANNA", "anna\x00"])
async def test_a_name_that_nobody_has_is_an_error(house: House, name: str) -> None:
    accounts = house.server.accounts
    for decide in (accounts.disable, accounts.enable, accounts.reset):
        with pytest.raises(ConfigurationError, match="no user"):
            await decide(name)
