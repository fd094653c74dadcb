"""Events of answers that are under way at the same time are made together: each is its own answer's, and fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from fhir_server.pipeline import scribe
from fhir_server.pipeline.audit_event import Happening
from fhir_server.pipeline.scribe import Scribe
from tests.fhir_server.clinic import HOUSE, OTHER, Clinic, consent, observation, patient

MANY = 12
Json = Mapping[str, Any]


@pytest.fixture
async def filled(clinic: Clinic) -> Clinic:
    """Twelve patients with an Observation each; every second one permits the other hospital to see it."""
    for n in range(MANY):
        await clinic.put(patient(f"p{n}"))
        await clinic.put(observation(f"o{n}", f"p{n}"))
        if n % 2:
            await clinic.put(consent(f"c{n}", f"p{n}", "permit", "Organization/other"))
        await clinic.get(HOUSE, f"Observation/o{n}")  # the key is in memory then
    return clinic


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events the scribe has written, answer by answer."""
    found: list[int] = []
    record = Scribe._record

    def counted(self: Scribe, telling: scribe.Telling) -> None:
        found.append(len(telling.events))
        record(self, telling)

    monkeypatch.setattr(Scribe, "_record", counted)
    return found


def request_of(event: Json) -> str:
    return str(event["entity"][-1]["what"]["identifier"]["value"])


def named(event: Json) -> set[str]:
    found = {each.get("what", {}).get("reference", "") for each in event["entity"]}
    return {reference.partition("/_history/")[0] for reference in found} - {""}


async def test_each_answer_has_its_own_event_and_its_number(
    filled: Clinic, told: list[int]
) -> None:
    before = filled.log_size()
    asked = [
        (filled.received((HOUSE, OTHER)[n % 2], "GET", f"Observation/o{n}"), n) for n in range(MANY)
    ]
    answers = await asyncio.gather(*(filled.pipeline.answer(received) for received, _ in asked))
    assert {answer.status for answer in answers} == {200}
    assert told == [1] * MANY
    events = {before + at: event for at, event in enumerate(await filled.audits(before))}
    assert len(events) == MANY
    for (received, n), answer in zip(asked, answers, strict=True):
        (number,) = answer.log_numbers
        event = events[number]
        assert request_of(event) == received.request_id
        assert named(event) == {f"Patient/p{n}", f"Observation/o{n}"}
        client = next(a for a in event["agent"] if a["requestor"])
        assert client["who"]["identifier"]["value"] == (HOUSE, OTHER)[n % 2]


async def test_what_the_events_of_many_tell_is_found_by_search(filled: Clinic) -> None:
    await asyncio.gather(*(filled.get(HOUSE, f"Observation/o{n}") for n in range(MANY)))
    for n in range(MANY):
        filled.caller("officer", "system/*.rs", purposes=("HOPERAT",))
        url = f"AuditEvent?patient=Patient/p{n}&entity=Observation/o{n}&action=R"
        found = await filled.all_pages("officer", url)
        assert len(found) == 2
        assert all(named(event) == {f"Patient/p{n}", f"Observation/o{n}"} for event in found)


async def test_an_event_that_can_not_be_made_fails_its_own_answer_only(
    filled: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scribe.tell

    def fails(happening: Happening, *more: Any) -> Any:
        if happening.patient == "Patient/p3":
            raise ValueError("not this one")
        return made(happening, *more)

    monkeypatch.setattr(scribe, "tell", fails)
    answers = await asyncio.gather(*(filled.get(HOUSE, f"Observation/o{n}") for n in range(MANY)))
    assert [a.status for a in answers] == [500 if n == 3 else 200 for n in range(MANY)]
    assert b"8867-4" not in answers[3].body


async def test_who_goes_away_takes_nobody_else_with_him(filled: Clinic) -> None:
    asked = [asyncio.create_task(filled.get(HOUSE, f"Observation/o{n}")) for n in range(MANY)]
    await asyncio.sleep(0)
    for gone in asked[::3]:
        gone.cancel()
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in ended] == [
        n % 3 == 0 for n in range(MANY)
    ]
    assert all(each.status == 200 for each in ended if not isinstance(each, BaseException))
    assert (await filled.get(HOUSE, "Observation/o0")).status == 200


async def test_nobody_waits_for_a_crowd(filled: Clinic) -> None:
    """Requests that never cease to come in do not keep the first of them from being answered."""
    loop, told = asyncio.get_running_loop(), list[scribe.Telling]()

    def come() -> None:
        if len(told) < 1000:
            loop.call_soon(come)  # before the scribe looks again
            told.append(scribe.Telling((), 0))
            filled.pipeline.scribe.write(told[-1])

    come()
    await told[0].numbers
    assert 0 < len(told) < 1000


async def test_a_record_that_is_given_up_gives_up_its_answer(
    filled: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ending(*_: object) -> asyncio.Future[None]:
        ended = asyncio.get_running_loop().create_future()
        ended.cancel()
        return ended

    with monkeypatch.context() as patch:
        patch.setattr(type(filled.vault), "record", ending)
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(filled.get(HOUSE, "Observation/o0"))
    assert (await filled.get(HOUSE, "Observation/o0")).status == 200


async def test_beside_one_whose_patient_was_erased_the_others_are_answered(filled: Clinic) -> None:
    """Her key is destroyed while events under it are being made and written: nothing of her goes out."""
    erased = filled.ask(HOUSE, "POST", "Patient/p1/$erase")
    reads = [filled.get(HOUSE, f"Observation/o{n % MANY}") for n in range(4 * MANY)]
    done, *answers = await asyncio.gather(erased, *reads)
    assert done.status == 200, done.body
    for n, answer in enumerate(answers):
        assert answer.status == 200 or (n % MANY == 1 and answer.status == 404)
    assert (await filled.get(HOUSE, "Observation/o1")).status == 404
    for event in await filled.audits():
        assert "Patient/p1" not in named(event)  # those that named her went with her key
