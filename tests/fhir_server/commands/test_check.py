"""``consentry check`` finds what somebody with the disk has changed, and nothing where nothing is wrong."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_server.__main__ import main
from fhir_server.crypto.providers.local import LocalKeyProvider
from fhir_server.settings import Settings
from tests.fhir_server.clinic import ETH, HOUSE, consent, observation, open_clinic, patient
from tests.fhir_server.commands.folders import NAME, other_byte

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def copied(original: Settings, tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    shutil.copytree(original.data, data)
    return replace(original, data=data)


@pytest.fixture
def check(
    copied: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Change the database by SQL, then check it: the exit code and what was said."""
    monkeypatch.setenv("CONSENTRY_KEY", copied.key)
    monkeypatch.setenv("COLUMNS", "300")

    def changed(*statements: str) -> tuple[int, str]:
        connection = sqlite3.connect(copied.data / "consentry.sqlite")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
        code = main(["check", "--data", str(copied.data)])
        return code, capsys.readouterr().out

    return changed


def test_nothing_is_found_where_nothing_is_wrong(check: Check) -> None:
    code, said = check()
    assert code == 0, said
    assert "0 findings" in said
    assert "1 large documents" in said
    assert "proved" in said


def test_an_index_that_is_to_be_made_again_is_one_finding(check: Check) -> None:
    code, said = check(
        "PRAGMA user_version = 10",  # as the program before step 11 left it
    )
    assert code == 1
    assert "1 findings" in said
    assert "start 'consentry serve'" in said


async def _live(data: Path, material: bytes) -> None:
    """A life with updates, deletions, labels, shared records and a search parameter of one's own."""
    clinic = await open_clinic(data, keys=LocalKeyProvider(material))
    for number in range(6):
        await clinic.put(observation("changing", "p", code=f"{number}-{number}"))
    await clinic.put(observation("o3", "p", meta=ETH))
    await clinic.ask(HOUSE, "DELETE", "Observation/o4")
    await clinic.ask(HOUSE, "DELETE", "Binary/d")
    await clinic.put(observation("shared", "p", performer=[{"reference": "Patient/q"}]))
    for _ in range(700):  # more than a lap of the queue of the events' tokens
        await clinic.get(HOUSE, "Observation/o1")
    await clinic.close()


def test_nothing_is_found_after_a_life_of_changes(
    check: Check, copied: Settings, material: bytes
) -> None:
    asyncio.run(_live(copied.data, material))
    code, said = check()
    assert code == 0, said


NEWEST = "(SELECT max(rid) FROM record WHERE type = 'Observation')"
EVENT = "(SELECT rid FROM audit WHERE n = 3)"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            f"UPDATE version SET sealed = {other_byte('sealed', 41)} WHERE rid = {NEWEST}",
            "version 1: auth",
        ),
        (f"UPDATE version SET at = at + 1 WHERE rid = {NEWEST}", "time or deletion"),
        (f"UPDATE version SET patients = zeroblob(16) WHERE rid = {NEWEST}", "version 1"),
        (f"UPDATE version SET key_id = zeroblob(16), version = 2 WHERE rid = {NEWEST}", "gap"),
        (f"UPDATE record SET version = 2 WHERE rid = {NEWEST}", "calls version 2 the current one"),
        (f"UPDATE record SET at = 5 WHERE rid = {NEWEST}", "time or deletion"),
        (f"UPDATE record SET deleted = 1 WHERE rid = {NEWEST}", "time or deletion"),
        (f"UPDATE record SET type = 'Flag' WHERE rid = {NEWEST}", "another type"),
        (f"UPDATE record SET row = zeroblob(16) WHERE rid = {NEWEST}", "version 1"),
        (f"DELETE FROM version WHERE rid = {NEWEST}", "no version"),
        (f"DELETE FROM token WHERE rid = {NEWEST}", "tokens are not in the index"),
        (
            f"DELETE FROM token WHERE rid = {NEWEST} AND token = "
            f"(SELECT max(token) FROM token WHERE rid = {NEWEST})",
            None,  # it may be padding
        ),
        (
            f"INSERT OR IGNORE INTO token SELECT part, token, {NEWEST} FROM token WHERE rid = "
            "(SELECT rid FROM record WHERE type = 'Patient')",
            "are not its own",
        ),
        ("INSERT INTO token VALUES (0, zeroblob(12), 99999)", "not there"),
        ("UPDATE event_token SET rids = '[]'", "tokens are not in the index"),
        (f"DELETE FROM audit WHERE rid = {EVENT}", "without a leaf"),
        ("UPDATE audit SET commitment = zeroblob(32) WHERE n = 5", "event 5"),
        (
            "UPDATE chunk SET sealed = CAST(x'01' || zeroblob(99) AS BLOB) WHERE n = 7",
            "chunk is not what was sealed",
        ),
        ("DELETE FROM chunk WHERE n = 7", "missing"),
        ("UPDATE chunk SET n = 99 WHERE n = 7", "missing"),
        ("UPDATE chunk SET document = zeroblob(16)", "missing"),
        ("UPDATE document SET id = zeroblob(16)", "no version of this record names it"),
        ("INSERT INTO chunk VALUES (zeroblob(16), 0, x'01')", "chunks are of documents that are"),
        ("DELETE FROM document", "chunks are of documents that are not there"),
        ("UPDATE document SET rid = 1", "no version of this record names it"),
    ],
)
def test_what_was_changed_is_found(check: Check, statement: str, words: str | None) -> None:
    code, said = check(statement)
    if words is not None:
        assert code == 1
        assert words in said
    assert NAME not in said
    assert "Patient/p" not in said


