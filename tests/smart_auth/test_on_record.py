"""No answer of the authorization server without a record: of each endpoint, given or refused, and of whom."""

from __future__ import annotations

from typing import Any

import pytest

from smart_auth.attempts import Attempt, Party
from smart_auth.exchange import HttpRequest, json_response
from smart_auth.people.one_time_codes import code_of
from smart_auth.tokens.bearer import subject_of
from tests.smart_auth.browsing import ISSUER, PASSWORD, Browser, pairs
from tests.smart_auth.conftest import FHIR, REDIRECT, House, asking, basic
from tests.smart_auth.registering import APP, initial, joined, manage, register

ANNA = subject_of(ISSUER, "anna")
UNREAD = HttpRequest("POST", f"{ISSUER}/token", "/auth/token", {})
CODE = {"grant_type": "authorization_code", "code": "none", "client_id": "phone"}


def told(attempt: Attempt) -> tuple[str, str, str, int]:
    return (
        attempt.endpoint,
        attempt.step,
        attempt.client.id if attempt.client else "",
        attempt.status,
    )


async def test_each_request_for_a_token_names_the_client_that_was_authenticated(
    house: House,
) -> None:
    await house.post_token(**CODE)
    await house.post_token(**CODE | {"client_id": "stranger"})
    await house.post_token(basic(secret="wrong"), grant_type="refresh_token", refresh_token="x")
    await house.backend()
    assert [(each.client, each.status) for each in house.log.attempts] == [
        (Party("phone", proved=True), 400),
        (Party("stranger", proved=False), 401),
        (Party("web", proved=False), 401),
        (Party("backend-ES384", proved=True), 200),
    ]


async def test_a_refresh_that_names_no_client_is_that_of_its_token(house: House) -> None:
    first = await house.redeem(await house.code())
    form = {"grant_type": "refresh_token", "refresh_token": first.body["refresh_token"]}
    assert (await house.post_token(**form)).status == 200
    assert told(house.log.last) == ("token", "refresh_token", "phone", 200)


async def test_introspection_and_revocation_are_on_record(house: House) -> None:
    await house.post("introspect", basic(), token="x")
    assert told(house.log.last) == ("introspect", "", "web", 200)
    await house.post("introspect", basic(secret="wrong"), token="x")
    assert house.log.last.client == Party("web", proved=False)
    assert house.log.last.why.startswith("invalid_client: ")
    system = {"authorization": f"Bearer {(await house.backend()).body['access_token']}"}
    await house.post("introspect", system, token="x")
    assert house.log.last.client == Party("backend-ES384", proved=True)
    await house.post("revoke", basic(), token="x")
    assert told(house.log.last) == ("revoke", "", "web", 200)


async def test_a_pushed_request_is_on_record(house: House) -> None:
    for scope, status in (("openid", 201), ("patient/*.rsx", 400)):
        form = (*asking(without="client_id", scope=scope), ("client_id", "web"))
        asked = HttpRequest("POST", f"{ISSUER}/par", "/auth/par", basic(), (), form)
        await house.server.push(asked)
        assert told(house.log.last) == ("par", "", "web", status)
        assert house.log.last.why.startswith("invalid_scope") is (status == 400)


async def test_a_registration_names_the_client_that_it_made(house: House) -> None:
    await register(house, "none of ours", APP)
    assert (house.log.last.client, house.log.last.status) == (None, 401)
    await register(house, await initial(house), APP | {"redirect_uris": 7})
    assert house.log.last.why.startswith("invalid_redirect_uri: ")
    client = await joined(house)
    made = Party(client["client_id"], proved=True)
    assert (house.log.last.client, house.log.last.status) == (made, 201)
    await manage(house, "GET", client, token="none of ours")
    assert (house.log.last.client, house.log.last.status) == (None, 401)
    for method, status in (("GET", 200), ("PUT", 400), ("DELETE", 204)):
        await manage(house, method, client)
        assert (house.log.last.client, house.log.last.status) == (made, status)


async def test_an_ehr_launch_names_the_system_that_made_it(house: House) -> None:
    now = house.clock.now
    system = house.server.system_token("system/*.rs", now)
    payer = (await house.backend()).body["access_token"]
    for bearer, body, who, status in (
        (system, b'{"client_id": "phone", "username": "drdoe"}', "consentry-system", 201),
        (system, b"{}", "consentry-system", 400),
        (payer, b"{}", "backend-ES384", 403),
        ("forged", b"{}", "", 401),
    ):
        headers = {"authorization": f"Bearer {bearer}"}
        asked = HttpRequest("POST", f"{ISSUER}/launch", "/auth/launch", headers, body=body)
        assert (await house.server.launch(asked)).status == status
        assert told(house.log.last) == ("launch", "", who, status)
        assert bool(house.log.last.why) is (status != 201)


async def test_an_app_that_asks_for_what_it_may_not_is_on_record(house: House) -> None:
    for changed, why in (
        ({"scope": "patient/*.rsx"}, "invalid_scope: "),
        ({"response_type": "token"}, "unsupported_response_type: "),
        ({"client_id": "stranger"}, ""),
        ({"redirect_uri": "https://evil.example.org/"}, ""),
    ):
        await house.browser().get(asking(**changed))
        assert house.log.last.client == Party(changed.get("client_id", "phone"), proved=False)
        assert house.log.last.why.startswith(why)
        assert house.log.last.why
    assert len(house.log.attempts) == 4


