"""``consentry client`` beside a real server of two workers: what it says holds for the next request of each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from fhir_server.commands.story.apps import backend_token
from fhir_server.commands.story.cast import EHR
from fhir_server.commands.story.play import Play, set_stage, strike
from fhir_server.commands.story.server import environment
from fhir_server.commands.story.telling import Teller

WORKERS = 2
CONNECTIONS = 12  # so that each worker gets some


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    folder = tmp_path_factory.mktemp("clients")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fhir_server.commands.story.server._KEPT", "CONSENTRY_WORKERS")
        patch.setenv("CONSENTRY_WORKERS", str(WORKERS))
        play = set_stage(folder, Teller(None))
        try:
            yield play
        finally:
            strike(play)


def client(stage: Play, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = environment({"clients_file": str(stage.folder / "clients.json")})
    command = [sys.executable, "-m", "fhir_server", "client", *arguments]
    return subprocess.run(
        [*command, "--data", str(stage.server.data)],
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def connections(stage: Play) -> list[httpx2.Client]:
    return [httpx2.Client(timeout=30) for _ in range(CONNECTIONS)]


def statuses(stage: Play, pool: list[httpx2.Client], token: str) -> set[int]:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{stage.server.fhir}/Patient?_summary=count"
    return {each.get(url, headers=headers).status_code for each in pool}


def test_a_disabled_client_is_refused_by_every_worker_within_a_second(stage: Play) -> None:
    pool = connections(stage)
    token = backend_token(stage.endpoints, stage.cast, EHR, "system/*.rs").token
    assert statuses(stage, pool, token) == {200}
    assert client(stage, "disable", EHR).returncode == 0
    done = time.monotonic()
    assert statuses(stage, pool, token) == {401}
    assert time.monotonic() - done < 5  # and this was the first round of requests after it
    answers = {
        each.post(stage.endpoints.token, data={"grant_type": "client_credentials"}).status_code
        for each in pool
    }
    assert answers == {401}
    listed = client(stage, "list").stdout
    assert "disabled" in listed
    assert client(stage, "enable", EHR).returncode == 0
    assert statuses(stage, pool, token) == {401}  # what it had stays ended
    time.sleep(1.1)  # tokens tell whole seconds
    token = backend_token(stage.endpoints, stage.cast, EHR, "system/*.rs").token
    assert statuses(stage, pool, token) == {200}


def test_a_client_registers_with_a_token_of_the_operators_and_every_worker_knows_it(
    stage: Play,
) -> None:
    made = client(stage, "token", "--scope", "launch/patient patient/*.rs", "--purpose", "PATRQT")
    assert (made.returncode, made.stderr) == (0, "")
    metadata = {
        "client_name": "New app",
        "redirect_uris": ["https://new.example.org/callback"],
        "token_endpoint_auth_method": "none",
    }
    url = f"{stage.server.url}/auth/register"
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    answer = httpx2.post(url, json=metadata, headers=headers, timeout=30)
    assert answer.status_code == 201
    new = answer.json()
    pool = connections(stage)
    asking = {
        "client_id": new["client_id"],
        "redirect_uri": "https://new.example.org/callback",
        "response_type": "code",
        "scope": "launch/patient patient/*.rs",
        "aud": stage.server.fhir,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    pages = [each.get(stage.endpoints.authorize, params=asking) for each in pool]
    assert {page.status_code for page in pages} == {200}
    again = httpx2.post(url, json=metadata, headers=headers, timeout=30)
    assert again.status_code == 401
    own = {"Authorization": f"Bearer {new['registration_access_token']}"}
    managed = new["registration_client_uri"]
    assert urlsplit(managed).path == f"/auth/register/{new['client_id']}"
    assert httpx2.get(managed, headers=own, timeout=30).json() == new
    assert httpx2.delete(managed, headers=own, timeout=30).status_code == 204
    pages = [each.get(stage.endpoints.authorize, params=asking) for each in pool]
    assert {page.status_code for page in pages} == {400}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("disable", "nobody"), "no client is registered as 'nobody'"),
        (("enable", "nobody"), "no client is registered as 'nobody'"),
        (("disable", "consentry-system"), "server's own"),
        (("token", "--scope", "telepathy"), "needs scopes"),
        (("token", "--scope", "patient/*.sr"), "cruds"),
        (("token", "--scope", "patient/*.rs", "--uses", "0"), "uses"),
        (("token", "--scope", "patient/*.rs", "--days", "-1"), "for some time"),
        (("token", "--scope", "patient/*.rs", "--days", "1e300"), "days"),
        (("token", "--scope", "patient/*.rs", "--organization", "x y"), "Organization/1"),
        (("token", "--scope", "patient/*.rs", "--purpose", "x y"), "purpose"),
    ],
)
def test_a_wrong_argument_is_one_plain_sentence(
    stage: Play, arguments: tuple[str, ...], words: str
) -> None:
    answer = client(stage, *arguments)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stdout == ""


def test_without_a_server_s_folder_it_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fhir_server", "client", "list", "--data", str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert "consentry serve" in answer.stderr
