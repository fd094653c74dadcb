"""A flipped byte in every column of every table: named, or harmless; never a record that is denied, never another one's."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from anchoring.errors import AnchoringError
from fhir_server.errors import ConsentryError

from ..clinic import (
    HOUSE,
    OTHER,
    OVERSEER,
    Clinic,
    consent,
    observation,
    open_clinic,
    patient,
)

PATIENTS = ("a", "b")
NOTES = {"a": "the first one's note", "b": "the second one's note"}
FLIPS = 3  # rows of each column
ASKED = (
    "Patient/a",
    "Observation/of-a",
    "Observation/of-b",
    "Observation/shared",
    "Observation?patient=a",
    "Observation?code=8867-4",
    "Observation/of-a/_history",
    "Patient?family=Anders",
    "Consent?patient=a",
)


@pytest.fixture(scope="module")
async def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed database in which OTHER may see what is of b, and nothing of a."""
    folder = tmp_path_factory.mktemp("flips") / "planted"
    folder.mkdir()
    clinic = await open_clinic(folder)
    for id_, family in zip(PATIENTS, ("Anders", "Bering"), strict=True):
        await clinic.put(patient(id_, name=[{"family": family}]))
        for _ in range(2):
            await clinic.put(observation(f"of-{id_}", id_, note=[{"text": NOTES[id_]}]))
    await clinic.put(observation("shared", "a", performer=[{"reference": "Patient/b"}]))
    for rule in ("permit", "deny"):
        await clinic.put(consent("c-a", "a", rule, "Organization/other"))
    await clinic.put(consent("c-b", "b", "permit", "Organization/other"))
    await clinic.ask(HOUSE, "DELETE", "Observation/shared")
    await clinic.put(observation("shared", "a", performer=[{"reference": "Patient/b"}]))
    for who in (HOUSE, OTHER):
        for url in ASKED:
            await clinic.get(who, url)
    await clinic.close()
    return folder


def columns(clinic: Clinic) -> list[tuple[str, str]]:
    tables = clinic.sql("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [
        (table, column[1])
        for (table,) in tables
        if not table.startswith("sqlite_")
        for column in clinic.sql(f"PRAGMA table_info({table})")
    ]


def flipped(value: Any, chance: random.Random) -> Any:
    if isinstance(value, int):
        return value ^ (1 << chance.randrange(3))
    if isinstance(value, str):
        at = chance.randrange(len(value)) if value else 0
        return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :] if value else "x"
    changed = bytearray(value or b"x")
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def flip(clinic: Clinic, table: str, column: str, chance: random.Random) -> bool:
    """Flip a bit of one row's column; whether there was a row, and the database took it."""
    key = "rowid" if _has_rowid(clinic, table) else _key(clinic, table)
    rows = clinic.sql(f"SELECT {key}, {column} FROM {table}")
    if not rows:
        return False
    *place, value = chance.choice(rows)
    names = key.split(", ")
    where = " AND ".join(f"{name} = ?" for name in names)
    try:
        clinic.sql(
            f"UPDATE {table} SET {column} = ? WHERE {where}", (flipped(value, chance), *place)
        )
    except sqlite3.IntegrityError:
        return False
    return True


def _has_rowid(clinic: Clinic, table: str) -> bool:
    [(sql,)] = clinic.sql("SELECT sql FROM sqlite_schema WHERE name = ?", (table,))
    return "WITHOUT ROWID" not in sql


def _key(clinic: Clinic, table: str) -> str:
    found = clinic.sql(f"PRAGMA table_info({table})")
    return ", ".join(column[1] for column in found if column[5])


async def answers(clinic: Clinic) -> dict[tuple[str, str], tuple[int, bytes]]:
    found = {}
    for who in (HOUSE, OTHER, OVERSEER):
        for url in ASKED:
            answer = await clinic.get(who, url)
            found[who, url] = (answer.status, answer.body)
    return found


async def test_a_flip_in_any_column_never_discloses_what_is_denied(
    planted: Path, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    whole = await open_clinic(_copy(planted, tmp_path / "whole"))
    right = await answers(whole)
    assert right[OTHER, "Observation/of-a"][0] == 404
    assert right[OTHER, "Observation/of-b"][0] == 200
    await whole.close()
    named = 0
    for number, (table, column) in enumerate(c for c in columns(whole) for _ in range(FLIPS)):
        folder = _copy(planted, tmp_path / str(number))
        clinic = Clinic(None, None, None, folder / "consentry.sqlite")  # type: ignore[arg-type]
        if not flip(clinic, table, column, chance):
            continue
        named += await _flipped(folder, (seed, table, column))
        shutil.rmtree(folder)
    assert named > 12, (
        seed
    )  # the others are of tokens, journals and notes that nobody asks for here


async def _flipped(folder: Path, place: tuple[object, ...]) -> bool:
    """Ask a server on a flipped database; whether it has named the flip, at its start or in an answer."""
    try:
        clinic = await open_clinic(folder)
    except (ConsentryError, AnchoringError):
        return True  # it does not start, and says why
    try:
        found = await answers(clinic)
    except ConsentryError:
        return True  # not even the record of a refusal can be written: no answer
    finally:
        await clinic.close()
    for (who, url), (status, body) in found.items():
        assert status in (200, 404, 410, 500, 503), (place, who, url, body)
        if who == OTHER:
            assert NOTES["a"].encode() not in body, (place, url)
            assert b'"Anders"' not in body, (place, url)
        if url == "Observation/of-a" and status == 200:
            assert NOTES["b"].encode() not in body, (place, who)
    return any(status == 500 for status, _ in found.values())


def _copy(planted: Path, folder: Path) -> Path:
    shutil.copytree(planted, folder)
    return folder
