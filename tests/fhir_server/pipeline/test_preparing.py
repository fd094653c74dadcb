"""Large transactions are prepared beside everybody else, and are as if all of it had happened in their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fhir_server.pipeline import run

from ..clinic import (
    HOUSE,
    ON_MONGO,
    Answer,
    Clinic,
    Json,
    consent,
    entry,
    observation,
    open_clinic,
    patient,
    transaction,
)

pytestmark = pytest.mark.skipif(ON_MONGO, reason="units of work on a server are not prepared")
MANY = 40
KNOWN = {"identifier": [{"system": "urn:mrn", "value": "1"}]}


def _large(*entries: Json) -> Json:
    """A transaction with so many entries that it is prepared."""
    some = [
        entry("PUT", f"Observation/{n}", observation(str(n), "p", note=[{"text": "x" * (n + 1)}]))
        for n in range(MANY)
    ]
    return transaction(*entries, *some)


class Runs:
    """Counts how often a transaction is performed; behind the first time, something happens."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        self.count = 0
        self._meanwhile = meanwhile
        self._run = run.run_transaction

    async def __call__(self, *arguments: Any) -> object:
        self.count += 1
        try:
            return await self._run(*arguments)
        finally:
            if self.count == 1 and self._meanwhile:
                await self._meanwhile()