def test_what_was_emptied_as_by_an_erasure_is_found(check: Check) -> None:
    code, said = check(
        f"UPDATE version SET deleted = 1, patients = x'', sealed = x'' WHERE rid = {NEWEST}",
        f"UPDATE record SET deleted = 1, row = randomblob(16) WHERE rid = {NEWEST}",
        f"DELETE FROM token WHERE rid = {NEWEST}",
    )
    assert code == 1
    assert "it was emptied, and not by an erasure" in said
    assert "1 findings" in said


async def _erased(data: Path, material: bytes) -> None:
    clinic = await open_clinic(data, keys=LocalKeyProvider(material))
    await clinic.put(patient("gone"))
    await clinic.put(observation("of-gone", "gone"))
    assert (await clinic.ask(HOUSE, "POST", "Patient/gone/$erase")).status == 200
    await clinic.close()


def test_a_record_that_was_made_to_name_a_destroyed_key_is_found(
    check: Check, copied: Settings, material: bytes
) -> None:
    asyncio.run(_erased(copied.data, material))
    code, said = check()
    assert code == 0, said
    code, said = check(
        "UPDATE version SET key_id = (SELECT id FROM data_key WHERE length(wrapped) = 17)"
        " WHERE rid = (SELECT min(rid) FROM record WHERE type = 'Observation')"
    )
    assert code == 1
    assert "the key that it names was destroyed, but it was not erased with it" in said


def test_a_database_of_a_program_that_left_no_proof_is_to_be_started(
    check: Check, copied: Settings, material: bytes
) -> None:
    asyncio.run(_erased(copied.data, material))
    code, said = check(
        "UPDATE data_key SET wrapped = x'' WHERE length(wrapped) = 17",
        "UPDATE version SET sealed = x'' WHERE length(sealed) = 17",
        "INSERT INTO meta VALUES ('destroyed-unproved', x'')",
    )
    assert code == 1
    assert "0 findings" in said
    assert "until 'consentry serve' was started" in said


@pytest.mark.parametrize("left", ["x''", "x'00'", "zeroblob(17)"])
def test_a_key_that_was_taken_away_is_found(check: Check, left: str) -> None:
    code, said = check(
        f"UPDATE data_key SET wrapped = {left} WHERE id = (SELECT key_id FROM version WHERE rid = {NEWEST})"
    )
    assert code == 1
    assert "a data key was taken away, and not by an erasure" in said


def test_a_broken_second_wrap_is_found_while_the_first_opens(
    check: Check, copied: Settings, material: bytes
) -> None:
    asyncio.run(_live(copied.data, material))
    half = "length(wraps) - 20"
    code, said = check(
        f"UPDATE version SET wraps = CAST(substr(wraps, 1, {half}) || zeroblob(20) AS BLOB) WHERE length(wraps) > 0"
    )
    assert code == 1
    assert "version 1: auth" in said


