"""npm packages for tests, locked, installed once into the environment's cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NPM = shutil.which("npm")
_FILES = ("package.json", "package-lock.json")
PATIENCE = 1200.0  # seconds, for some hundred packages on a slow network
_INSTALL = ("ci", "--no-audit", "--no-fund", "--silent", "--ignore-scripts")


def installed(package: Path, name: str) -> Path:
    """The folder where the packages of the lock file in ``package`` are; skips the test where there is no npm."""
    digest = hashlib.sha256((package / "package-lock.json").read_bytes()).hexdigest()[:16]
    kept = Path(sys.prefix) / "cache" / f"{name}-{digest}"
    if not kept.exists():
        _install(package, name, kept)
    return kept


def _install(package: Path, name: str, kept: Path) -> None:
    """Into a folder of its own first: another run may be doing the same."""
    if NPM is None:
        pytest.skip(f"no {name}: npm is not installed")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f"{name}-") as temporary:
        folder = Path(temporary) / "installed"
        folder.mkdir()
        for each in _FILES:
            shutil.copy(package / each, folder)
        subprocess.run([NPM, *_INSTALL], cwd=folder, check=True, timeout=PATIENCE)
        if not kept.exists():
            folder.rename(kept)
