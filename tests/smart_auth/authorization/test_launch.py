"""EHR launch: a handle is for one client, one user, one use, five minutes."""

from __future__ import annotations

from typing import Any

import pytest

from smart_auth.authorization.launch import LaunchError, read_launch
from tests.smart_auth.conftest import Browser, House, asking

SCOPE = "launch launch/encounter openid fhirUser patient/*.rs"


async def launch(house: House, **changed: object) -> str:
    """Have a launch handle made for the patient that is called Ben."""
    good = {"client_id": "phone", "username": "drdoe", "patient": "Patient/2"}
    return await house.server.create_launch(read_launch(good | changed))


async def launched(house: House, handle: str, username: str = "drdoe", **changed: str) -> Browser:
    browser = await house.browser().get(asking(scope=SCOPE, launch=handle, **changed))
    if 'name="password"' in browser.text:
        await browser.sign_in(username)
    return browser


async def test_a_launch_carries_its_context_to_the_token(house: House) -> None:
    handle = await launch(
        house,
        encounter="Encounter/5",
        need_patient_banner=False,
        intent="reconcile-medications",
        fhirContext=[{"reference": "ImagingStudy/8"}],
    )
    browser = await launched(house, handle)
    assert "Ben &lt;b&gt;Baker&lt;/b&gt;" in browser.text
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
    handle = await launch(house)
    first, second = [await launched(house, handle) for _ in range(2)]
    await first.allow()
    await second.allow()
    assert first.answer["code"]
    assert second.error == "invalid_request"
    assert (await launched(house, handle)).error == "invalid_request"


async def test_a_launch_expires(house: House) -> None:
    handle = await launch(house)
    house.clock.pass_(minutes=5)
    assert (await launched(house, handle)).error == "invalid_request"


async def test_a_launch_is_for_its_client(house: House) -> None:
    handle = await launch(house)
    browser = await launched(house, handle, client_id="other-phone")
    assert browser.error == "invalid_request"


async def test_a_launch_is_for_its_user(house: House) -> None:
    handle = await launch(house)
    browser = await launched(house, handle, "anna")
    assert (browser.status, "Location" in browser.headers) == (403, False)


async def test_a_launch_without_a_patient_leads_to_the_picker(house: House) -> None:
    handle = await launch(house, patient=None)
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
        {"client_id": None},
        {"client_id": 7},
        {"username": "nobody"},
        {"username": ""},
        {"patient": "2"},
        {"patient": "Practitioner/2"},
        {"patient": "Patient/2/_history/1"},
        {"patient": "https://evil.example/Patient/2"},
        {"patient": "Patient/2\r\nx: y"},
        {"patient": ["Patient/2"]},
        {"encounter": "Patient/2"},
        {"encounter": "Encounter/5", "patient": None},
        {"username": "anna"},
        {"need_patient_banner": "no"},
        {"intent": {"a": 1}},
        {"intent": "x" * 1001},
        {"patient_label": "somebody else"},
        {"fhirContext": {"reference": "ImagingStudy/8"}},
        {"fhirContext": ["ImagingStudy/8"]},
        {"fhirContext": [{}]},
        {"fhirContext": [{"type": "ImagingStudy"}]},
        {"fhirContext": [{"reference": "https://other.example/ImagingStudy/8"}]},
        {"fhirContext": [{"reference": "ImagingStudy/8", "more": "x"}]},
        {"fhirContext": [{"reference": "ImagingStudy/8", "type": "imaging study"}]},
        {"fhirContext": [{"identifier": "8"}]},
        {"fhirContext": [{"reference": "Patient/2"}]},
        {"fhirContext": [{"reference": "Encounter/5", "role": "launch"}]},
        {"fhirContext": [{"reference": "ImagingStudy/8"}] * 51},
    ],
)
async def test_a_wrong_launch_is_refused(house: House, changed: dict[str, Any]) -> None:
    with pytest.raises(LaunchError):
        await launch(house, **changed)


@pytest.mark.parametrize(
    "entry",
    [
        {"reference": "ImagingStudy/8", "type": "ImagingStudy"},
        {"canonical": "https://example.org/Questionnaire/phq-9|2", "type": "Questionnaire"},
        {"identifier": {"system": "https://example.org/orders", "value": "8"}},
        {"reference": "Patient/1", "role": "https://example.org/roles#newborn"},
    ],
)
async def test_each_form_of_fhir_context_is_carried(house: House, entry: dict[str, object]) -> None:
    browser = await launched(house, await launch(house, fhirContext=[entry]))
    await browser.allow()
    body = (await house.redeem(browser.answer["code"])).body
    assert body["fhirContext"] == [entry]


@pytest.mark.parametrize(
    "changed",
    [
        {"patient": "Patient/77"},
        {"encounter": "Encounter/77"},
        {"patient": "Patient/1", "encounter": "Encounter/5"},
    ],
)
async def test_what_the_user_cannot_see_is_not_launched_with(
    house: House, changed: dict[str, Any]
) -> None:
    with pytest.raises(LaunchError, match="there is no such"):
        await launch(house, **changed)


@pytest.mark.parametrize("document", [None, [], "x", 7])
def test_a_launch_is_a_json_object(document: object) -> None:
    with pytest.raises(LaunchError):
        read_launch(document)
