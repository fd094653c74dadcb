"""An answer that writes nothing else has its record without a unit of work; whatever needs one takes one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fhir_server.store.protocol import SealedEvent
from fhir_server.store.sqlite.store import SqliteStore
from tests.fhir_server.clinic import HOUSE, OTHER, Clinic, consent, observation, patient

ASKED = (
    "Observation/o",
    "Observation?subject=Patient/a",
    "Patient/a/_history",
    "Patient/a/$everything",
)


@pytest.fixture
async def filled(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(observation("o", "a"))
    await clinic.put(consent("c", "a", "permit", "Organization/other"))
    for url in ASKED:  # the keys are in memory then
        assert (await clinic.get(OTHER, url)).status == 200
    return clinic


@pytest.fixture
def units(filled: Clinic, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each unit of work that begins."""
    begun: list[str] = []
    begin = SqliteStore.begin_unit

    async def counted(store: SqliteStore) -> object:
        begun.append("unit")
        return await begin(store)

    monkeypatch.setattr(SqliteStore, "begin_unit", counted)
    return begun


@pytest.mark.parametrize("url", ASKED)
async def test_reading_begins_no_unit_and_is_on_record(
    filled: Clinic, units: list[str], url: str
) -> None:
    before = filled.log_size()
    answer = await filled.get(OTHER, url)
    assert (answer.status, units) == (200, [])
    (event,) = await filled.audits(before)
    assert event["outcome"] == "0"
    assert "Patient/a" in {e.get("what", {}).get("reference") for e in event["entity"]}


async def test_a_refusal_and_a_write_take_a_unit_each(filled: Clinic, units: list[str]) -> None:
    assert (await filled.get(OTHER, "Observation/none")).status == 404
    assert len(units) == 1
    await filled.put(observation("o-2", "a"))
    assert len(units) == 2


async def test_a_key_that_is_not_in_memory_is_looked_up_in_a_unit(
    filled: Clinic, units: list[str]
) -> None:
    filled.vault.forget()
    before = filled.log_size()
    assert (await filled.get(HOUSE, "Observation?_summary=count")).status == 200
    assert filled.log_size() == before + 1


async def test_who_was_erased_before_the_record_was_written_is_not_disclosed(
    filled: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is made, its event sealed under her key; then she is erased; then it is to be recorded."""
    record = SqliteStore.record
    late = iter([True])

    def after(
        store: SqliteStore, events: Sequence[SealedEvent], epoch: int
    ) -> asyncio.Future[Sequence[int] | None]:
        async def later() -> Sequence[int] | None:
            if next(late, False):
                erased = await filled.ask(HOUSE, "POST", "Patient/a/$erase")
                assert erased.status == 200, erased.body
            return await record(store, events, epoch)

        return asyncio.ensure_future(later())

    monkeypatch.setattr(SqliteStore, "record", after)
    answer = await filled.get(OTHER, "Observation/o")
    assert answer.status == 404
    assert b"8867-4" not in answer.body
    assert next(late, None) is None
