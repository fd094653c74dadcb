"""The command lines of docs/clients.md, run as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.commands.story.play import Play, set_stage, strike
from fhir_server.commands.story.server import environment
from fhir_server.commands.story.telling import Teller

PAGE = Path(__file__).resolve().parents[3] / "docs" / "clients.md"
APP = {
    "client_id": "my-app",
    "name": "My app",
    "kind": "public",
    "redirect_uris": ["https://app.example.org/callback"],
    "scope": "launch/patient patient/*.rs",
    "purposes": ["PATRQT"],
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    play = set_stage(tmp_path_factory.mktemp("page"), Teller(None), apps=[APP])
    try:
        yield play
    finally:
        strike(play)


def block(of: str) -> str:
    """The block of the page in which a word stands."""
    [found] = [b for b in re.findall(r"```\n(.*?)```", PAGE.read_text(), re.S) if of in b]
    return str(found)


def shell(stage: Play, script: str) -> str:
    """Run a block as a shell would, with this server instead of the page's."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("curl or bash is not here")
    own = script.replace("http://localhost:8080", stage.server.url)
    own = own.replace("consentry-data", str(stage.server.data))
    named = f'consentry() {{ "{sys.executable}" -m fhir_server "$@"; }}\n'
    ran = subprocess.run(
        ["bash", "-euc", named + own],
        env=environment({"clients_file": str(stage.folder / "clients.json")}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_client_registers(stage: Play) -> None:
    told = json.loads(shell(stage, block("/auth/register")))
    assert told["client_name"] == "My app"
    assert told["registration_access_token"]


def test_a_request_is_pushed(stage: Play) -> None:
    told = json.loads(shell(stage, block("/auth/par")))
    assert told["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")


def test_the_system_introspects(stage: Play) -> None:
    told = json.loads(shell(stage, block("/auth/introspect")))
    assert (told["active"], told["client_id"]) == (True, "consentry-system")


def test_clients_are_listed_disabled_and_enabled(stage: Play) -> None:
    assert "my-app" in shell(stage, block("consentry client list"))
