"""The page of apps that may see a person's data: only her own, only what holds, ended at her wish."""

from __future__ import annotations

import pytest

from tests.smart_auth.browsing import Browser
from tests.smart_auth.conftest import ISSUER, House

APPS = "/apps"

ASKS = 'name="password"'


async def page_of(house: House, username: str = "anna") -> Browser:
    return await (await house.browser().open(APPS)).sign_in(username)


async def test_nobody_sees_the_page_without_signing_in(house: House) -> None:
    browser = await house.browser().open(APPS)
    assert ASKS in browser.text
    assert "Phone app" not in browser.text


async def test_it_tells_what_an_app_may_do_since_when_and_until_when(house: House) -> None:
    await house.redeem(await house.code())
    house.clock.pass_(days=1)
    text = (await page_of(house)).text
    assert "Phone app" in text
    assert "everything in the record of this patient" in text
    assert "4 May 2026, 12:00 UTC" in text
    assert "12 August 2026" in text  # 100 days
    assert "Other app" not in text


async def test_what_was_allowed_but_never_fetched_is_not_there(house: House) -> None:
    await house.code()
    assert "Phone app" not in (await page_of(house)).text


async def test_a_person_sees_her_own_grants_only(house: House) -> None:
    await house.redeem(await house.code())
    assert "Phone app" not in (await page_of(house, "drdoe")).text


async def test_ending_access_holds_for_access_and_refresh_tokens(house: House) -> None:
    first = (await house.redeem(await house.code())).body
    second = (await house.redeem(await house.code())).body
    browser = await page_of(house)
    await browser.submit("revoke", client_id="phone")
    assert "Phone app has no access any more." in browser.text
    assert "End access" not in browser.text
    for body in (first, second):
        assert await house.refused(body["access_token"]) == "RevokedTokenError"
        assert (await house.refresh(body["refresh_token"])).error == (400, "invalid_grant")


async def test_after_ending_it_can_be_granted_anew(house: House) -> None:
    await house.redeem(await house.code())
    await (await page_of(house)).submit("revoke", client_id="phone")
    house.clock.pass_(seconds=1)
    token = (await house.redeem(await house.code())).body["access_token"]
    assert await house.refused(token) == ""
    assert "End access" in (await page_of(house)).text


async def test_nobody_ends_somebody_elses_access(house: House) -> None:
    token = (await house.redeem(await house.code())).body["access_token"]
    browser = await page_of(house, "drdoe")
    await browser.submit("revoke", client_id="phone")
    assert await house.refused(token) == ""


@pytest.mark.parametrize(
    "form",
    [
        {"step": "revoke"},
        {"step": "revoke", "client_id": ""},
        {"step": "delete", "client_id": "phone"},
        {"step": "revoke", "client_id": "nobody"},
        {"step": "revoke", "client_id": "consentry-pages"},
    ],
)
async def test_a_form_that_is_not_ours_changes_nothing(house: House, form: dict[str, str]) -> None:
    token = (await house.redeem(await house.code())).body["access_token"]
    browser = await page_of(house)
    sent = {"request": "", "csrf": browser.hidden("csrf"), **form}
    await browser._send("POST", (), tuple(sent.items()), f"{ISSUER}{APPS}")
    assert browser.status in (200, 400)
    assert await house.refused(token) == ""


@pytest.mark.parametrize("csrf", ["", "A" * 43])
async def test_another_site_cannot_end_access(house: House, csrf: str) -> None:
    token = (await house.redeem(await house.code())).body["access_token"]
    browser = await page_of(house)
    form = (("step", "revoke"), ("client_id", "phone"), ("csrf", csrf))
    await browser._send("POST", (), form, f"{ISSUER}{APPS}")
    assert browser.status == 403
    assert await house.refused(token) == ""


async def test_a_session_that_ended_ends_nothing_more(house: House) -> None:
    token = (await house.redeem(await house.code())).body["access_token"]
    browser = await page_of(house)
    csrf = browser.hidden("csrf")
    house.clock.pass_(hours=9)
    form = (("step", "revoke"), ("client_id", "phone"), ("request", ""), ("csrf", csrf))
    await browser._send("POST", (), form, f"{ISSUER}{APPS}")
    assert ASKS in browser.text
    assert await house.refused(token) == "ExpiredTokenError"
    assert house.register.entries


async def test_what_has_expired_is_forgotten(house: House) -> None:
    await house.redeem(await house.code(scope="launch/patient patient/*.rs"))
    assert "End access" in (await page_of(house)).text
    house.clock.pass_(minutes=31)
    assert "End access" not in (await page_of(house)).text
    assert not [key for key in house.register.entries if key[0] == "grant"]


async def test_what_has_expired_is_forgotten_when_more_is_granted(house: House) -> None:
    for _ in range(3):
        await house.redeem(await house.code(scope="launch/patient patient/*.rs"))
        house.clock.pass_(minutes=31)
    assert len([key for key in house.register.entries if key[0] == "grant"]) == 1


async def test_a_refresh_prolongs_what_the_page_tells(house: House) -> None:
    body = (await house.redeem(await house.code())).body
    house.clock.pass_(days=90)
    assert (await house.refresh(body["refresh_token"])).status == 200
    text = (await page_of(house)).text
    assert "2 August 2026, 12:00 UTC" in text
    assert "10 November 2026" in text
    assert len([key for key in house.register.entries if key[0] == "grant"]) == 1


async def test_the_register_holds_no_token_and_no_name(house: House) -> None:
    body = (await house.redeem(await house.code())).body
    stored = b"".join(e.value for (kind, _), e in house.register.entries.items() if kind == "grant")
    for secret in (body["access_token"], body["refresh_token"], "anna", "Anna", "Patient/1"):
        assert secret.encode() not in stored
