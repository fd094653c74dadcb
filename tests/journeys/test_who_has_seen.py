"""A patient looks up in her browser who has seen her record, and keeps a proof of it that needs no server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page

from fhir_server.commands.story.play import Play
from tests.chromium import chromium, needs_chromium

pytestmark = needs_chromium
_PATIENCE = 90_000  # ms


def signed_in(page: Page, play: Play, user: str) -> None:
    page.goto(f"{play.server.url}/auth/seen")
    person = play.cast.people[user]
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(person.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="Who has seen my record").wait_for()


def test_a_patient_sees_who_has_seen_her_record_and_keeps_the_proof(
    consented: Play, tmp_path: Path
) -> None:
    consented.insurer().get(consented.of("Claim")[0].reference)
    kept = tmp_path / "receipt.json"
    with chromium() as browser:
        page = browser.new_page(accept_downloads=True)
        signed_in(page, consented, consented.user)
        access = page.locator("section").filter(has_text="Claim").first
        access.get_by_text("payment", exact=True).wait_for()
        access.get_by_text("the patient's consent").wait_for()
        for name, width in (("desktop", 1280), ("phone", 390)):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if folder := os.environ.get("SCREENSHOTS"):
                page.screenshot(path=f"{folder}/seen-{name}.png")
        link = access.get_by_role("link", name="Receipt")
        _download(page, link.get_attribute("href") or "", kept)
    done = subprocess.run(
        [sys.executable, "-m", "anchoring.verify", str(kept)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"inclusion" in done.stdout


def _download(page: Page, link: str, kept: Path) -> None:
    """Ask again until the log is anchored."""
    for _ in range(_PATIENCE // 1000):
        answer = page.request.get(f"{page.url.rpartition('/')[0]}/{link}")
        if answer.ok:
            kept.write_bytes(answer.body())
            return
        assert answer.status == 404
        page.wait_for_timeout(1000)
    raise AssertionError("the log was not anchored")


def test_a_clinician_has_no_record_to_look_up(consented: Play) -> None:
    with chromium() as browser:
        page = browser.new_page()
        signed_in(page, consented, "helena")
        page.get_by_text("No record of yours is kept here").wait_for()
        page.goto(f"{consented.server.url}/auth/seen?patient={consented.patient}")
        page.get_by_text("There is no such record, or its log is not for you.").wait_for()