def test_what_is_staged_is_no_finding(check: Check) -> None:
    code, said = check("INSERT INTO document (id, touched) VALUES (zeroblob(16), 1)")
    assert code == 0, said


def test_the_wrong_key_is_told_in_a_sentence(
    copied: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["check", "--data", str(copied.data)]) == 2
    assert "key" in capsys.readouterr().err


def test_nothing_is_found_after_an_erasure(check: Check, copied: Settings, material: bytes) -> None:
    async def erase() -> None:
        clinic = await open_clinic(copied.data, keys=LocalKeyProvider(material))
        await clinic.put(observation("of-two", "q", performer=[{"reference": "Patient/p"}]))
        answer = await clinic.ask(HOUSE, "POST", "Patient/p/$erase")
        assert answer.status == 200, answer.body
        await clinic.close()

    asyncio.run(erase())
    code, said = check()
    assert code == 0, said
    assert "(0 of them erased)" not in said


async def _change_mind(data: Path, material: bytes) -> None:
    clinic = await open_clinic(data, keys=LocalKeyProvider(material))
    await clinic.put(consent("c", "p", "permit", "Organization/other"))
    await clinic.put(consent("kept", "p", "permit", "Organization/other"))
    await clinic.close()
    shutil.copytree(data, data.with_name("before"))
    clinic = await open_clinic(data, keys=LocalKeyProvider(material))
    await clinic.put(consent("c", "p", "deny", "Organization/other"))
    await clinic.put(consent("new", "p", "deny", "Organization/another"))
    await clinic.close()


def test_consents_put_back_with_their_register_are_told_by_the_log(
    check: Check, copied: Settings, material: bytes
) -> None:
    """What no server can notice at its start: records, notes and root are all those of one and the same moment."""
    asyncio.run(_change_mind(copied.data, material))
    code, said = check()
    assert code == 0, said
    before = copied.data.with_name("before") / "consentry.sqlite"
    new = "(SELECT r.rid FROM record r WHERE r.type = 'Consent' ORDER BY r.rid DESC LIMIT 1)"
    code, said = check(
        f"ATTACH '{before}' AS before",
        f"DELETE FROM version WHERE rid = {new}",
        f"DELETE FROM token WHERE rid = {new}",
        f"DELETE FROM record WHERE rid = {new}",
        "DELETE FROM version WHERE type = 'Consent' AND version = 2",
        "UPDATE record SET version = 1, at = (SELECT v.at FROM version v WHERE v.rid = record.rid)"
        " WHERE type = 'Consent'",
        "DELETE FROM meta WHERE name LIKE 'consents%'",
        "INSERT INTO meta SELECT * FROM before.meta WHERE name LIKE 'consents%'",
    )
    assert code == 1
    assert "the audit log tells of version 2, which is not there" in said
    assert "the audit log tells of a Consent that is not there" in said


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM meta WHERE name LIKE 'consents|%'",
        "UPDATE meta SET value = zeroblob(length(value)) WHERE name LIKE 'consents|%'",
    ],
)
def test_a_register_that_says_something_else_is_found(
    check: Check, copied: Settings, material: bytes, statement: str
) -> None:
    asyncio.run(_change_mind(copied.data, material))
    code, said = check(statement)
    assert code == 1
    assert "register" in said


async def _erase_somebody(data: Path, material: bytes) -> None:
    clinic = await open_clinic(data, keys=LocalKeyProvider(material))
    await clinic.put(patient("leaving"))
    assert (await clinic.ask(HOUSE, "POST", "Patient/leaving/$erase")).status == 200
    await clinic.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM meta WHERE name LIKE 'erased|%'", "states one of which there is no note"),
        (
            "UPDATE meta SET value = zeroblob(20) WHERE name LIKE 'erased|%'",
            "the note of an erasure is not what was written",
        ),
        (
            "UPDATE meta SET name = 'erased|' || hex(zeroblob(16)) WHERE name LIKE 'erased|%'",
            "not what its AuditEvent says",
        ),
    ],
)
def test_a_note_of_an_erasure_that_is_not_what_the_log_states_is_found(
    check: Check, copied: Settings, material: bytes, statement: str, words: str
) -> None:
    asyncio.run(_erase_somebody(copied.data, material))
    code, said = check()
    assert code == 0, said
    code, said = check(statement)
    assert code == 1
    assert words in said
