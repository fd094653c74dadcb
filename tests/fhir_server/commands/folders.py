"""What the data folders of these tests hold, and short ways to work with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from fhir_server.app import clock, close_house, open_house
from fhir_server.commands.restore import restore
from fhir_server.settings import Settings
from tests.fhir_server.large_documents import pattern

NAME = "Gustafsson-Lindqvist"
DOCUMENT = pattern(2_000_000)
QUIET = Console(quiet=True)


def other_byte(column: str, at: int) -> str:
    """SQL for the BLOB of a column with its byte at (counted from 1) changed, whatever it was: sealed bytes are random."""
    byte = f"CASE substr({column}, {at}, 1) WHEN x'00' THEN x'01' ELSE x'00' END"
    changed = f"substr({column}, 1, {at - 1}) || {byte} || substr({column}, {at + 1})"
    return f"CAST({changed} AS BLOB)"


async def anchor(settings: Settings) -> None:
    house = await open_house(settings)
    assert await house.anchorer.run_once(clock()) is not None
    await close_house(house)


def refused(
    settings: Settings, source: Path, error: type[Exception], match: str | None = None
) -> None:
    """Restoring is refused, and the folder is as it was."""
    before = content(settings.data)
    with pytest.raises(error, match=match):
        restore(settings, source, QUIET)
    assert content(settings.data) == before


def content(data: Path) -> object:
    return (
        {f.name: f.read_bytes() for f in data.iterdir() if f.is_file()} if data.exists() else None
    )