@asynccontextmanager
async def runs_of(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[Runs]:
    runs = Runs(meanwhile)
    with monkeypatch.context() as patch:
        patch.setattr(run, "run_transaction", runs)
        yield runs


def _statuses(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [e["response"]["status"][:3] for e in answer.json["entry"]]


async def test_others_get_their_answers_meanwhile(clinic: Clinic) -> None:
    await clinic.put(patient("p"))
    writing = asyncio.create_task(clinic.ask(HOUSE, "POST", "", _large()))
    answered = 0
    while not writing.done():
        assert (await clinic.get(HOUSE, "Patient/p")).status == 200
        answered += not writing.done()
    assert _statuses(await writing) == ["201"] * MANY
    assert answered >= 3


async def test_it_is_done_once_although_others_read_meanwhile(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await clinic.put(patient("p"))
    async with runs_of(monkeypatch, lambda: clinic.get(HOUSE, "Patient/p")) as runs:
        answer = await clinic.ask(HOUSE, "POST", "", _large())
    assert runs.count == 1
    assert clinic.pipeline.prepared == {"written": 1}
    assert _statuses(answer) == ["201"] * MANY
    for number in range(MANY):
        found = await clinic.get(HOUSE, f"Observation/{number}")
        assert found.json["note"] == [{"text": "x" * (number + 1)}]
    assert (await clinic.get(HOUSE, "Observation?patient=p&_total=accurate")).json["total"] == MANY


async def test_its_records_have_their_numbers_in_the_log(clinic: Clinic) -> None:
    before = clinic.log_size()
    answer = await clinic.ask(HOUSE, "POST", "", _large())
    assert clinic.log_size() == before + MANY + 1
    assert answer.recorded.log_numbers == (before + MANY,)
    events = await clinic.audits(before)
    named = [x["what"].get("reference", "") for e in events[:MANY] for x in e["entity"]]
    told = [name for name in named if name.startswith("Observation")]
    assert sorted(told) == sorted(f"Observation/{n}/_history/1" for n in range(MANY))


async def test_a_version_that_came_meanwhile_is_followed(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await clinic.put(patient("p"))
    async with runs_of(monkeypatch, lambda: clinic.put(patient("p", active=False))) as runs:
        bundle = _large(entry("PUT", "Patient/p", patient("p", active=True)))
        answer = await clinic.ask(HOUSE, "POST", "", bundle)
    assert runs.count == 2
    assert clinic.pipeline.prepared == {"again": 1}
    assert _statuses(answer) == ["200", *["201"] * MANY]
    history = (await clinic.get(HOUSE, "Patient/p/_history")).json["entry"]
    assert [e["resource"].get("active") for e in history] == [True, False, None]


async def test_a_condition_that_no_longer_holds_refuses_all_of_it(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await clinic.put(patient("p"))
    async with runs_of(monkeypatch, lambda: clinic.put(patient("p", active=False))):
        change = entry("PUT", "Patient/p", patient("p", active=True), ifMatch='W/"1"')
        answer = await clinic.ask(HOUSE, "POST", "", _large(change))
    assert answer.status == 412
    assert (await clinic.get(HOUSE, "Observation?patient=p&_total=accurate")).json["total"] == 0
    assert (await clinic.get(HOUSE, "Patient/p")).json["active"] is False


async def test_what_was_created_under_the_same_condition_meanwhile_is_found(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {"resourceType": "Patient", **KNOWN}
    create = entry("POST", "Patient", new, ifNoneExist="identifier=urn:mrn|1")
    async with runs_of(monkeypatch, lambda: clinic.put(patient("first", **KNOWN))) as runs:
        answer = await clinic.ask(HOUSE, "POST", "", _large(create))
    assert runs.count == 2
    assert _statuses(answer) == ["200", *["201"] * MANY]
    assert answer.json["entry"][0]["response"]["location"].endswith("Patient/first/_history/1")
    found = await clinic.get(HOUSE, "Patient?identifier=urn:mrn|1&_total=accurate")
    assert found.json["total"] == 1


async def test_an_id_that_somebody_else_has_taken_meanwhile_gets_a_second_version(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with runs_of(monkeypatch, lambda: clinic.put(observation("3", "p"))):
        answer = await clinic.ask(HOUSE, "POST", "", _large())
    assert _statuses(answer).count("200") == 1
    assert (await clinic.get(HOUSE, "Observation/3")).json["meta"]["versionId"] == "2"


async def test_another_process_that_has_changed_something_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic, other = await open_clinic(tmp_path), await open_clinic(tmp_path)
    await clinic.put(patient("p"))
    async with runs_of(monkeypatch, lambda: other.put(patient("p", active=False))) as runs:
        bundle = _large(entry("PUT", "Patient/p", patient("p", active=True)))
        answer = await clinic.ask(HOUSE, "POST", "", bundle)
    assert runs.count == 2
    assert _statuses(answer)[0] == "200"
    assert (await other.get(HOUSE, "Patient/p")).json["meta"]["versionId"] == "3"
    await clinic.close()
    await other.close()


@pytest.mark.parametrize(
    "asked",
    [
        entry("GET", "Observation?patient=p&_total=accurate"),
        entry("GET", "Observation/3/_history"),
        entry("PUT", "Consent/c", consent("c", "p", "deny", "Organization/other")),
    ],
    ids=["search", "history", "Consent"],
)
async def test_what_can_not_be_prepared_is_done_in_its_turn(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, asked: Json
) -> None:
    await clinic.put(patient("p"))
    async with runs_of(monkeypatch) as runs:
        answer = await clinic.ask(HOUSE, "POST", "", _large(asked))
    assert runs.count == 2
    assert sorted(_statuses(answer))[-MANY:] == ["201"] * MANY


async def test_a_search_entry_counts_what_other_entries_write(clinic: Clinic) -> None:
    await clinic.put(patient("p"))
    asked = entry("GET", "Observation?patient=p&_total=accurate")
    answer = await clinic.ask(HOUSE, "POST", "", _large(asked))
    assert answer.json["entry"][0]["resource"]["total"] == MANY


async def test_a_read_entry_sees_what_another_entry_writes(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await clinic.put(patient("p"))
    async with runs_of(monkeypatch) as runs:
        answer = await clinic.ask(HOUSE, "POST", "", _large(entry("GET", "Observation/3")))
    assert runs.count == 1
    assert answer.json["entry"][0]["resource"]["note"] == [{"text": "xxxx"}]


async def test_a_refused_entry_leaves_nothing_but_its_record(clinic: Clinic) -> None:
    before = clinic.log_size()
    wrong = observation("wrong", "p", status="nonsense")
    answer = await clinic.ask(HOUSE, "POST", "", _large(entry("PUT", "Observation/wrong", wrong)))
    assert answer.status == 422
    assert clinic.log_size() == before + 1
    assert clinic.sql("SELECT count(*) FROM record WHERE type = 'Observation'") == [(0,)]


async def test_a_search_parameter_holds_when_the_answer_is_there(clinic: Clinic) -> None:
    own = {
        "resourceType": "SearchParameter",
        "id": "noted",
        "url": "urn:own:noted",
        "name": "noted",
        "status": "active",
        "description": "notes",
        "code": "noted",
        "base": ["Observation"],
        "type": "string",
        "expression": "Observation.note.text",
    }
    answer = await clinic.ask(HOUSE, "POST", "", _large(entry("PUT", "SearchParameter/noted", own)))
    assert _statuses(answer) == ["201"] * (MANY + 1)
    found = await clinic.get(HOUSE, "Observation?noted=xxxx")
    assert found.status == 200
