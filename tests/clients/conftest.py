"""The server as clients of others see it: their libraries, as they are published, against a running server."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.commands.story.play import Play

HERE = Path(__file__).parent
NPM = shutil.which("npm")
Run = Callable[..., Any]
_PATIENCE = 1200.0  # seconds, for some hundred packages on a slow network


@pytest.fixture
def token(token_of_system: Callable[[str], str]) -> str:
    """A token that may do everything which the default policy lets the custodian's own system do.

    Each test has its own: a token is good for five minutes, and ``packages`` may take as long on a slow network.
    """
    return token_of_system("system/*.cruds")


@pytest.fixture
def mark() -> str:
    """A word that occurs nowhere else, to tell this test's resources from others'."""
    return f"m{secrets.token_hex(8)}"


@pytest.fixture(scope="session")
def packages() -> Iterator[Path]:
    """The npm packages of ``package-lock.json``, installed."""
    if NPM is None:
        pytest.skip("npm is not here: the clients in JavaScript are not run")
    with tempfile.TemporaryDirectory(prefix="consentry-npm-") as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"]
        subprocess.run(command, cwd=folder, check=True, timeout=_PATIENCE)
        yield Path(folder)


@pytest.fixture
def run(packages: Path, clinic: Play, token: str, mark: str) -> Run:
    """Run one script with the clients installed; give what it prints, as JSON."""

    def start(script: str) -> Any:
        shutil.copy(HERE / script, packages / script)
        environment = {**os.environ, "BASE": clinic.server.fhir, "TOKEN": token, "MARK": mark}
        done = subprocess.run(
            ["node", script],
            cwd=packages,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return start
