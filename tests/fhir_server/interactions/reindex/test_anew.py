"""All tokens made again after a change of the schema: the whole index, also when the server is killed on the way."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from fhir_server.interactions.leaf import index_rest
from fhir_server.interactions.reindex.anew import index_anew
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.vault.vault import Writer
from profiles.definitions import r4
from tests.fhir_server.clinic import HOUSE, OVERSEER, Clinic, observation, open_clinic, patient

OLD = Path(__file__).parents[2] / "store" / "sqlite" / "schemas"
VERSIONS = (1, 2, 3)
QUERIES = (
    "Patient?name=gustafs",
    "Observation?code=8867-4&subject=Patient/p",
    "Observation?value-quantity=gt70",
    "Observation?date=ge2026-01-01",
    "AuditEvent?entity=Patient/p",
)


async def fill(clinic: Clinic) -> None:
    await clinic.put(patient("p", name=[{"family": "Gustafsson"}], birthDate="1970-01-01"))
    for number in range(12):
        quantity = {"value": 65 + number, "unit": "/min"}
        day = f"2026-01-{number + 1:02}"
        await clinic.put(
            observation(f"o{number}", "p", valueQuantity=quantity, effectiveDateTime=day)
        )
    await clinic.put(observation("o1", "p", code="1-1"))
    await clinic.ask(HOUSE, "DELETE", "Observation/o2")


async def answers(clinic: Clinic) -> list[list[str]]:
    found = []
    for query in QUERIES:
        who = OVERSEER if query.startswith("AuditEvent") else HOUSE
        pages = await clinic.all_pages(who, f"{query}&_count=500")
        found.append(sorted(each["id"] for each in pages))
    return found


def made_by(version: int, path: Path) -> None:
    """Turn a database into one of an older version: the tables of that time with the columns they had."""
    old = path.with_name("old.sqlite")
    connection = sqlite3.connect(old, isolation_level=None)
    connection.executescript((OLD / f"version_{version}.sql").read_text())
    connection.execute("ATTACH ? AS now", (str(path),))
    for (table,) in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'"):
        if table in ("token", "event_token"):
            continue
        columns = ", ".join(r[1] for r in connection.execute(f"PRAGMA main.table_info({table})"))
        connection.execute(
            f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table} ORDER BY rowid"
            if table not in ("meta", "secret", "grant_item")
            else f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}"
        )
    connection.execute("INSERT INTO main.token SELECT x'00', rid FROM main.record")  # of no use now
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    shutil.move(old, path)


@pytest.fixture
async def before(folder: Path) -> list[list[str]]:
    """What a clinic answered before it was closed."""
    clinic = await open_clinic(folder)
    await fill(clinic)
    found = await answers(clinic)
    await clinic.close()
    return found


async def anew(clinic: Clinic) -> int:
    tools, journal = clinic.pipeline.tools, clinic.database.reindex
    done = await index_anew(clinic.vault, journal, tools.tokenizer, r4().resource_types)
    await index_rest(clinic.vault, tools.tokenizer, clinic.database.events)
    return done


@pytest.mark.parametrize("version", VERSIONS)
async def test_records_of_an_older_version_are_found_again(
    folder: Path, before: list[list[str]], version: int
) -> None:
    made_by(version, folder / "consentry.sqlite")
    clinic = await open_clinic(folder)
    assert await anew(clinic) == 12  # current records: the deleted one has no tokens
    after = await answers(clinic)
    assert after[:4] == before[:4]
    assert set(before[4]) <= set(after[4])
    await clinic.close()


async def test_the_mark_goes_when_it_is_done_and_nothing_is_done_twice(
    folder: Path, before: list[list[str]]
) -> None:
    made_by(1, folder / "consentry.sqlite")
    clinic = await open_clinic(folder)
    await anew(clinic)
    assert await anew(clinic) == 0
    await clinic.close()


async def test_tokens_are_padded_and_the_same_however_often_they_are_made(
    folder: Path, before: list[list[str]]
) -> None:
    made_by(2, folder / "consentry.sqlite")
    clinic = await open_clinic(folder)
    await anew(clinic)
    first = set(clinic.sql("SELECT token, rid FROM token"))
    counts = clinic.sql("SELECT count(*) FROM token GROUP BY rid")
    assert {count % 8 for (count,) in counts} == {0}
    clinic.sql("INSERT INTO meta VALUES ('reindex|all', x'')")
    assert await anew(clinic) == 12
    assert set(clinic.sql("SELECT token, rid FROM token")) == first
    await clinic.close()


async def test_a_killed_pass_goes_on_where_it_was(
    folder: Path, before: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by(3, folder / "consentry.sqlite")
    monkeypatch.setattr("fhir_server.interactions.reindex.anew._UNIT", 5)
    clinic = await open_clinic(folder)
    untouched, calls = Writer.index_anew, []

    async def killed(self: Writer, type_: str, *rest: object) -> object:
        calls.append(type_)
        if calls.count("Observation") > 1:
            raise ConnectionAbortedError
        return await untouched(self, type_, *rest)

    monkeypatch.setattr(Writer, "index_anew", killed)
    with pytest.raises(ConnectionAbortedError):
        await anew(clinic)
    monkeypatch.setattr(Writer, "index_anew", untouched)
    await clinic.close()
    clinic = await open_clinic(folder)
    assert await anew(clinic) == 7  # the six Observations that were left, and the Patient
    assert (await answers(clinic))[:4] == before[:4]
    await clinic.close()


async def test_a_record_that_does_not_open_does_not_keep_the_others_from_being_found(
    folder: Path, before: list[list[str]]
) -> None:
    made_by(2, folder / "consentry.sqlite")
    store = SqliteStore(folder / "consentry.sqlite")
    store.connection.execute(
        "UPDATE version SET sealed = x'0102' WHERE rid = (SELECT max(rid) FROM version WHERE type = 'Observation')"
    )
    await store.close()
    clinic = await open_clinic(folder)
    assert await anew(clinic) == 12
    found = (await answers(clinic))[3]
    assert len(found) == len(before[3]) - 1
    await clinic.close()


async def test_a_custom_search_parameter_does_not_take_the_mark_away(
    folder: Path, before: list[list[str]]
) -> None:
    made_by(1, folder / "consentry.sqlite")
    clinic = await open_clinic(folder)
    await clinic.pipeline.tools.parameters.reload()
    assert await anew(clinic) == 12
    await clinic.close()