async def test_a_page_for_nobody_known_is_no_attempt_and_what_a_person_decides_is(
    house: House,
) -> None:
    browser = await house.browser().get(asking())
    assert house.log.attempts == []
    await browser.sign_in()
    await browser.allow()
    assert [told(each) for each in house.log.attempts] == [
        ("sign-in", "sign-in", "", 303),
        ("authorize", "", "phone", 200),  # she sees what is asked
        ("authorize", "decide", "phone", 303),
    ]
    assert {each.person for each in house.log.attempts} == {Party(ANNA, proved=True)}
    assert [each.why for each in house.log.attempts] == ["", "", ""]


async def test_what_a_person_does_not_allow_is_a_refusal(house: House) -> None:
    browser = await house.browser().get(asking())
    await browser.sign_in()
    await browser.submit("decide", decision="deny")
    assert house.log.last.why == "access_denied: the person did not allow it"
    assert house.log.last.person == Party(ANNA, proved=True)


async def test_a_wrong_password_names_the_account_but_an_unknown_name_nobody(
    house: House,
) -> None:
    browser = await house.browser().open("/account")
    await browser.sign_in(password="guess")
    assert told(house.log.last) == ("sign-in", "sign-in", "", 403)
    assert house.log.last.person == Party(ANNA, proved=False)
    assert house.log.last.why
    await browser.sign_in(username=PASSWORD, password=PASSWORD)  # typed into the wrong field
    assert house.log.last.person is None
    assert PASSWORD not in repr(house.log.attempts)
    assert "anna" not in repr(house.log.attempts)


async def test_guessing_for_too_long_is_on_record_as_what_it_is(house: House) -> None:
    browser = await house.browser().open("/account")
    while browser.status != 429:
        await browser.sign_in(password="guess")
    assert (house.log.last.status, house.log.last.person) == (429, Party(ANNA, proved=False))


async def with_code_app(house: House) -> tuple[Browser, str]:
    browser = await house.browser().open("/account")
    await browser.sign_in()
    secret = await browser.set_up_code_app(house.clock.now)
    house.clock.pass_(minutes=1)
    return browser, secret


async def test_a_second_factor_is_on_record_right_or_wrong(house: House) -> None:
    _, secret = await with_code_app(house)
    assert told(house.log.last) == ("account", "confirm-code-app", "", 200)
    assert house.log.last.person == Party(ANNA, proved=True)
    browser = await house.browser().open("/account")
    await browser.sign_in()
    await browser.submit("code", code="000000")
    assert told(house.log.last) == ("sign-in", "code", "", 403)
    assert house.log.last.person == Party(ANNA, proved=False)
    await browser.submit("code", code=code_of(secret, house.clock.now))
    entered = [each for each in house.log.attempts if each.endpoint == "sign-in"][-1]
    assert told(entered) == ("sign-in", "code", "", 303)
    assert entered.person == Party(ANNA, proved=True)


async def test_pages_of_a_person_are_on_record_each_time_they_are_shown(house: House) -> None:
    browser = await house.browser().open("/account")
    await browser.sign_in()
    house.log.attempts.clear()
    for page in ("apps", "account"):
        await browser.open(f"/{page}")
        assert told(house.log.last) == (page, "", "", 200)
    await browser.submit("sign-out")
    assert told(house.log.last) == ("account", "sign-out", "", 200)
    assert {each.person for each in house.log.attempts} == {Party(ANNA, proved=True)}
    house.log.attempts.clear()
    await browser.open("/account")
    assert house.log.attempts == []  # it asks to sign in


async def test_a_session_that_was_ended_names_nobody(house: House) -> None:
    browser = await house.browser().open("/account")
    await browser.sign_in()
    await house.server.accounts.disable("anna")
    await house.server.accounts.enable("anna")
    house.log.attempts.clear()
    await browser.open("/account")
    assert house.log.attempts == []
    await browser.submit("revoke")
    assert house.log.last.person is None


async def test_a_form_of_nobodys_page_is_on_record(house: House) -> None:
    for page in ("sign-in", "account", "apps", "open-app"):
        url, form = f"{ISSUER}/{page}", pairs({"step": "revoke", "csrf": "forged"})
        call: Any = getattr(house.server, page.replace("-", "_"))
        await call(HttpRequest("POST", url, f"/auth/{page}", {}, (), form))
        assert told(house.log.last) == (page, "revoke", "", 403)
        assert (house.log.last.person, bool(house.log.last.why)) == (None, True)


async def test_what_cannot_be_noted_is_not_answered(house: House) -> None:
    browser = await house.browser().get(asking())
    house.log.broken = True
    with pytest.raises(OSError, match="full"):
        await house.post_token(**CODE)
    with pytest.raises(OSError, match="full"):
        await house.post("revoke", basic(), token="x")
    with pytest.raises(OSError, match="full"):
        await browser.sign_in()
    assert "Location" not in browser.headers
    with pytest.raises(OSError, match="full"):
        await house.server.on_record.unread("token", UNREAD, json_response(413, {}))


async def test_nothing_that_is_secret_is_told(house: House) -> None:
    answer = await house.redeem(await house.code())
    await house.refresh(answer.body["refresh_token"])
    await house.post("revoke", {}, token=answer.body["refresh_token"], client_id="phone")
    said = repr(house.log.attempts)
    for secret in (
        PASSWORD,
        answer.body["access_token"],
        answer.body["refresh_token"],
        REDIRECT,
        FHIR,
    ):
        assert secret not in said
