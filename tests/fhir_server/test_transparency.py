"""The file of witnesses: what it may say, and that anything else does not start the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anchoring.log.checkpoint import LogKey, WitnessSeeds
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings
from fhir_server.transparency import read_witnesses

KEYS = [key.vkey for key in WitnessSeeds("a.example/witness", b"a" * 32, b"b" * 32).public_keys()]
OTHERS = [key.vkey for key in WitnessSeeds("b.example/w", b"c" * 32, b"d" * 32).public_keys()]
ONE = {"url": "https://a.example/log/", "vkeys": KEYS}
TWO = {"url": "http://localhost:1/log", "vkeys": OTHERS[:1]}


def written(folder: Path, content: Any) -> Settings:
    file = folder / "witnesses.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return Settings(data=folder, witnesses=str(file))


def test_without_a_file_nobody_is_asked(tmp_path: Path) -> None:
    assert read_witnesses(Settings(data=tmp_path)).witnesses == ()


def test_witnesses_have_a_place_a_name_and_keys(tmp_path: Path) -> None:
    said = {"quorum": 2, "without": "wait", "witnesses": [ONE, TWO]}
    quorum = read_witnesses(written(tmp_path, said))
    assert [each.url for each in quorum.witnesses] == ["https://a.example/log", TWO["url"]]
    assert [each.name for each in quorum.witnesses] == ["a.example/witness", "b.example/w"]
    assert (quorum.needed, quorum.waits) == (2, True)
    assert not read_witnesses(written(tmp_path, {"quorum": 0, "witnesses": [ONE]})).waits


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{", "null", {}, {"witnesses": []}, {"quorum": 0}),
        *({"quorum": 2, "witnesses": [ONE]}, {"quorum": -1, "witnesses": [ONE]}),
        *({"quorum": "1", "witnesses": [ONE]}, {"quorum": True, "witnesses": [ONE]}),
        {"quorum": 1, "witnesses": [ONE], "without": "panic"},
        *({"quorum": 1, "witnesses": [ONE, ONE]}, {"quorum": 1, "witnesses": ONE}),
        {"quorum": 1, "witnesses": [{**ONE, "url": "http://a.example/log"}]},
        {"quorum": 1, "witnesses": [{**ONE, "url": "https:///log"}]},
        {"quorum": 1, "witnesses": [{**ONE, "url": "file:///etc/passwd"}]},
        {"quorum": 1, "witnesses": [{**ONE, "url": 5}]},
        {"quorum": 1, "witnesses": [{**ONE, "vkeys": []}]},
        {"quorum": 1, "witnesses": [{**ONE, "vkeys": "rubbish"}]},
        {"quorum": 1, "witnesses": [{**ONE, "vkeys": [KEYS[0], OTHERS[1]]}]},
        {"quorum": 1, "witnesses": [{**ONE, "vkeys": [KEYS[0], KEYS[0]]}]},
        {"quorum": 1, "witnesses": [{**ONE, "vkeys": [LogKey("a", 1, b"a" * 32).vkey]}]},
        {"quorum": 1, "witnesses": [{"url": ONE["url"]}]},
    ],
)
def test_anything_else_is_one_sentence(tmp_path: Path, content: Any) -> None:
    with pytest.raises(SettingsError, match="witnesses cannot be used"):
        read_witnesses(written(tmp_path, content))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="witnesses cannot be used"):
        read_witnesses(Settings(data=tmp_path, witnesses=str(tmp_path / "none.json")))
