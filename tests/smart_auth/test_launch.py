"""EHR launch: a handle is for one client, one user, one use, five minutes."""

from __future__ import annotations

from typing import Any

import pytest

from smart_auth.launch import LaunchError
from tests.smart_auth.conftest import Browser, House, asking

SCOPE = "launch launch/encounter openid fhirUser patient/*.rs"


async def launched(house: House, handle: str, username: str = "drdoe", **changed: str) -> Browser:
    browser = await house.browser().get(asking(scope=SCOPE, launch=handle, **changed))
    if "password" in browser.text:
        await browser.sign_in(username)
    return browser


async def test_a_launch_carries_its_context_to_the_token(house: House) -> None:
    handle = await house.server.create_launch(
        "phone",
        "drdoe",
        "Patient/2",
        "Encounter/5",
        patient_label="Ben <Baker>",
        need_patient_banner=False,
        intent="reconcile-medications",
        fhir_context=[{"reference": "ImagingStudy/8"}],
    )
    browser = await launched(house, handle)
    assert "Ben &lt;Baker&gt;" in browser.text
    await browser.allow()
    body = (await house.redeem(browser.answer["code"])).body
    assert (body["patient"], body["encounter"]) == ("2", "5")
    assert body["need_patient_banner"] is False
    assert body["intent"] == "reconcile-medications"
    assert body["fhirContext"] == [{"reference": "ImagingStudy/8"}]
    assert body["scope"].startswith("launch ")
    caller = await house.server.authenticate(body["access_token"], house.clock.now)
    assert (caller.patient, caller.encounter) == ("Patient/2", "Encounter/5")


async def test_a_launch_works_once(house: House) -> None:
    handle = await house.server.create_launch("phone", "drdoe", "Patient/2")
    first, second = [await launched(house, handle) for _ in range(2)]
    await first.allow()
    await second.allow()
    assert first.answer["code"]
    assert second.error == "invalid_request"
    assert (await launched(house, handle)).error == "invalid_request"


async def test_a_launch_expires(house: House) -> None:
    handle = await house.server.create_launch("phone", "drdoe", "Patient/2")
    house.clock.pass_(minutes=5)
    assert (await launched(house, handle)).error == "invalid_request"


async def test_a_launch_is_for_its_client(house: House) -> None:
    handle = await house.server.create_launch("phone", "drdoe", "Patient/2")
    browser = await launched(house, handle, client_id="other-phone")
    assert browser.error == "invalid_request"


async def test_a_launch_is_for_its_user(house: House) -> None:
    handle = await house.server.create_launch("phone", "drdoe", "Patient/2")
    browser = await launched(house, handle, "anna")
    assert (browser.status, "Location" in browser.headers) == (403, False)


async def test_a_launch_without_a_patient_leads_to_the_picker(house: House) -> None:
    handle = await house.server.create_launch("phone", "drdoe")
    assert 'name="search"' in (await launched(house, handle)).text


async def test_without_a_handle_the_launch_scope_is_not_granted(house: House) -> None:
    answer = await house.redeem(await house.code(scope=f"{SCOPE} launch/patient"))
    assert answer.body["scope"] == "openid fhirUser launch/patient patient/*.rs"
    assert "encounter" not in answer.body


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "nobody"},
        {"client_id": "backend-ES384"},
        {"username": "nobody"},
        {"patient": "2"},
        {"patient": "Practitioner/2"},
        {"patient": "Patient/2/_history/1"},
        {"patient": "https://evil.example/Patient/2"},
        {"encounter": "Patient/2"},
        {"username": "anna"},
    ],
)
async def test_a_wrong_launch_is_refused(house: House, changed: dict[str, Any]) -> None:
    good = {"client_id": "phone", "username": "drdoe", "patient": "Patient/2"}
    with pytest.raises(LaunchError):
        await house.server.create_launch(**(good | changed))
