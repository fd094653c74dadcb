"""The committed table, and that it is what the official package gives."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from importlib import resources
from pathlib import Path

import pytest

from profiles.definitions import r4
from profiles.derive import derive, main, read_package

PACKAGE = "CONSENTRY_R4_PACKAGE"


def _table() -> bytes:
    return gzip.decompress(resources.files("profiles").joinpath("r4.json.gz").read_bytes())


def test_the_table_is_the_one_that_its_source_page_names() -> None:
    page = resources.files("profiles").joinpath("SOURCE.md").read_text()
    hashes = re.findall(r"\| table, uncompressed \| `([0-9a-f]{64})` \|", page)
    assert hashes == [hashlib.sha256(_table()).hexdigest()]


def test_the_official_package_gives_the_committed_table() -> None:
    name = os.environ.get(PACKAGE, "")
    if not name:
        pytest.skip(f"{PACKAGE} does not name hl7.fhir.r4.core.tgz: the table is not derived again")
    table = derive(read_package(Path(name).read_bytes()))
    assert json.dumps(table, separators=(",", ":")).encode() == _table()


def test_the_table_holds_what_r4_publishes() -> None:
    definitions = r4()
    assert len(definitions.resource_types) == 146
    assert set(definitions.compartments) == {
        "Patient",
        "Encounter",
        "Practitioner",
        "RelatedPerson",
        "Device",
    }
    assert len(definitions.by_url) > 1300
    assert definitions.elements["Patient"]["birthDate"].type == "date"
    assert definitions.elements["Observation"]["valueQuantity"].choice == "value"
    assert definitions.elements["Observation"]["status"].min == 1
    assert "final" in definitions.codes[definitions.elements["Observation"]["status"].codes]
    assert "Resource" not in definitions.resource_types


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_without_one_package_it_says_how_it_is_called(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
