"""The page "who has seen my record": for whom is signed in, of the records that are hers, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from smart_auth.pages.seen_page import SeenPage
from smart_auth.people.record_access import Access, AccessPage
from smart_auth.people.users import User
from tests.smart_auth.browsing import Browser
from tests.smart_auth.conftest import House

SEEN = "/seen"
ASKS = 'name="password"'
ONE = Access(
    event="e1",
    at=1_777_896_000,
    person="Dr. Doe (Practitioner/doe)",
    app="<b>App</b>",
    organizations=("Organization/other",),
    did="read",
    records=("2 Observation",),
    why="treatment",
    permitted_by="the patient's consent",
    refused="",
)


class Log:
    """A RecordAccess: one log in two pages."""

    def __init__(self, *patients: tuple[str, str]) -> None:
        self._patients = patients
        self.asked: list[tuple[str, str]] = []

    async def patients(self, user: User) -> Sequence[tuple[str, str]]:
        return self._patients if user.username == "anna" else ()

    async def seen(self, user: User, patient: str, page: str) -> AccessPage | None:
        self.asked.append((user.username, patient))
        if page:
            return AccessPage([replace(ONE, event="e2", refused="consent denies")])
        return AccessPage([ONE], "older&more")

    async def receipt(self, user: User, event: str) -> bytes | None:
        return b'{"version":"x"}' if (user.username, event) == ("anna", "e1") else None


@pytest.fixture
def log(house: House) -> Log:
    made = Log(("Patient/1", "Meier, Anna"))
    house.server._seen_page = SeenPage(house.server._apps_page.presence, made)
    return made


async def page_of(house: House, username: str = "anna", **query: str) -> Browser:
    browser = await (await house.browser().open(SEEN)).sign_in(username)
    return await browser.open(SEEN, *query.items()) if query else browser


async def test_nobody_sees_it_without_signing_in(house: House, log: Log) -> None:
    browser = await house.browser().open(SEEN, ("patient", "Patient/1"), ("receipt", "e1"))
    assert ASKS in browser.text
    assert log.asked == []


async def test_it_tells_who_when_what_why_and_what_permitted_it(house: House, log: Log) -> None:
    text = (await page_of(house)).text
    for word in ("4 May 2026, 12:00 UTC", "Dr. Doe", "Organization/other", "2 Observation"):
        assert word in text
    assert "treatment" in text
    assert "the patient&#39;s consent" in text
    assert log.asked == [("anna", "Patient/1")]


async def test_what_apps_call_themselves_stays_text(house: House, log: Log) -> None:
    text = (await page_of(house)).text
    assert "&lt;b&gt;App&lt;/b&gt;" in text
    assert "<b>App" not in text


async def test_older_pages_are_reached_and_left(house: House, log: Log) -> None:
    text = (await page_of(house)).text
    assert "seen?patient=Patient%2F1&amp;page=older%26more" in text
    text = (await page_of(house, patient="Patient/1", page="older&more")).text
    assert "Nothing was shown: consent denies." in text
    assert "To the newest" in text
    assert "Older" not in text


@pytest.mark.parametrize("patient", ["Patient/2", "x", "Patient/1 ", "<script>"])
async def test_a_record_that_is_not_hers_is_not_asked_for(
    house: House, log: Log, patient: str
) -> None:
    browser = await page_of(house, patient=patient)
    assert browser.status == 404
    assert "<script>" not in browser.text
    assert ("anna", patient) not in log.asked


async def test_whoever_has_no_record_is_told_so(house: House, log: Log) -> None:
    assert "No record of yours is kept here" in (await page_of(house, "drdoe")).text
    assert log.asked == []


async def test_whoever_acts_for_several_chooses_one(house: House, log: Log) -> None:
    log._patients = (("Patient/1", "Meier, Anna"), ("Patient/2", "Meier, Berta"))
    text = (await page_of(house)).text
    assert "Whose record?" in text
    assert log.asked == []
    text = (await page_of(house, patient="Patient/2")).text
    assert "This is the record of <strong>Meier, Berta</strong>" in text


async def test_a_receipt_is_given_as_a_file_to_whom_it_is_for(house: House, log: Log) -> None:
    browser = await page_of(house, receipt="e1")
    assert browser.headers["Content-Disposition"] == 'attachment; filename="receipt.json"'
    assert browser.headers["Cache-Control"] == "no-store"
    assert browser.text == '{"version":"x"}'
    for username, event in (("drdoe", "e1"), ("anna", "e2"), ("anna", "")):
        refused = await page_of(house, username, receipt=event)
        assert (refused.status, "version" in refused.text) == (404, False)
