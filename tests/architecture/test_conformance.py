"""The table of docs/smart-conformance.md: no item is missing, and each test file that it names has tests of the item."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| .+ \| (.+) \|$", re.M)
ITEMS = range(1, 54)


def table() -> dict[int, list[str]]:
    """The test files by item."""
    rows = ROW.findall((ROOT / "docs" / "smart-conformance.md").read_text())
    return {int(item): re.findall(r"`([^`]+)`", files) for item, files in rows}


def items_of(path: str) -> set[int]:
    """The items that the tests of a file are named after."""
    names = re.findall(r"^(?:async )?def test_item_(\d+)_", (ROOT / path).read_text(), re.M)
    return {int(number) for number in names}


def test_no_item_is_missing() -> None:
    assert list(table()) == list(ITEMS)


@pytest.mark.parametrize("item", ITEMS)
def test_the_tests_that_the_table_names_are_there(item: int) -> None:
    files = table()[item]
    assert files
    for path in files:
        assert item in items_of(path), path


def test_every_test_that_is_named_after_an_item_is_in_the_table() -> None:
    named = table()
    for file in (ROOT / "tests").rglob("test_*.py"):
        path = file.relative_to(ROOT).as_posix()
        for item in items_of(path):
            assert path in named.get(item, []), f"{path} has tests of item {item}"
