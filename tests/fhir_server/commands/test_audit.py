"""Tamper drills on a whole data folder: ``consentry audit`` finds who changed the stored log, and names what he did."""

from __future__ import annotations

import io
import re
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from fhir_server.commands.audit import audit
from fhir_server.evidence import CHAIN_FILE
from fhir_server.settings import Settings
from tests.fhir_server.commands.folders import other_byte

SQL = {
    "a changed commitment": (
        f"UPDATE audit SET commitment = {other_byte('commitment', 1)} WHERE n = 4",
        "event 4",
    ),
    "a changed opening": (
        f"UPDATE audit SET opening = {other_byte('opening', 21)} WHERE n = 5",
        "event 5",
    ),
    "a commitment of another length": (
        "UPDATE audit SET commitment = x'00' WHERE n = 4",
        "(event 4|wrong length)",
    ),
    "a changed AuditEvent": (
        f"UPDATE version SET sealed = {other_byte('sealed', 41)}"
        " WHERE rid = (SELECT rid FROM audit WHERE n = 6)",
        "event 6",
    ),
    "an AuditEvent that is gone": (
        "DELETE FROM version WHERE rid = (SELECT rid FROM audit WHERE n = 7)",
        "event 7",
    ),
    "a key that was taken away": (
        "UPDATE data_key SET wrapped = x'' WHERE id = "
        "(SELECT key_id FROM version WHERE rid = (SELECT rid FROM audit WHERE n = 6))",
        "event [0-6]",
    ),
    "an AuditEvent that was emptied as by an erasure": (
        "UPDATE version SET deleted = 1, patients = x'', wraps = x'', sealed = x''"
        " WHERE rid = (SELECT rid FROM audit WHERE n = 6);"
        " UPDATE audit SET opening = x'' WHERE n = 6",
        "event 6",
    ),
    "a deleted row": ("DELETE FROM audit WHERE n = 8", "event 8 is missing"),
    "a deleted row whose place was closed up": (
        "DELETE FROM audit WHERE n = 8; UPDATE audit SET n = -n WHERE n > 8;"
        " UPDATE audit SET n = -n - 1 WHERE n < 0",
        "event 8|do not lead|were anchored",
    ),
    "an inserted row": (
        "UPDATE audit SET n = -n WHERE n >= 3; UPDATE audit SET n = -n + 1 WHERE n < 0;"
        " INSERT INTO audit SELECT 3, rid, commitment, opening FROM audit WHERE n = 2",
        "event 3|do not lead",
    ),
    "two rows in each other's place": (
        "UPDATE audit SET n = -1 WHERE n = 9; UPDATE audit SET n = 9 WHERE n = 10;"
        " UPDATE audit SET n = 10 WHERE n = -1",
        "event 9|do not lead",
    ),
    "a row that shows another event": (
        "UPDATE audit SET rid = (SELECT rid FROM audit WHERE n = 2) WHERE n = 11",
        "event 11",
    ),
    "an end that was cut off": (
        "DELETE FROM audit WHERE n >= (SELECT max(n) - 2 FROM audit)",
        "but [0-9]+ were anchored",
    ),
    "everything": ("DELETE FROM audit", "but [0-9]+ were anchored"),
}


@pytest.fixture
def copy(original: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(original.data, tmp_path / "data")
    return replace(original, data=tmp_path / "data")


def audited(settings: Settings) -> tuple[int, str]:
    told = io.StringIO()
    return audit(settings, Console(file=told, width=400)), told.getvalue()


def sql(settings: Settings, script: str) -> None:
    """What somebody with the disk, but without the key, can do."""
    with sqlite3.connect(settings.data / "consentry.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.executescript(script)


def test_an_untouched_log_is_proved_and_says_what_it_compared(copy: Settings) -> None:
    status, told = audited(copy)
    assert status == 0, told
    assert "gapless" in told
    assert "the chain holds a checkpoint over" in told


@pytest.mark.parametrize("drill", SQL)
def test_what_was_done_is_found_and_named(copy: Settings, drill: str) -> None:
    script, expected = SQL[drill]
    sql(copy, script)
    status, told = audited(copy)
    assert status == 1, told
    assert "FAILED" in told
    assert re.search(expected, told), told


def test_a_log_without_its_chain_says_that_none_was_asked(copy: Settings) -> None:
    (copy.data / CHAIN_FILE).unlink()
    status, told = audited(copy)
    assert status == 0
    assert "no chain was asked" in told


def test_a_chain_that_does_not_answer_is_told_and_not_taken_for_a_proof(copy: Settings) -> None:
    away = replace(copy, chain_url="http://127.0.0.1:9", chain_contract="0x" + "11" * 20)
    status, told = audited(away)
    assert status == 0
    assert "not proved  the chain was not asked" in told


def test_log_and_journal_put_back_to_an_older_state_are_found_by_the_chain(copy: Settings) -> None:
    """A truncation with the journal truncated, too, is consistent in itself: only the chain knows better."""
    sql(copy, "DELETE FROM audit WHERE n >= 5; DELETE FROM anchor; DELETE FROM tile")
    status, told = audited(copy)
    assert (status, "were anchored" in told) == (1, True), told
    (copy.data / CHAIN_FILE).unlink()
    assert audited(copy)[0] == 0  # so it is the chain that proves it


def test_an_anchor_that_nobody_signed_is_not_believed(copy: Settings) -> None:
    with sqlite3.connect(copy.data / "consentry.sqlite") as connection:
        ((size, content),) = connection.execute("SELECT size, content FROM anchor").fetchall()
        forged = bytes(content).replace(b"\\n%d\\n" % size, b"\\n%d\\n" % (size - 1))
        assert forged != content
        connection.execute("UPDATE anchor SET content = ?", (forged,))
    status, told = audited(copy)
    assert status == 1, told
