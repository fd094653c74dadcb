"""Restoring: what is whole, ours and agrees with its chain; the rest is refused, and nothing changed."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sqlite3
import tarfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from anchoring.errors import HistoryError
from fhir_server import evidence
from fhir_server.app import open_house
from fhir_server.archive import open_archive
from fhir_server.commands.backup import back_up
from fhir_server.commands.restore import restore
from fhir_server.crypto.choosing import erasures_file
from fhir_server.crypto.providers.local import LocalKeyProvider, new_key_material
from fhir_server.errors import BackupError, SettingsError, WrongKeyError
from fhir_server.settings import Settings
from tests.fhir_server.clinic import observation, open_clinic
from tests.fhir_server.commands.folders import QUIET, anchor, refused


@pytest.mark.parametrize("left", [0.0, 0.0001, 0.3, 0.9, 0.999])
def test_a_backup_that_is_cut_off_isrefused(
    made: Path, empty: Settings, tmp_path: Path, left: float
) -> None:
    content = made.read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(content[: int(left * len(content) * 0.99)])
    refused(empty, cut, BackupError)


@pytest.mark.parametrize("part", range(8))
def test_a_flipped_byte_is_noticed_wherever_it_is(
    made: Path, empty: Settings, tmp_path: Path, part: int
) -> None:
    content = bytearray(made.read_bytes())
    with tarfile.open(made) as tar:
        members = tar.getmembers()
    within = members[min(part, len(members) - 1)]
    content[within.offset_data + within.size * (part + 1) // 10] ^= 0x10
    altered = tmp_path / "altered"
    altered.write_bytes(content)
    refused(empty, altered, BackupError)


def test_a_manifest_that_was_altered_with_its_files_is_noticed_by_the_key(
    made: Path, empty: Settings, tmp_path: Path
) -> None:
    """Somebody who takes events out of the log and computes all digests anew lacks the key."""

    def alter(database: Path) -> None:
        connection = sqlite3.connect(database)
        connection.execute("DELETE FROM audit WHERE n = (SELECT max(n) FROM audit)")
        connection.commit()
        connection.close()

    refused(empty, _forged(made, tmp_path, alter), BackupError, "altered")


def _forged(made: Path, folder: Path, alter: Callable[[Path], None], **manifest: object) -> Path:
    from fhir_server.commands.backup_file import describe

    inside = folder / "inside"
    inside.mkdir()
    with tarfile.open(made) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content, "a backup has files only"
            (inside / member.name).write_bytes(content.read())
    alter(inside / "consentry.sqlite")
    told = json.loads((inside / "manifest.json").read_text())
    names = [f["name"] for f in told["files"]]
    told["files"] = [
        {"name": f.name, "size": f.size, "sha256": f.sha256} for f in describe(inside, names)
    ]
    text = json.dumps({**told, **manifest}).encode()
    target = folder / "forged"
    with tarfile.open(target, "w:") as tar:
        for name, content in (
            ("manifest.json", text),
            ("manifest.mac", (inside / "manifest.mac").read_bytes()),
            *((name, (inside / name).read_bytes()) for name in names),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", ".hidden", "consentry.key"])
def test_a_backup_names_no_other_files(
    made: Path, empty: Settings, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "odd"
    text = json.dumps(
        {
            "format": 1,
            "tenant": "default",
            "made": "now",
            "schema": 1,
            "events": 0,
            "files": [{"name": name, "size": 1, "sha256": "00"}],
        }
    ).encode()
    with tarfile.open(target, "w:") as tar:
        for member_name, content in (
            ("manifest.json", text),
            ("manifest.mac", bytes(32)),
            (name, b"x"),
        ):
            member = tarfile.TarInfo(member_name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    refused(empty, target, BackupError)
    assert not (empty.data.parent / "escaped").exists()


def test_a_backup_of_another_tenant_isrefused(made: Path, empty: Settings) -> None:
    refused(replace(empty, tenant="other"), made, BackupError, "of tenant 'default'")


def test_a_backup_of_a_newer_program_isrefused(made: Path, empty: Settings, tmp_path: Path) -> None:
    def newer(database: Path) -> None:
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA user_version = 999")
        connection.close()

    refused(empty, _forged(made, tmp_path, newer), SettingsError, "schema version 999")


def test_a_backup_in_a_newer_format_isrefused(made: Path, empty: Settings, tmp_path: Path) -> None:
    forged = _forged(made, tmp_path, lambda _: None, format=2)
    refused(empty, forged, BackupError, "format 2")


def test_the_wrong_key_restores_nothing(made: Path, empty: Settings) -> None:
    other = b64encode(new_key_material()).decode()
    refused(replace(empty, key=other), made, WrongKeyError)


def test_a_folder_in_use_is_not_touched(made: Path, empty: Settings, original: Settings) -> None:
    empty.data.mkdir()
    (empty.data / "notes.txt").write_text("mine")
    refused(empty, made, SettingsError, "not empty")
    refused(original, made, SettingsError, "not empty")


def test_what_a_killed_restore_left_is_cleared_away(made: Path, empty: Settings) -> None:
    left = empty.data / ".restoring-abc"
    left.mkdir(parents=True)
    (left / "consentry.sqlite").write_bytes(b"half of it")
    restore(empty, made, QUIET)
    assert not left.exists()
    assert (empty.data / "consentry.sqlite").exists()


def test_the_key_file_may_lie_in_the_folder(made: Path, empty: Settings, material: bytes) -> None:
    empty.data.mkdir()
    key = empty.data / "consentry.key"
    key.touch(0o600)
    key.write_bytes(b64encode(material))
    (empty.data / "consentry.key.erased").write_text("")
    restore(replace(empty, key=""), made, QUIET)
    assert (empty.data / "consentry.sqlite").exists()
    assert key.read_bytes() == b64encode(material)


def test_what_is_no_backup_isrefused(empty: Settings, tmp_path: Path) -> None:
    for name, content in (("a", b"no tar"), ("b", b""), ("c", bytes(10_240))):
        (tmp_path / name).write_bytes(content)
        refused(empty, tmp_path / name, BackupError)
    with pytest.raises(OSError, match="nowhere"):
        restore(empty, tmp_path / "nowhere", QUIET)


# A chain of its own knows more than an old backup


@pytest.fixture
def outside(original: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A server whose chain lies outside of its folder, as others would run it."""
    data, chain = tmp_path / "data", tmp_path / "chain"
    shutil.copytree(original.data, data)
    chain.mkdir()
    for file in data.glob("chain.sqlite*"):
        file.rename(chain / file.name)
    open_chain = evidence._open_chain

    def elsewhere(settings: Settings, key: bytes) -> object:
        return open_chain(replace(settings, data=chain, chain_url=""), key)

    monkeypatch.setattr(evidence, "_open_chain", elsewhere)
    contract = "0" * 40
    return replace(original, data=data, chain_url="http://localhost:1", chain_contract=contract)


