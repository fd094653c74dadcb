"""fhirclient (npm) in Chromium: both launches, reading, the id_token, refreshing; from an origin of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import tarfile
from collections.abc import Iterator
from hashlib import sha512
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page

from fhir_server.commands.story.apps import Granted, ehr_launch
from fhir_server.commands.story.play import Play
from fhir_server.sample import people
from tests.app_site import AppSite
from tests.chromium import chromium, needs_chromium
from tests.npm import NPM, PATIENCE

from .conftest import HERE

pytestmark = needs_chromium
_PACKAGE = "fhirclient@2.6.3"
_DIGEST = "CirZixcwWelbkIXxpxlNQx5+ZdJirl6F1s4y4yvA1X7hHAkr9n99aVHaMi0wX+97nATjKQ65X6NB5as/wZoJzg=="
_SCRIPT = "package/build/fhir-client.js"


@pytest.fixture(scope="module")
def app(site: AppSite, tmp_path_factory: pytest.TempPathFactory) -> AppSite:
    """The app's pages with the library as it is published; of its 700 dependencies none is needed in a browser."""
    if NPM is None:
        pytest.skip("npm is not here: fhirclient in JavaScript is not run")
    folder = tmp_path_factory.mktemp("pack")
    command = [NPM, "pack", _PACKAGE, "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, cwd=folder, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
    packed = next(folder.glob("*.tgz"))
    assert base64.b64encode(sha512(packed.read_bytes()).digest()).decode() == _DIGEST
    with tarfile.open(packed) as archive:
        script = archive.extractfile(_SCRIPT)
        assert script is not None
        (site.folder / "fhir-client.js").write_bytes(script.read())
    for page in (HERE / "site").iterdir():
        (site.folder / page.name).write_bytes(page.read_bytes())
    return site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def test_a_standalone_launch_reads_refreshes_and_knows_who_signed_in(
    app: AppSite, browser: Browser, journey: Play
) -> None:
    page = browser.new_context().new_page()
    _open(page, app, iss=journey.server.fhir)
    _sign_in(page, journey, journey.user)
    told = _allow(page)
    id_ = journey.patient.partition("/")[2]
    assert (told["patient"], told["again"], told["context"]) == (id_, id_, id_)
    assert told["fhirUser"] == journey.patient
    assert told["claims"]["fhirUser"] == f"{journey.server.fhir}/{journey.patient}"
    assert told["claims"]["iss"] == f"{journey.server.url}/auth"
    assert told["claims"]["aud"] == "js-app"
    assert told["refreshed"] is True
    assert told["banner"] is True
    assert told["style"] == f"{journey.server.url}/auth/smart-style.json"
    assert told["observations"] == 5
    assert told["encounter"] is None


def test_a_launch_from_the_ehr_brings_patient_and_encounter(
    app: AppSite, browser: Browser, journey: Play
) -> None:
    encounter = journey.of("Encounter")[0].reference
    ehr = Granted(journey.ehr().token, "", "", "")
    handle = ehr_launch(journey.server.url, ehr, "js-app", "helena", journey.patient, encounter)
    page = browser.new_context().new_page()
    _open(page, app, iss=journey.server.fhir, launch=handle)
    _sign_in(page, journey, "helena")
    told = _allow(page)
    assert f"Patient/{told['patient']}" == journey.patient
    assert f"Encounter/{told['encounter']}" == encounter
    assert told["user"] == people.CLINICIAN
    assert told["refreshed"] is True


def test_a_clinician_opens_an_app_from_our_own_page_and_takes_its_access_away(
    app: AppSite, browser: Browser, journey: Play
) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{journey.server.url}/auth/open-app")
    _sign_in(page, journey, "helena")
    page.get_by_label("Find a patient").fill(f"MRN-{journey.patient.partition('/')[2]}")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name="Achterberg, Rosalind").click()
    page.get_by_role("group", name="Visit").get_by_role("radio").nth(1).check()
    encounter = page.locator("input[name=encounter]:checked").get_attribute("value")
    page.get_by_role("button", name="Open js-app of the tests").click()
    told = _allow(page)
    assert f"Patient/{told['patient']}" == journey.patient
    assert f"Encounter/{told['encounter']}" == encounter
    page.goto(f"{journey.server.url}/auth/apps")
    page.get_by_role("button", name="End access of js-app of the tests").click()
    assert "no access any more" in page.get_by_role("status").inner_text()
    page.goto(f"{app.url}/index.html")
    page.wait_for_function("document.title.startsWith('failed')")


def test_a_clinician_picks_the_patient_of_a_standalone_launch(
    app: AppSite, browser: Browser, journey: Play
) -> None:
    page = browser.new_context().new_page()
    _open(page, app, iss=journey.server.fhir)
    _sign_in(page, journey, "helena")
    page.get_by_label("Find a patient").fill("nobody of this name")
    page.get_by_role("button", name="Search").click()
    assert page.get_by_role("status").inner_text() == "No patient was found."
    page.get_by_label("Find a patient").fill(f"MRN-{journey.patient.partition('/')[2]}")
    page.get_by_role("button", name="Search").click()
    page.get_by_label("Achterberg, Rosalind · born 1984-03-17 · female").check()
    page.get_by_role("button", name="Continue").click()
    told = _allow(page)
    assert f"Patient/{told['patient']}" == journey.patient


def test_who_denies_sends_the_app_away_with_an_error(
    app: AppSite, browser: Browser, journey: Play
) -> None:
    page = browser.new_context().new_page()
    _open(page, app, iss=journey.server.fhir)
    _sign_in(page, journey, journey.user)
    page.get_by_role("button", name="Deny").click()
    page.wait_for_function("document.title.startsWith('failed')")
    assert "did not allow" in page.title() or "access_denied" in page.title()


def _open(page: Page, app: AppSite, **query: str) -> None:
    page.goto(f"{app.url}/launch.html?{urlencode(query)}")


def _sign_in(page: Page, play: Play, username: str) -> None:
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(play.cast.people[username].password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def _allow(page: Page) -> dict[str, Any]:
    page.get_by_role("button", name="Allow", exact=True).click()
    page.wait_for_function("document.title == 'done' || document.title.startsWith('failed')")
    assert page.title() == "done"
    told: dict[str, Any] = json.loads(page.locator("#told").inner_text())
    return told
