"""Signing keys are renewed beside a running server: every worker takes them up for the next request."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from fhir_server.commands.story.play import Play, set_stage, strike
from fhir_server.commands.story.server import environment
from fhir_server.commands.story.telling import Teller


@pytest.fixture
def own() -> Iterator[Play]:
    """A server of this test's own: it makes tokens of others worthless."""
    with tempfile.TemporaryDirectory(prefix="consentry-test-") as folder:
        play = set_stage(Path(folder), Teller(None))
        try:
            yield play
        finally:
            strike(play)


def renew(play: Play, *options: str) -> str:
    """``consentry keys renew-signing`` beside the server; what it says."""
    command = [sys.executable, "-m", "fhir_server", "keys", "renew-signing", *options]
    settings = {"base_url": play.server.url, "data": str(play.server.data)}
    done = subprocess.run(
        command, env=environment(settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def status(play: Play, token: str) -> set[int]:
    """What several requests with a token are answered, whichever worker answers."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{play.server.fhir}/Organization?_count=1"
    return {httpx2.get(url, headers=headers).status_code for _ in range(8)}


def test_new_keys_sign_at_once_and_former_ones_are_refused_when_they_are_forgotten(
    own: Play,
) -> None:
    first = own.ehr().token
    keys = {key["kid"] for key in httpx2.get(f"{own.server.url}/auth/jwks").json()["keys"]}
    assert "two hours" in renew(own)
    for _ in range(8):
        again = httpx2.get(f"{own.server.url}/auth/jwks").json()["keys"]
        assert keys < {key["kid"] for key in again}
    own.callers.clear()
    second = own.ehr().token
    assert status(own, first) == status(own, second) == {200}
    assert "refused" in renew(own, "--forget")
    assert status(own, first) == status(own, second) == {401}
    own.callers.clear()
    assert status(own, own.ehr().token) == {200}
