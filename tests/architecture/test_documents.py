"""What the documents promise stands in the code, and the other way round."""

import re
from dataclasses import fields
from pathlib import Path

from fhir_server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_is_documented_and_nothing_else() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `CONSENTRY_([A-Z_]+)`", page, re.MULTILINE))
    assert documented == {f.name.upper() for f in fields(Settings)}


def test_every_default_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `CONSENTRY_([A-Z_]+)` \| ([^|]*) \|", page, re.MULTILINE))
    for field in fields(Settings):
        if isinstance(field.default, int):
            assert f"{field.default}".lower() in rows[field.name.upper()].replace(",", ""), (
                field.name
            )


def test_the_pythons_it_runs_on_are_the_same_everywhere() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    bounds = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', declared)
    assert bounds
    first, beyond = (int(minor) for minor in bounds.groups())
    makefile = (ROOT / "Makefile").read_text()
    assert f"(3, {first}) <= sys.version_info < (3, {beyond})" in makefile
    assert f"Python 3.{first} to 3.{beyond - 1}" in makefile
    assert f"Python 3.{first} to 3.{beyond - 1}" in (ROOT / "README.md").read_text()


def test_the_first_screen_of_the_readme_says_what_it_is_for_and_how_to_start() -> None:
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    for words in ("FHIR R4", "Consent", "make demo", "make test"):
        assert words in first
