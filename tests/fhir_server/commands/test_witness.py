"""``consentry witness``: keys, logs, and the evidence against one that showed two histories."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anchoring.errors import ConflictingCheckpointError
from fhir_server.__main__ import main
from fhir_server.app import close_house, open_house
from fhir_server.settings import Settings
from tests.anchoring.witnessing.test_witness import FORK, LOG, sent

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    named = tmp_path / "logs.json"
    named.write_text(json.dumps({LOG.origin: [key.vkey for key in LOG.public_keys()]}))
    monkeypatch.setenv("CONSENTRY_WITNESS_LOGS", str(named))
    monkeypatch.setenv("CONSENTRY_DATA", str(tmp_path / "data"))
    return Settings(data=tmp_path / "data", witness_logs=str(named))


async def _ask(settings: Settings, *bodies: bytes) -> None:
    house = await open_house(settings)
    try:
        for body in bodies:
            await house.transparency.witness.add_checkpoint(body, NOW)
    finally:
        await close_house(house)


def test_what_was_cosigned_and_what_was_refused_is_told_after_a_restart(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_ask(settings, sent(0, 50)))
    assert main(["witness"]) == 0
    told = capsys.readouterr().out
    assert f"log  {LOG.origin}: 50 events cosigned" in told
    assert told.count("key  localhost/witness/default+") == 2
    with pytest.raises(ConflictingCheckpointError):
        asyncio.run(_ask(settings, sent(50, 90, FORK)))
    assert main(["witness"]) == 1
    assert "TWO HISTORIES, 1 refused" in capsys.readouterr().out
    assert main(["witness", "--json"]) == 1
    (log,) = json.loads(capsys.readouterr().out)["logs"]
    assert (log["log"], log["size"], log["refused"]) == (LOG.origin, 50, 1)
    assert log["evidence"][0]["kept"] != log["evidence"][0]["refused"]


def test_after_a_restore_the_witness_gets_new_keys_and_keeps_name_and_memory(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_ask(settings, sent(0, 50)))
    told = []
    for arguments in (["witness", "--json"], ["witness", "--new-keys", "--json"], ["witness", "--json"]):  # fmt: skip
        assert main(arguments) == 0
        told.append(json.loads(capsys.readouterr().out))
    before, renewed, after = told
    assert renewed == after
    assert not set(before["keys"]) & set(after["keys"])
    assert [key.partition("+")[0] for key in after["keys"]] == ["localhost/witness/default"] * 2
    assert after["logs"][0]["size"] == 50


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"a": []}',
        '{"a": ["b+00000000+AQ=="]}',
        '{"a": "b"}',
        '{"a": [1]}',
        "{1: 2}",
    ],
)
def test_a_file_of_logs_that_is_wrong_is_one_sentence(
    settings: Settings, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    Path(settings.witness_logs).write_text(content)
    asyncio.run(_made(settings))
    assert main(["witness"]) == 2
    assert "witness_logs cannot be used" in capsys.readouterr().err


def test_a_key_of_another_log_is_refused(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [key.vkey for key in LOG.public_keys()]
    Path(settings.witness_logs).write_text(json.dumps({"other.example/audit": keys}))
    asyncio.run(_made(settings))
    assert main(["witness"]) == 2
    assert "under another name" in capsys.readouterr().err


async def _made(settings: Settings) -> None:
    await close_house(await open_house(Settings(data=settings.data)))
