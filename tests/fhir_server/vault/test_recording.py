"""AuditEvents written in a unit of work: whatever is in memory, they are sealed, indexed and numbered the same."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest

from fhir_server.crypto.blind import Token
from fhir_server.errors import KeyDestroyedError
from fhir_server.store.preparing import StaleError
from fhir_server.store.protocol import AuditRow, SealedVersion, Selection
from fhir_server.vault.vault import Draft, Leaf, Writer

from ..clinic import HOUSE, Clinic, open_clinic, patient

LEAF = Leaf(b"k" * 32, b"c" * 32)
Event = tuple[Draft, Leaf]


@pytest.fixture
async def filled(clinic: Clinic) -> Clinic:
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
    return clinic


def event(clinic: Clinic, id_: str, *patients: str) -> Draft:
    value = {"resourceType": "AuditEvent", "id": id_, "action": "R"}
    tokens = clinic.pipeline.tools.tokenizer.tokens("AuditEvent", value, patients)
    return Draft("AuditEvent", id_, 1, 1, orjson.dumps(value).decode(), patients, tokens)


async def kept(clinic: Clinic, id_: str) -> tuple[SealedVersion, bytes, AuditRow, bytes]:
    """What the store has of an AuditEvent: itself, sealed and opened, and its row in the log with what opens that."""
    async with clinic.vault.reading(complete=True) as reader:
        version = await reader.find("AuditEvent", id_)
        assert version is not None
        row = await reader.audit_row(version.rid)
        assert row is not None
        return version, await reader.open(version), row, await reader.open_commitment(version, row)


async def found_by(clinic: Clinic, token: Token) -> set[int]:
    async with clinic.vault.reading(complete=True) as reader:
        selection = Selection("AuditEvent", all_of=((token,),), limit=100)
        return {version.rid for version in await reader.select(selection)}


async def one_by_one(writer: Writer, events: Sequence[Event]) -> list[int]:
    return [(await writer.put_audited(draft, leaf))[1] for draft, leaf in events]


async def _taken_back(clinic: Clinic, draft: Draft) -> None:
    async with clinic.vault.writing() as writer:
        await writer.record([(draft, LEAF)])
        raise RuntimeError


@pytest.mark.parametrize("patients", [(), ("Patient/a",), ("Patient/a", "Patient/b")])
@pytest.mark.parametrize("anew", [False, True], ids=["keys in memory", "nothing in memory"])
async def test_an_event_is_kept_as_when_it_is_written_alone(
    filled: Clinic, patients: tuple[str, ...], *, anew: bool
) -> None:
    if anew:
        await filled.close()
    clinic = await open_clinic(filled.path.parent) if anew else filled
    alone, together = event(clinic, "alone", *patients), event(clinic, "together", *patients)
    async with clinic.vault.writing() as writer:
        (first,) = await one_by_one(writer, [(alone, LEAF)])
        (second,) = await writer.record([(together, LEAF)])
    assert second == first + 1
    one, _, one_row, _ = await kept(clinic, "alone")
    other, content, row, k = await kept(clinic, "together")
    assert content == together.text.encode()
    assert (k, row.commitment) == (LEAF.k, LEAF.commitment)
    assert (other.type_, other.at, other.version) == (one.type_, one.at, one.version)
    assert (other.patients, other.deleted) == (one.patients, one.deleted)
    assert other.rid == one.rid + 1
    assert len(row.opening) == len(one_row.opening)
    for token in together.tokens:
        assert {one.rid, other.rid} <= await found_by(clinic, token)
    if anew:
        await clinic.close()


async def test_an_event_of_a_patient_whom_the_same_unit_brings_is_sealed_for_them(
    filled: Clinic,
) -> None:
    text = '{"resourceType": "Patient", "id": "new"}'
    record = Draft("Patient", "new", 1, 1, text, ("Patient/new",), frozenset())
    told = [(event(filled, f"told-{n}", "Patient/new"), LEAF) for n in range(3)]
    async with filled.vault.writing() as writer:
        made = await writer.put(record)
        numbers = await writer.record(told)
    assert list(numbers) == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    for draft, _ in told:
        version, content, _, _ = await kept(filled, draft.id_)
        assert content == draft.text.encode()
        assert (version.key_id, version.patients) == (made.key_id, made.patients)


async def test_events_of_a_unit_that_is_taken_back_leave_no_number(filled: Clinic) -> None:
    before = filled.log_size()
    with pytest.raises(RuntimeError):
        await _taken_back(filled, event(filled, "lost", "Patient/a"))
    async with filled.vault.reading(complete=True) as reader:
        assert await reader.find("AuditEvent", "lost") is None
    async with filled.vault.writing() as writer:
        (number,) = await writer.record([(event(filled, "next", "Patient/a"), LEAF)])
    assert number == before


async def test_an_event_of_a_patient_who_was_erased_is_not_written(filled: Clinic) -> None:
    assert (await filled.ask(HOUSE, "POST", "Patient/a/$erase")).status == 200
    with pytest.raises(KeyDestroyedError):
        async with filled.vault.writing() as writer:
            await writer.record([(event(filled, "late", "Patient/a"), LEAF)])
    async with filled.vault.reading(complete=True) as reader:
        assert await reader.find("AuditEvent", "late") is None


async def test_the_key_of_a_unit_that_was_begun_before_an_erasure_seals_nothing(
    filled: Clinic,
) -> None:
    """What is prepared has its keys from before: what was erased meanwhile is noticed when it is written."""
    async with filled.vault.preparing() as prepared:
        await prepared.record([(event(filled, "meanwhile", "Patient/a"), LEAF)])
        assert (await filled.ask(HOUSE, "POST", "Patient/a/$erase")).status == 200
        async with filled.vault.writing() as writer:
            with pytest.raises(StaleError):
                await prepared.write_into(writer)
