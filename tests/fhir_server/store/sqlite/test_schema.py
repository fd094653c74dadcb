"""The schema's steps: from every version there has been, one after another, whole or not at all."""

# ruff: noqa: ASYNC240  (small files are the point here)

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from fhir_server.errors import SettingsError
from fhir_server.store.sqlite import schema as sqlite_schema
from fhir_server.store.sqlite.schema import schema_version
from fhir_server.store.sqlite.store import SqliteStore

OLD = Path(__file__).with_name("schemas")  # the scripts as they were, word for word
VERSIONS = (1, 2, 3, 4, 10)  # from 5 on a step was added for each
FILE = "store.sqlite"
ROWS = 300


def database(path: Path, version: int) -> None:
    """A database as the program of that time made it, with some records."""
    connection = sqlite3.connect(path, isolation_level=None)
    script = _script(version)
    connection.executescript(f"BEGIN;{script};PRAGMA user_version = {version};COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN")
    for rid in range(1, ROWS + 1):
        row = rid.to_bytes(16, "big")
        connection.execute(
            "INSERT INTO record VALUES (?, ?, 'Observation', 1, ?, 0)", (rid, row, rid)
        )
        kind = ("Observation",) if version >= 4 else ()
        values = (rid, *kind, 1, rid, 0, b"k" * 16, b"", b"", b"s" * 1000)
        connection.execute(f"INSERT INTO version VALUES ({', '.join('?' * len(values))})", values)
        part = (0,) if version > 4 else ()
        posting = (*part, b"t" * 12, rid)
        connection.execute(f"INSERT INTO token VALUES ({', '.join('?' * len(posting))})", posting)
    if version > 4:
        connection.execute("UPDATE part SET tokens = ?", (ROWS,))
    connection.execute("COMMIT")
    connection.close()


def _script(version: int) -> str:
    if version <= 4:
        return (OLD / f"version_{version}.sql").read_text()
    steps = files("fhir_server.store.sqlite").joinpath("steps")
    return "".join(steps.joinpath(f"{n:04}.sql").read_text() for n in range(1, version + 1))


def shape(path: Path) -> list[tuple[str, str]]:
    """Tables and indexes, with the blanks and comments of their statements taken out, and the new names of tables."""
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
    ).fetchall()
    connection.close()
    return [(name, "".join(sql.replace('"', "").split())) for name, sql in found]


def state(path: Path) -> tuple[object, ...]:
    """What a database holds: its version, tables and rows."""
    connection = sqlite3.connect(path)
    found = (
        connection.execute("PRAGMA user_version").fetchone()[0],
        connection.execute("PRAGMA integrity_check").fetchone()[0],
        connection.execute("SELECT count(*) FROM version").fetchone()[0],
        connection.execute("SELECT count(*) FROM token").fetchone()[0],
    )
    connection.close()
    return found


async def opened_and_closed(path: Path) -> None:
    await SqliteStore(path).close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_database_of_each_version_comes_to_the_shape_of_a_new_one(
    folder: Path, version: int
) -> None:
    database(folder / FILE, version)
    await opened_and_closed(folder / FILE)
    await opened_and_closed(folder / "new.sqlite")
    assert shape(folder / FILE) == shape(folder / "new.sqlite")
    assert state(folder / FILE)[:3] == (schema_version(), "ok", ROWS)


@pytest.mark.parametrize("version", VERSIONS)
async def test_records_keep_their_rows_and_get_the_type_of_their_record(
    folder: Path, version: int
) -> None:
    database(folder / FILE, version)
    await opened_and_closed(folder / FILE)
    connection = sqlite3.connect(folder / FILE)
    kept = connection.execute("SELECT rid, type, at, sealed FROM version ORDER BY rid").fetchall()
    assert kept == [(rid, "Observation", rid, b"s" * 1000) for rid in range(1, ROWS + 1)]
    connection.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_tokens_of_another_meaning_are_taken_away_and_marked_as_missing(
    folder: Path, version: int
) -> None:
    database(folder / FILE, version)
    await opened_and_closed(folder / FILE)
    connection = sqlite3.connect(folder / FILE)
    left = connection.execute("SELECT count(*) FROM token").fetchone()[0]
    mark = connection.execute("SELECT value FROM meta WHERE name = 'reindex|all'").fetchall()
    counted = connection.execute("SELECT sum(tokens) FROM part").fetchone()[0]
    assert (left, counted, mark) == (0, 0, [(b"",)])
    connection.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("wrapped", "marked"), [(b"", 1), (None, 1), (b"wrapped", 0)])
async def test_keys_that_a_former_program_left_empty_are_marked_as_unproved(
    folder: Path, version: int, wrapped: bytes | None, marked: int
) -> None:
    database(folder / FILE, version)
    connection = sqlite3.connect(folder / FILE)
    connection.execute(
        "INSERT INTO data_key (id, owner, wrapped) VALUES (?, ?, ?)", (b"i", b"o", wrapped)
    )
    connection.commit()
    await opened_and_closed(folder / FILE)
    mark = "SELECT count(*) FROM meta WHERE name = 'destroyed-unproved'"
    assert connection.execute(mark).fetchone() == (marked,)
    connection.close()


