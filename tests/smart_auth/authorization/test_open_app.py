"""Our own EHR launch: a person opens a registered app on a patient that she may see."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.smart_auth.browsing import Browser
from tests.smart_auth.conftest import FHIR, ISSUER, House, asking

PAGE = "/open-app"
SCOPE = "launch openid fhirUser patient/*.rs"

ASKS = 'name="password"'


async def page_of(house: House, username: str = "drdoe") -> Browser:
    return await (await house.browser().open(PAGE)).sign_in(username)


async def opened(browser: Browser, **fields: str) -> str:
    """Open the app on Ben and return the launch handle."""
    if "Open Phone app" not in browser.text:
        await browser.submit("patient", patient="Patient/2")
    await browser.submit("open", **({"client_id": "phone", "patient": "Patient/2"} | fields))
    location = browser.headers["Location"]
    assert location.startswith("https://app.example.org/launch?")
    query = parse_qs(urlsplit(location).query)
    assert query["iss"] == [FHIR]
    return query["launch"][0]


async def test_nobody_sees_patients_without_signing_in(house: House) -> None:
    browser = await house.browser().open(PAGE)
    assert ASKS in browser.text
    assert "Archer" not in browser.text


async def test_a_clinician_opens_an_app_on_patient_and_visit(house: House) -> None:
    browser = await page_of(house)
    await browser.submit("search", search="ben")
    assert "Archer" not in browser.text
    await browser.submit("patient", patient="Patient/2")
    assert "Ben &lt;b&gt;Baker" in browser.text
    handle = await opened(
        browser, encounter="Encounter/5", intent="reconcile-medications", also="ImagingStudy/8"
    )
    await browser.get(asking(scope=SCOPE, launch=handle))
    assert ASKS not in browser.text  # she is signed in already
    await browser.allow()
    body = (await house.redeem(browser.answer["code"])).body
    assert (body["patient"], body["encounter"], body["intent"]) == (
        "2",
        "5",
        "reconcile-medications",
    )
    assert body["fhirContext"] == [{"reference": "ImagingStudy/8"}]
    assert body["need_patient_banner"] is True


async def test_only_apps_that_say_where_they_are_launched_are_offered(house: House) -> None:
    browser = await page_of(house)
    await browser.submit("patient", patient="Patient/2")
    assert "Open Phone app" in browser.text
    assert "Other app" not in browser.text
    assert "Backend" not in browser.text
    policy = browser.headers["Content-Security-Policy"]
    assert "form-action 'self' https://app.example.org;" in policy


async def test_a_patient_opens_apps_on_her_own_record_only(house: House) -> None:
    browser = await page_of(house, "anna")
    assert "Anna Archer" in browser.text
    assert "Ben" not in browser.text
    for step in ("patient", "search"):
        form = (("step", step), ("patient", "Patient/2"), ("search", "ben"))
        sent = (*form, ("request", ""), ("csrf", browser.hidden("csrf")))
        await browser._send("POST", (), sent, f"{ISSUER}{PAGE}")
        assert "Anna Archer" in browser.text
        assert "Ben" not in browser.text
    handle = await opened(browser, patient="Patient/2")
    await browser.get(asking(scope=SCOPE, launch=handle))
    await browser.allow()
    assert (await house.redeem(browser.answer["code"])).body["patient"] == "1"


@pytest.mark.parametrize(
    "fields",
    [
        {"patient": "Patient/77"},
        {"patient": ""},
        {"patient": "Practitioner/9"},
        {"encounter": "Encounter/77"},
        {"patient": "Patient/1", "encounter": "Encounter/5"},
        {"client_id": "other-phone"},
        {"client_id": "nobody"},
        {"client_id": "consentry-system"},
        {"also": "Patient/1"},
        {"also": "https://evil.example/ImagingStudy/1"},
        {"intent": "x" * 2000},
    ],
)
async def test_what_is_not_fit_is_not_opened(house: House, fields: dict[str, str]) -> None:
    browser = await page_of(house)
    await browser.submit("patient", patient="Patient/2")
    await browser.submit("open", **({"client_id": "phone", "patient": "Patient/2"} | fields))
    assert browser.status in (400, 404)
    assert "Location" not in browser.headers


async def test_a_patient_who_is_not_there_is_not_chosen(house: House) -> None:
    browser = await page_of(house)
    await browser.submit("patient", patient="Patient/77")
    assert (browser.status, "Visit" in browser.text) == (404, False)


@pytest.mark.parametrize("csrf", ["", "A" * 43])
async def test_another_site_opens_nothing(house: House, csrf: str) -> None:
    browser = await page_of(house)
    form = (("step", "open"), ("client_id", "phone"), ("patient", "Patient/2"), ("csrf", csrf))
    await browser._send("POST", (), form, f"{ISSUER}{PAGE}")
    assert (browser.status, "Location" in browser.headers) == (403, False)


async def test_a_handle_is_good_for_who_opened_it_only(house: House) -> None:
    handle = await opened(await page_of(house))
    other = await house.browser().get(asking(scope=SCOPE, launch=handle))
    await other.sign_in("anna")
    assert (other.status, "Location" in other.headers) == (403, False)


async def test_signing_out_ends_it(house: House) -> None:
    browser = await page_of(house)
    await browser.submit("sign-out")
    assert ASKS in browser.text
    await browser.open(PAGE)
    assert ASKS in browser.text
