"""The sample clinic that all journeys begin with."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from consent_engine import review
from fhir_server import sample
from fhir_server.commands.story.proofs import find_texts
from fhir_server.sample import build


def _pdfs() -> list[bytes]:
    return [
        base64.b64decode(resource["content"][0]["attachment"]["data"])  # type: ignore[index]
        for resource in sample.resources(sample.clinic())
        if resource["resourceType"] == "DocumentReference"
    ]


def test_the_file_is_what_its_builder_makes() -> None:
    assert sample.clinic().decode() == build.build()


def test_its_decimals_have_the_zeros_of_a_laboratory() -> None:
    values = re.findall(r'"value": ([0-9.]+)', sample.clinic().decode())
    assert "7.20" in values
    assert sum(value.endswith("0") for value in values) > len(values) / 2


def test_its_consent_can_be_interpreted_and_ends_with_the_day_given() -> None:
    consent = sample.consent(date(2031, 5, 6))
    assert review(consent) == ()
    assert consent["provision"]["period"] == {"end": "2031-05-06"}  # type: ignore[index]


def test_what_is_private_is_found_where_it_is_and_only_there(tmp_path: Path) -> None:
    texts = sample.private_texts(sample.clinic())
    assert {"Achterberg", "1984-03-17", "12 Willowmere Street"} <= texts
    assert any("haemoglobin" in text for text in texts)
    (tmp_path / "wide").write_bytes(b"\x00\x01" + "Achterberg".encode("utf-16-le") + b"\xff")
    (tmp_path / "clean").write_bytes(bytes(range(256)) * 100)
    files = [tmp_path / "wide", tmp_path / "clean"]
    assert find_texts(files, texts) == [("Achterberg", tmp_path / "wide")]


def test_its_pdfs_have_a_right_cross_reference_table() -> None:
    for file in _pdfs():
        start = int(re.findall(rb"startxref\n(\d+)\n%%EOF\n$", file)[0])
        assert file[start : start + 5] == b"xref\n"
        places = [int(place) for place in re.findall(rb"(\d{10}) 00000 n \n", file)]
        assert len(places) == 5
        for number, place in enumerate(places, start=1):
            assert file[place:].startswith(b"%d 0 obj\n" % number)
        length, content = re.findall(rb"/Length (\d+) >>\nstream\n(.*)\nendstream", file, re.S)[0]
        assert int(length) == len(content)


def test_its_pdfs_open_in_a_reader(tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler) is not installed")
    for number, file in enumerate(_pdfs()):
        (tmp_path / f"{number}.pdf").write_bytes(file)
        done = subprocess.run(
            ["pdftotext", str(tmp_path / f"{number}.pdf"), "-"], capture_output=True, check=True
        )
        assert done.stderr == b""
        shown = done.stdout.decode().split()
        assert [word for line in sample.pdf_lines(file) for word in line.split()] == shown


def test_it_names_nobody_by_an_id() -> None:
    """Ids stand in logs and urls."""
    names = {text.lower() for text in sample.private_texts(sample.clinic())}
    for resource in sample.resources(sample.clinic()):
        assert not any(name in str(resource.get("id", "")).lower() for name in names)
    assert not any(
        f'"{name}"' in json.dumps(sample.consent(date(2031, 5, 6))).lower() for name in names
    )
