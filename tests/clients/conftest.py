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
from tests.npm import installed

HERE = Path(__file__).parent
Run = Callable[..., Any]


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
    """A folder with the npm packages of ``package-lock.json``."""
    kept = installed(HERE, "clients")
    with tempfile.TemporaryDirectory(prefix="consentry-npm-") as folder:
        (Path(folder) / "node_modules").symlink_to(kept / "node_modules")
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
