"""A person signs in at an outside OpenID provider, in a real browser, and finds her account here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import oidc_provider_mock
import pytest
from playwright.sync_api import Browser

from fhir_server.commands.story.server import ServerProcess
from tests.chromium import chromium, needs_chromium

pytestmark = needs_chromium
PEOPLE = [
    {
        "username": "helena",
        "fhir_user": "Practitioner/1",
        "name": "Dr. Helena Brandtner",
        "organizations": ["Organization/custodian"],
        "purposes": ["TREAT"],
        "outside": "helena@hospital",
    }
]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="module")
def server(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "users.json").write_text(json.dumps(PEOPLE))
    (folder / "secret").write_text("secret\n")
    (folder / "data").mkdir()
    settings = {
        "users_file": str(folder / "users.json"),
        "sign_in_issuer": issuer,
        "sign_in_client_id": "consentry",
        "sign_in_secret_file": str(folder / "secret"),
        "sign_in_name": "Lindenbach Hospital",
    }
    process = ServerProcess(folder / "data", folder / "log", settings)
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def told(issuer: str, subject: str, **claims: object) -> None:
    httpx2.put(f"{issuer}/users/{subject}", json=claims).raise_for_status()


def go(browser: Browser, server: ServerProcess, subject: str) -> str:
    """Sign in there; what the page says that she comes back to."""
    page = browser.new_context(viewport={"width": 390, "height": 800}).new_page()
    page.goto(f"{server.url}/auth/account")
    page.get_by_role("link", name="Sign in with Lindenbach Hospital").click()
    page.get_by_placeholder("sub").fill(subject)
    page.get_by_role("button", name="Authorize", exact=True).click()
    page.wait_for_url(f"{server.url}/**")
    said = page.inner_text("body")
    page.context.close()
    return said


def test_who_showed_two_factors_there_comes_to_her_account(
    browser: Browser, server: ServerProcess, issuer: str
) -> None:
    told(issuer, "helena@hospital", amr=["pwd", "mfa"])
    assert "Dr. Helena Brandtner" in go(browser, server, "helena@hospital")


def test_who_is_not_registered_here_is_told_so(
    browser: Browser, server: ServerProcess, issuer: str
) -> None:
    told(issuer, "somebody@hospital", amr=["pwd", "mfa"])
    assert "not registered here" in go(browser, server, "somebody@hospital")


def test_nothing_of_it_is_in_the_log(browser: Browser, server: ServerProcess, issuer: str) -> None:
    told(issuer, "helena@hospital")
    go(browser, server, "helena@hospital")
    log = Path(server.log).read_text()
    assert not any(word in log for word in ("helena@hospital", "id_token", "code=", "state="))
