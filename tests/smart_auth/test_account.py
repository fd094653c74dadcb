"""The account page."""

from __future__ import annotations

from tests.smart_auth.conftest import ISSUER, House


async def test_nobody_sees_the_page_without_signing_in(house: House) -> None:
    browser = await house.browser().open("/account")
    assert "password" in browser.text
    browser.cookies = {"__Host-consentry-session": "A" * 43}
    await browser.open("/account")
    assert "password" in browser.text


async def test_signing_out_ends_the_session(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    await browser.submit("sign-out")
    assert "password" in browser.text
    await browser.open("/account")
    assert "password" in browser.text


async def test_another_site_cannot_sign_a_person_out(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    for csrf in ("", "A" * 43):
        form = (("step", "sign-out"), ("csrf", csrf))
        await browser._send("POST", (), form, f"{ISSUER}/account")
        assert browser.status == 403
    await browser.open("/account")
    assert "Anna Archer" in browser.text
