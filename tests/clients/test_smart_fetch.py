"""smart-fetch (PyPI): a backend service that asks for tokens with its own key and fetches what it may have."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.commands.story.play import Play
from tests.app_site import AppSite


@pytest.mark.parametrize("client_id", ["fetch-es384", "fetch-rs384"])
def test_it_gets_tokens_with_both_algorithms_and_crawls(
    journey: Play, site: AppSite, client_id: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = _crawl(journey, client_id, site.key_file(client_id, tmp_path), out)
    assert done.returncode == 0, done.stdout + done.stderr
    fetched = _lines(out, "Condition")
    assert {line["subject"]["reference"] for line in fetched} == {journey.patient}
    assert len(fetched) == sum(f.type_ == "Condition" for f in journey.filed if f.patient)
    assert [line["id"] for line in _lines(out, "Patient")] == [journey.patient.partition("/")[2]]


def test_a_key_that_is_not_the_clients_gets_nothing(
    journey: Play, site: AppSite, tmp_path: Path
) -> None:
    done = _crawl(journey, "fetch-es384", site.key_file("fetch-rs384", tmp_path), tmp_path / "out")
    assert done.returncode != 0
    assert _lines(tmp_path / "out", "Patient") == []


def test_it_exports_in_bulk_and_deletes_the_export(
    journey: Play, site: AppSite, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    key = site.key_file("fetch-es384", tmp_path)
    done = _run("bulk", journey, "fetch-es384", key, out, {})
    assert done.returncode == 0, done.stdout + done.stderr
    fetched = {f"{line['resourceType']}/{line['id']}" for line in _lines(out, "Condition")}
    assert fetched >= {f.reference for f in journey.filed if f.type_ == "Condition"}
    assert journey.patient.partition("/")[2] in {line["id"] for line in _lines(out, "Patient")}


def _crawl(play: Play, client_id: str, key: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Fetch one patient and her conditions."""
    return _run("crawl", play, client_id, key, out, {"--id-list": play.patient.partition("/")[2]})


def _run(
    mode: str, play: Play, client_id: str, key: Path, out: Path, more: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    program = "from smart_fetch.cli.main import main_cli; main_cli()"
    options = {
        "--fhir-url": play.server.fhir,
        "--smart-client-id": client_id,
        "--smart-key": str(key),
        "--type": "Patient,Condition",
        **more,
    }
    words = [word for pair in options.items() for word in pair]
    command = [sys.executable, "-c", program, mode, *words, str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _lines(folder: Path, type_: str) -> list[dict[str, object]]:
    """What it fetched of a type, wherever below the folder it put it."""
    found = {path.resolve() for path in folder.rglob(f"*{type_}*.ndjson.gz")}
    texts = [gzip.decompress(path.read_bytes()).decode() for path in sorted(found)]
    lines: list[dict[str, object]] = [json.loads(line) for t in texts for line in t.splitlines()]
    return lines
