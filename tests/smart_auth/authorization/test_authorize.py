"""The authorization endpoint: what it refuses, what its pages keep, what a person can choose."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.smart_auth.conftest import FHIR, ISSUER, PASSWORD, House, asking

COOKIE = "__Host-consentry-session"


async def test_an_unregistered_client_gets_a_page_and_no_redirect(house: House) -> None:
    for client_id in ("nobody", "", "backend-ES384", "consentry-system", "phone\x00"):
        browser = await house.browser().get(asking(client_id=client_id))
        assert browser.status == 400
        assert "Location" not in browser.headers


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://evil.example/callback",
        "http://app.example.org/callback",
        "HTTPS://app.example.org/callback",
        "https://APP.example.org/callback",
        "https://app.example.org:443/callback",
        "https://app.example.org:8443/callback",
        "https://app.example.org./callback",
        "https://app.example.org@evil.example/callback",
        "https://user@app.example.org/callback",
        "https://app.example.org/callback/",
        "https://app.example.org/Callback",
        "https://app.example.org/callback?x=1",
        "https://app.example.org/callback#x",
        "https://app.example.org/callback/../callback",
        "https://app.example.org/%63allback",
        "https://app.example.org/callback\r\nSet-Cookie: a=b",
        "https://app.example.org/callback\x00",
        "//app.example.org/callback",
        "javascript:alert(1)",
    ],
)
async def test_a_redirect_uri_that_is_not_registered_gets_a_page(house: House, uri: str) -> None:
    browser = await house.browser().get(asking(redirect_uri=uri))
    assert browser.status == 400
    assert "Location" not in browser.headers
    assert not uri or uri not in browser.text


async def test_a_missing_redirect_uri_gets_a_page(house: House) -> None:
    browser = await house.browser().get(asking(without="redirect_uri"))
    assert (browser.status, "Location" in browser.headers) == (400, False)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"aud": "https://evil.example/fhir"}, "invalid_request"),
        ({"aud": f"{FHIR}//"}, "invalid_request"),
        ({"aud": FHIR.upper()}, "invalid_request"),
        ({"aud": ""}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "a" * 44}, "invalid_request"),
        ({"code_challenge": "+" * 43}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "telepathy"}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "patient/*.delete"}, "invalid_scope"),
        ({"scope": "patient/Observation.sr"}, "invalid_scope"),
        ({"scope": "patient/Observation.d"}, "invalid_scope"),
        ({"launch": "unknown"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"nonce": "n" * 513}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"request_uri": "https://evil.example"}, "request_uri_not_supported"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_a_wrong_request_goes_back_with_state_and_iss(
    house: House, changed: dict[str, str], error: str
) -> None:
    browser = await house.browser().get(asking(**changed))
    assert browser.status == 303
    assert browser.answer["error"] == error
    assert browser.answer["state"] == "af0ifjsldkj"
    assert browser.answer["iss"] == ISSUER
    assert "code" not in browser.answer


@pytest.mark.parametrize(
    "missing", ["response_type", "aud", "code_challenge", "code_challenge_method", "scope"]
)
async def test_a_missing_parameter_goes_back_as_an_error(house: House, missing: str) -> None:
    browser = await house.browser().get(asking(without=missing))
    assert browser.error in ("invalid_request", "invalid_scope")


@pytest.mark.parametrize("client_id", ["phone", "web", "chart"])
async def test_pkce_is_required_of_every_kind_of_client(house: House, client_id: str) -> None:
    asked = asking(without="code_challenge", client_id=client_id)
    browser = await house.browser().get(asked)
    assert browser.error == "invalid_request"


@pytest.mark.parametrize("name", [name for name, _ in asking()])
async def test_a_repeated_parameter_gets_a_page(house: House, name: str) -> None:
    browser = await house.browser().get((*asking(), (name, "again")))
    assert (browser.status, "Location" in browser.headers) == (400, False)


async def test_a_parameter_split_over_query_and_form_is_a_repeated_one(house: House) -> None:
    browser = await house.browser()._send("POST", asking(), (("aud", FHIR),))
    assert browser.status == 400


@pytest.mark.parametrize("state", ["x" * 100_000, "a\r\nSet-Cookie: b=c", "a\x00b", "\ud800"])
async def test_a_state_that_cannot_come_back_exactly_gets_a_page(house: House, state: str) -> None:
    browser = await house.browser().get(asking(state=state))
    assert (browser.status, "Location" in browser.headers) == (400, False)


@pytest.mark.parametrize(
    "state", ["", "a b&c=d#e%20+", "ü☃𝒳", '"><script>', "x" * 8000, "&error=x", " "]
)
async def test_state_comes_back_exactly(house: House, state: str) -> None:
    browser = await house.browser().get(asking(state=state))
    assert "<script>" not in browser.text
    await browser.sign_in()
    await browser.allow()
    assert browser.answer["state"] == state
    assert browser.answer["iss"] == ISSUER


async def test_without_state_none_comes_back(house: House) -> None:
    browser = await house.browser().get(asking(without="state"))
    await browser.sign_in()
    await browser.allow()
    assert sorted(browser.answer) == ["code", "iss"]


async def test_aud_may_end_with_one_slash_and_post_works_like_get(house: House) -> None:
    browser = await house.browser().post(asking(aud=f"{FHIR}/"))
    await browser.sign_in()
    await browser.allow()
    assert browser.answer["code"]


async def test_pages_are_kept_by_nobody_and_run_nothing(house: House) -> None:
    browser = await house.browser().get(asking())
    for targets in ("'self';", "'self' https://app.example.org;"):
        policy = browser.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert f"form-action {targets}" in policy
        assert "unsafe" not in policy
        assert browser.headers["Cache-Control"] == "no-store"
        assert browser.headers["X-Frame-Options"] == "DENY"
        assert browser.headers["Referrer-Policy"] == "no-referrer"
        scripts = re.findall("<script[^>]*>", browser.text)
        assert scripts == [f'<script src="{ISSUER}/passkeys.js" defer>'][: len(scripts)]
        assert ("script-src 'self'" in policy) is bool(scripts)
        assert "http" not in re.sub(f'(action|src)="{ISSUER}/[a-z.-]+"', "", browser.text)
        await browser.sign_in()


async def test_a_wrong_password_lets_nobody_in_and_says_not_which(house: House) -> None:
    texts = []
    for username, password in (("anna", "wrong"), ("nobody", PASSWORD), ("anna", ""), ("", "")):
        browser = await house.browser().get(asking())
        await browser.sign_in(username, password)
        assert browser.status == 403
        assert not browser.ticked()
        texts.append(browser.text.replace(browser.hidden("request"), ""))
    assert all("User name or password is wrong." in text for text in texts)


async def test_guessing_meets_growing_waits_even_with_the_right_password(house: House) -> None:
    browser = await house.browser().get(asking())
    for _ in range(3):
        await browser.sign_in(password="wrong")
    await browser.sign_in()
    assert browser.status == 429
    assert int(browser.headers["Retry-After"]) >= 1
    house.clock.pass_(seconds=2)
    await browser.sign_in()
    assert browser.status == 200
    assert browser.ticked()


async def test_parallel_guesses_do_not_slip_past_the_throttle(house: House) -> None:
    browsers = [await house.browser().get(asking()) for _ in range(20)]
    await asyncio.gather(*(browser.sign_in(password="wrong") for browser in browsers))
    assert [browser.status for browser in browsers].count(403) == 3


async def test_signing_in_changes_the_session_identifier(house: House) -> None:
    browser = await house.browser().get(asking())
    before = browser.cookies[COOKIE]
    await browser.sign_in()
    assert browser.cookies[COOKIE] != before
    assert "HttpOnly" in browser.headers["Set-Cookie"]
    assert "Secure" in browser.headers["Set-Cookie"]
    assert "SameSite=Lax" in browser.headers["Set-Cookie"]


async def test_a_session_identifier_planted_by_an_attacker_is_worth_nothing(house: House) -> None:
    attacker = await house.browser().get(asking())
    victim = house.browser()
    victim.cookies = dict(attacker.cookies)
    await victim.get(asking())
    await victim.sign_in()
    await attacker.get(asking())
    assert 'name="password"' in attacker.text


async def test_a_form_from_another_browser_is_refused(house: House) -> None:
    victim = await (await house.browser().get(asking())).sign_in()
    attacker = await (await house.browser().get(asking())).sign_in("drdoe")
    attacker.cookies, victim.cookies = victim.cookies, attacker.cookies
    assert (await attacker.allow("patient/*.rs")).status == 403
    assert (await victim.allow("patient/*.rs")).status == 403


@pytest.mark.parametrize("csrf", ["", "x", "ü", "A" * 43])
async def test_a_form_without_its_csrf_token_is_refused(house: House, csrf: str) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    form = {"step": "decide", "request": browser.hidden("request"), "decision": "allow"}
    await browser.post((*form.items(), ("csrf", csrf), ("scope", "patient/*.rs")))
    assert (browser.status, "Location" in browser.headers) == (403, False)


async def test_a_form_without_a_cookie_is_refused(house: House) -> None:
    browser = await house.browser().get(asking())
    browser.cookies.clear()
    assert (await browser.sign_in()).status == 403


async def test_a_decision_without_sign_in_decides_nothing(house: House) -> None:
    browser = await house.browser().get(asking())
    await browser.allow("patient/*.rs")
    assert browser.status in (400, 403)
    assert "Location" not in browser.headers


async def test_a_decision_is_made_once(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    page = browser.text
    await browser.allow()
    assert browser.answer["code"]
    browser.text = page
    assert (await browser.allow()).status == 400


async def test_a_page_expires(house: House) -> None:
    browser = await house.browser().get(asking())
    house.clock.pass_(minutes=16)
    assert (await browser.sign_in()).status == 400


async def test_an_unknown_step_or_decision_is_refused(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    page = browser.text
    for step, decision in (("decide", "perhaps"), ("become-admin", "allow")):
        browser.text = page
        await browser.submit(step, decision=decision)
        assert (browser.status, "Location" in browser.headers) == (400, False)


async def test_the_person_can_deny(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    await browser.submit("decide", decision="deny")
    assert browser.error == "access_denied"


async def test_the_person_can_untick_lasting_access(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    assert browser.ticked() == ["patient/*.rs", "offline_access"]
    await browser.allow("patient/*.rs")
    answer = await house.redeem(browser.answer["code"])
    assert answer.body["scope"] == "openid fhirUser launch/patient patient/*.rs"
    assert "refresh_token" not in answer.body


async def test_the_person_can_choose_laboratory_results_only(house: House) -> None:
    asked = "openid launch/patient patient/Observation.rs patient/Patient.rs"
    part = (
        "patient/Observation.rs?category="
        "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    )
    browser = await (await house.browser().get(asking(scope=asked))).sign_in()
    await browser.allow(part, "patient/Patient.rs")
    answer = await house.redeem(browser.answer["code"])
    assert answer.body["scope"] == f"openid launch/patient {part} patient/Patient.rs"


async def test_a_scope_that_was_not_offered_cannot_be_ticked(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    await browser.allow("user/*.cruds")
    assert (browser.status, "Location" in browser.headers) == (400, False)


async def test_scopes_are_narrowed_to_the_registration(house: House) -> None:
    asked = "launch/patient patient/*.cruds system/*.rs user/Patient.read telepathy"
    code = await house.code(scope=asked)
    answer = await house.redeem(code)
    assert answer.body["scope"] == "launch/patient patient/*.rs user/Patient.read"


async def test_a_practitioner_picks_one_of_the_offered_patients(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in("drdoe")
    assert "Ben &lt;b&gt;Baker" in browser.text
    await browser.submit("patient", search="ben")
    assert "Anna" not in browser.text
    await browser.submit("patient", patient="Patient/2")
    assert "Ben &lt;b&gt;Baker" in browser.text
    await browser.allow()
    assert (await house.redeem(browser.answer["code"])).body["patient"] == "2"


@pytest.mark.parametrize("patient", ["Patient/3", "Patient/1", "", "Patient/2\x00"])
async def test_a_patient_that_was_not_offered_cannot_be_picked(house: House, patient: str) -> None:
    browser = await (await house.browser().get(asking())).sign_in("drdoe")
    await browser.submit("patient", search="ben")
    await browser.submit("patient", patient=patient)
    assert (browser.status, browser.ticked()) == (400, [])


async def test_the_patient_page_cannot_be_skipped_nor_repeated(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in("drdoe")
    page = browser.text
    assert (await browser.allow("patient/*.rs")).status == 400
    browser.text = page
    await browser.submit("patient", patient="Patient/1")
    browser.text = page
    assert (await browser.submit("patient", patient="Patient/2")).status == 400


async def test_a_signed_in_person_is_asked_again_for_each_app(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    await browser.allow()
    await browser.get(asking())
    assert browser.ticked() == ["patient/*.rs", "offline_access"]
    await browser.get(asking(prompt="none"))
    assert browser.error == "consent_required"
    house.clock.pass_(seconds=1)
    await browser.get(asking(prompt="login"))
    assert 'name="password"' in browser.text


async def test_max_age_asks_for_a_new_sign_in(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    house.clock.pass_(seconds=100)
    await browser.get(asking(max_age="99"))
    assert 'name="password"' in browser.text
    await browser.sign_in()
    assert browser.ticked()


async def test_a_session_ends_by_itself_and_by_signing_out(house: House) -> None:
    browser = await (await house.browser().get(asking())).sign_in()
    await browser.submit("sign-out")
    await browser.get(asking())
    assert 'name="password"' in browser.text
    await browser.sign_in()
    house.clock.pass_(hours=9)
    await browser.get(asking())
    assert 'name="password"' in browser.text


async def test_no_secret_is_stored_in_clear(house: House) -> None:
    browser = await house.browser().get(asking())
    handle = browser.hidden("request")
    await browser.sign_in()
    await browser.allow()
    code = browser.answer["code"]
    refresh = (await house.redeem(code)).body["refresh_token"]
    kept = repr(house.store.entries)
    for secret in (handle, code, refresh, browser.cookies[COOKIE], PASSWORD):
        assert secret not in kept
