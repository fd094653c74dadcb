"""Who is signed in: nobody unless surely and lately enough."""

from __future__ import annotations

import pytest

from smart_auth.errors import PageError
from smart_auth.exchange import HttpRequest
from smart_auth.people.assurance import TWO_FACTORS
from smart_auth.people.presence import Presence, Wanted
from tests.smart_auth.conftest import ISSUER, Browser, House

HERE = f"{ISSUER}/account"


def presence(house: House) -> Presence:
    return house.server._account.presence


def request(browser: Browser, form: tuple[tuple[str, str], ...] = ()) -> HttpRequest:
    return HttpRequest("POST", HERE, "/auth/account", {}, (), form, dict(browser.cookies))


async def test_a_new_browser_is_nobody_and_gets_a_cookie(house: House) -> None:
    visitor = presence(house).visitor(request(house.browser()))
    assert await presence(house).find(visitor, Wanted("why")) is None
    assert visitor.more[0][0] == "Set-Cookie"
    assert visitor.cookie not in repr(visitor)


async def test_a_person_is_there_only_as_surely_and_lately_as_she_signed_in(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    signed_in, now = int(house.clock.now.timestamp()), presence(house)
    visitor = now.visitor(request(browser))
    found = await now.find(visitor, Wanted("why", since=signed_in))
    assert found is not None
    assert (found.person.username, found.auth_time, found.amr) == ("anna", signed_in, ("pwd",))
    assert await now.find(visitor, Wanted("why", since=signed_in + 1)) is None
    assert await now.find(visitor, Wanted("why", acr=TWO_FACTORS)) is None


async def test_a_form_fits_its_page_and_browser_only(house: House) -> None:
    browser = await (await house.browser().open("/account")).sign_in()
    now = presence(house)
    form = now.form(now.visitor(request(browser)), HERE, "handle")
    fields = (("request", "handle"), ("csrf", form.csrf), ("scope", "a"), ("scope", "b"))
    assert now.posted(request(browser, fields), HERE, repeated=("scope",))["request"] == "handle"
    other = await (await house.browser().open("/account")).sign_in("drdoe")
    for asked, action in (
        (request(other, fields), HERE),
        (request(browser, fields[:2]), f"{HERE}/x"),
        (request(browser, (("request", "other"), fields[1])), HERE),
        (request(browser, (fields[1],)), HERE),
        (request(browser, fields), HERE),
        (request(house.browser(), fields[:2]), HERE),
    ):
        with pytest.raises(PageError):
            now.posted(asked, action)