def test_a_backup_older_than_the_chain_is_refused_with_what_can_be_done(
    outside: Settings, tmp_path: Path, material: bytes
) -> None:
    old = tmp_path / "old.backup"
    back_up(outside, old, QUIET)
    asyncio.run(_more(outside, material))
    asyncio.run(anchor(outside))
    again = replace(outside, data=tmp_path / "again")
    with pytest.raises(BackupError, match=r"were anchored; .*look for a newer backup.*--new-log"):
        restore(again, old, QUIET)
    assert not again.data.exists()
    back_up(outside, tmp_path / "new.backup", QUIET)
    restore(again, tmp_path / "new.backup", QUIET)


def test_a_new_log_goes_on_under_another_name(
    outside: Settings, tmp_path: Path, material: bytes
) -> None:
    old = tmp_path / "old.backup"
    back_up(outside, old, QUIET)
    asyncio.run(_more(outside, material))
    asyncio.run(anchor(outside))
    again = replace(outside, data=tmp_path / "again")
    restore(again, old, QUIET, new_log=True)
    shutil.copy(
        erasures_file(outside), erasures_file(again)
    )  # the list of erasures is no part of a backup
    asyncio.run(anchor(again))  # all of it, from event 0, under the new name

    async def head_of(settings: Settings) -> int:
        async with open_archive(settings) as archive:
            return (await evidence.chain_head(settings, archive.own)).size

    assert 0 < asyncio.run(head_of(again)) < asyncio.run(head_of(outside))


def test_a_log_of_another_past_isrefused(outside: Settings, tmp_path: Path) -> None:
    connection = sqlite3.connect(outside.data / "consentry.sqlite")
    connection.execute("UPDATE audit SET commitment = zeroblob(32) WHERE n = 3")
    connection.commit()
    connection.close()
    back_up(outside, tmp_path / "altered.backup", QUIET)
    again = replace(outside, data=tmp_path / "again")
    refused(again, tmp_path / "altered.backup", BackupError, "not those that were anchored")
    with pytest.raises(HistoryError):
        asyncio.run(open_house(outside))


async def _more(settings: Settings, material: bytes) -> None:
    clinic = await open_clinic(settings.data, keys=LocalKeyProvider(material))
    for number in range(5):
        await clinic.put(observation(f"later{number}", "p"))
    await clinic.close()
