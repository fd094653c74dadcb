"""A clinic for each test, in memory where the machine has a memory file system: the disk is tested where it matters."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from .clinic import Clinic, open_clinic

_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    where = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="consentry-test-", dir=where) as made:
        yield Path(made)


@pytest.fixture
async def clinic(folder: Path) -> AsyncIterator[Clinic]:
    opened = await open_clinic(folder)
    yield opened
    await opened.close()