async def test_a_new_database_has_nothing_to_be_made_again(folder: Path) -> None:
    await opened_and_closed(folder / FILE)
    connection = sqlite3.connect(folder / FILE)
    marks = "SELECT name FROM meta WHERE name LIKE 'reindex%' OR name LIKE 'destroyed%'"
    assert connection.execute(marks).fetchall() == []
    connection.close()


CHILD = """
import os, signal, sqlite3, sys
from fhir_server.store.sqlite.schema import bring_up
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 10")  # so that pages reach the file before the commit
connection.set_progress_handler(lambda: os.kill(os.getpid(), signal.SIGKILL), int(sys.argv[2]))
bring_up(connection)
"""


def test_a_process_killed_in_the_middle_leaves_a_whole_version(folder: Path) -> None:
    database(folder / "old.sqlite", 1)
    seen = set()
    for steps in (50, 200, 500, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 100_000_000):
        path = folder / f"{steps}.sqlite"
        shutil.copy(folder / "old.sqlite", path)
        command = [sys.executable, "-c", CHILD, str(path), str(steps)]
        ended = subprocess.run(command, env={**os.environ}, check=False)
        assert ended.returncode in (0, -signal.SIGKILL)
        version, integrity, records, tokens = state(path)
        assert (integrity, records) == ("ok", ROWS)
        assert tokens == (ROWS if version < 4 else 0)  # step 4 takes them away, and step 11
        seen.add(version)
        SqliteStore(path).connection.close()
        assert state(path)[:3] == (schema_version(), "ok", ROWS)
    assert len(seen) > 1


async def test_a_step_that_fails_leaves_the_version_before_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = folder / "steps"
    steps.mkdir()
    for step in sqlite_schema._steps():
        (steps / step.name).write_text(step.read_text())
    broken = f"{schema_version() + 1:04}.sql"
    (steps / broken).write_text("CREATE TABLE half (a);\nINSERT INTO nowhere VALUES (1);\n")
    monkeypatch.setattr(sqlite_schema, "_steps", lambda: tuple(sorted(steps.iterdir())))
    with pytest.raises(SettingsError, match="it is as it was"):
        SqliteStore(folder / FILE)
    assert "half" not in dict(shape(folder / FILE))
    assert state(folder / FILE)[0] == schema_version()


@pytest.fixture
def unchanged(folder: Path) -> Iterator[Path]:
    """A file that must be the same after the test."""
    path = folder / FILE
    yield path
    assert path.read_bytes() == (folder / "before").read_bytes()


def remember(path: Path) -> None:
    shutil.copy(path, path.with_name("before"))


@pytest.mark.parametrize("version", [schema_version() + 1, 99, -1])
def test_a_database_of_a_newer_program_is_refused_and_not_changed(
    unchanged: Path, version: int
) -> None:
    connection = sqlite3.connect(unchanged)
    connection.executescript(f"CREATE TABLE later (a); PRAGMA user_version = {version};")
    connection.close()
    remember(unchanged)
    with pytest.raises(SettingsError, match="use the program that made it"):
        SqliteStore(unchanged)


def test_a_database_of_another_program_is_refused_and_not_changed(unchanged: Path) -> None:
    connection = sqlite3.connect(unchanged)
    connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    remember(unchanged)
    with pytest.raises(SettingsError, match="another program made it"):
        SqliteStore(unchanged)


@pytest.mark.parametrize("left", [0.9, 0.5, 0.05])
async def test_a_truncated_database_is_refused_and_not_changed(
    unchanged: Path, left: float
) -> None:
    database(unchanged, 4)
    content = unchanged.read_bytes()
    unchanged.write_bytes(content[: int(len(content) * left)])
    remember(unchanged)
    with pytest.raises(SettingsError, match="cannot be opened"):
        SqliteStore(unchanged)


@pytest.mark.parametrize("content", [b"not a database at all" * 99, b"{}", bytes(9000)])
def test_a_file_that_is_no_database_is_refused_and_not_changed(
    unchanged: Path, content: bytes
) -> None:
    unchanged.write_bytes(content)
    remember(unchanged)
    with pytest.raises(SettingsError, match="cannot be opened"):
        SqliteStore(unchanged)


@pytest.mark.parametrize("version", [0, 1, 4])
def test_a_read_only_disk_is_refused_and_nothing_changed(tmp_path: Path, version: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system here")
    try:
        if version:
            database(disk / FILE, version)
        before = {path.name: path.read_bytes() for path in disk.iterdir()}
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(SettingsError, match="Read-only file system"):
            SqliteStore(disk / FILE)
        assert {path.name: path.read_bytes() for path in disk.iterdir()} == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)
