"""Real input that lies beside the repository on developers' machines (``shared/data``, with its README)."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def folder_of(name: str) -> Path:
    """A folder of the shared data; the test is skipped, with its reason, where there is none."""
    found = DATA / name
    if not found.is_dir():
        pytest.skip(f"no shared data here: {name}")
    return found


def lines_of(file: Path) -> Iterator[bytes]:
    """The resources of an NDJSON file, as they stand there."""
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return (line for line in content.splitlines() if line.strip())


def r4_examples() -> Iterator[bytes]:
    """Every official R4 example."""
    for file in sorted(folder_of("r4-examples").glob("*.ndjson.gz")):
        yield from lines_of(file)
