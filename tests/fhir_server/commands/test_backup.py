"""Backups: all of it, as it was at one instant, with nothing in clear."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_server.__main__ import main
from fhir_server.commands.backup import back_up
from fhir_server.commands.restore import restore
from fhir_server.crypto.choosing import erasures_file
from fhir_server.crypto.providers.local import LocalKeyProvider
from fhir_server.errors import BackupError
from fhir_server.settings import Settings
from tests.fhir_server.clinic import HOUSE, observation, open_clinic
from tests.fhir_server.commands.folders import DOCUMENT, NAME, QUIET, anchor
from tests.fhir_server.large_documents import fetch


def test_what_was_backed_up_comes_back(
    made: Path, empty: Settings, original: Settings, material: bytes
) -> None:
    manifest = restore(empty, made, QUIET)
    assert manifest.tenant == "default"
    assert sorted(f.name for f in empty.data.iterdir()) == ["chain.sqlite", "consentry.sqlite"]
    assert all(f.stat().st_mode & 0o077 == 0 for f in empty.data.iterdir())

    shutil.copy(erasures_file(original), erasures_file(empty))  # no part of a backup

    async def look() -> None:
        clinic = await open_clinic(empty.data, keys=LocalKeyProvider(material))
        found = await clinic.get(HOUSE, f"Patient?name={NAME[:9]}")
        assert found.json["total"] == 1
        assert (await clinic.get(HOUSE, "Observation?subject=Patient/p")).json["total"] == 20
        assert (await fetch(clinic, HOUSE, "Binary/d"))[1] == DOCUMENT
        await clinic.close()

    asyncio.run(look())
    assert main(["audit", "--data", str(empty.data)]) != 0  # without the key
    asyncio.run(anchor(empty))


def test_a_backup_holds_nothing_in_clear(made: Path) -> None:
    content = made.read_bytes()
    for secret in (NAME, "Observation/o1", "Patient/p", "8867-4"):
        assert secret.encode() not in content
    assert made.stat().st_mode & 0o077 == 0


def test_a_backup_is_not_written_over(made: Path, original: Settings) -> None:
    before = made.read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        back_up(original, made, QUIET)
    assert made.read_bytes() == before


def test_nothing_is_left_beside_a_backup(made: Path) -> None:
    assert [f.name for f in made.parent.iterdir()] == [made.name]


# Under load


def test_a_backup_taken_while_others_write_is_whole(
    original: Settings, tmp_path: Path, material: bytes
) -> None:
    data = tmp_path / "busy"
    shutil.copytree(original.data, data)
    settings = replace(original, data=data)
    stop, written = threading.Event(), []

    async def write() -> None:
        clinic = await open_clinic(data, keys=LocalKeyProvider(material))
        while not stop.is_set():
            id_ = f"busy{len(written)}"
            await clinic.put(observation(id_, "p"))
            written.append(id_)
        await clinic.close()

    thread = threading.Thread(target=lambda: asyncio.run(write()))
    thread.start()
    try:
        while len(written) < 20:
            time.sleep(0.01)
        before = len(written)
        back_up(settings, tmp_path / "busy.backup", QUIET)
        after = len(written)
    finally:
        stop.set()
        thread.join()
    restored = replace(original, data=tmp_path / "restored")
    restore(restored, tmp_path / "busy.backup", QUIET)
    environment = {"CONSENTRY_KEY": b64encode(material).decode(), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "fhir_server", "audit", "--data", str(restored.data)]
    proved = subprocess.run(
        command,
        env={**environment, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert proved.returncode == 0, proved.stdout + proved.stderr
    connection = sqlite3.connect(restored.data / "consentry.sqlite")
    (records,) = connection.execute(
        "SELECT count(*) FROM record WHERE type = 'Observation'"
    ).fetchone()
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert 20 + before <= records <= 20 + after + 1


def test_the_commands_say_what_they_did(
    original: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CONSENTRY_KEY", original.key)
    backup, target = tmp_path / "b", tmp_path / "t"
    assert main(["backup", "--data", str(original.data), str(backup)]) == 0
    assert "is not in it: keep it elsewhere" in capsys.readouterr().out.replace("\n", " ")
    assert main(["restore", "--data", str(target), str(backup)]) == 0
    assert "restored what was backed up at" in capsys.readouterr().out
    assert main(["restore", "--data", str(target), str(backup)]) == 2
    assert "not empty" in capsys.readouterr().err
