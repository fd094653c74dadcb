"""The tables of docs/consent-conformance.md: no rule is without a test, and no test is named that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "consent-conformance.md").read_text()
ROWS = {
    rule: re.findall(r"`([^`]+)`", files)
    for rule, files in re.findall(r"^\| ((?:step_|2_)\w+) \| .+ \| (.+) \|$", PAGE, re.M)
}
SELECTORS = [
    "actor",
    "action",
    "purpose",
    "labels",
    "class",
    "code",
    "data_period",
    "data",
    "unknown",
]
RULES = [
    *(f"step_{n}" for n in (0, 1, 2, 3, 4, 7, 8, 9, 10)),
    *(f"step_5{part}" for part in "abc"),
    *(f"step_6_{selector}" for selector in SELECTORS),
    *(f"2_{n}" for n in range(1, 18) if n != 16),  # 2.16 is Step 3
]


def named(path: str, rule: str) -> bool:
    """Whether a file has a test that is named after a rule."""
    pattern = rf"^(?:async )?def test_(?:\w+_)?{rule}_"
    return re.search(pattern, (ROOT / path).read_text(), re.M) is not None


def test_no_rule_is_missing() -> None:
    assert sorted(ROWS) == sorted(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_each_file_of_a_rule_has_a_test_that_is_named_after_it(rule: str) -> None:
    assert ROWS[rule]
    assert [path for path in ROWS[rule] if not named(path, rule)] == []


def test_every_file_that_is_named_has_tests() -> None:
    for path in re.findall(r"`(tests/[^`]+\.py)`", PAGE):
        assert "def test_" in (ROOT / path).read_text() or path.endswith("naive.py"), path


def test_the_number_of_wrong_readings_is_told() -> None:
    from tests.consent_engine.test_mutations import WRONG

    assert f"{len(WRONG)} wrong readings" in PAGE
