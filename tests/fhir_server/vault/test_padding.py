"""Padding of the index: what the number of a record's tokens tells, and what padding itself tells of anybody."""

from __future__ import annotations

import pytest

from ..clinic import HOUSE, Clinic, Json, observation, patient

NOTES = ("one", "two", "three")


def _tokens(clinic: Clinic, type_: str) -> list[set[bytes]]:
    """The tokens of each record of a type."""
    rows = clinic.sql(
        "SELECT r.rid, t.token FROM record r LEFT JOIN token t USING (rid) WHERE r.type = ?",
        (type_,),
    )
    found: dict[int, set[bytes]] = {}
    for rid, token in rows:
        found.setdefault(rid, set()).update([token] if token else [])
    return [found[rid] for rid in sorted(found)]


def _padding(clinic: Clinic, id_: str) -> set[bytes]:
    whose = clinic.vault.blind.patient(f"Patient/{id_}").hex()
    return {clinic.vault.blind.token("Observation", "_padding", whose, str(n)) for n in range(7)}


async def test_a_records_padding_is_not_known_by_being_no_others(clinic: Clinic) -> None:
    for number, note in enumerate(NOTES):
        await clinic.put(observation(f"o{number}", "a", note=[{"text": note}]))
    one, two, three = _tokens(clinic, "Observation")
    assert one == two == three
    assert len(one) % 8 == 0
    assert one & _padding(clinic, "a")


async def test_two_patients_records_share_no_padding(clinic: Clinic) -> None:
    for id_ in "ab":
        await clinic.put(observation(id_, id_))
    of_a, of_b = _tokens(clinic, "Observation")
    assert of_a & _padding(clinic, "a")
    assert not of_a & _padding(clinic, "b")
    assert of_b & _padding(clinic, "b")


async def test_a_record_that_becomes_another_patients_leaves_the_formers_padding(
    clinic: Clinic,
) -> None:
    for id_ in "ab":
        await clinic.put(patient(id_))
    await clinic.put(observation("o", "a"))
    await clinic.put(observation("o", "b"))
    [tokens] = _tokens(clinic, "Observation")
    assert len(tokens) % 8 == 0
    assert not tokens & _padding(clinic, "a")
    assert tokens & _padding(clinic, "b")


async def test_a_record_of_two_patients_has_padding_of_its_own(clinic: Clinic) -> None:
    def both(*others: str) -> Json:
        return observation("o", "a", performer=[{"reference": f"Patient/{o}"} for o in others])

    await clinic.put(both("b"))
    await clinic.put(both("b", "c"))
    await clinic.put(both("c"))
    [tokens] = _tokens(clinic, "Observation")
    row = clinic.vault.blind.row("Observation", "o").hex()
    own = {clinic.vault.blind.token("Observation", "_padding", row, str(n)) for n in range(7)}
    assert len(tokens & own) == -len(tokens - own) % 8
    assert not tokens & (_padding(clinic, "a") | _padding(clinic, "b") | _padding(clinic, "c"))


async def test_what_is_deleted_leaves_no_padding_and_gets_it_back_when_it_comes_back(
    clinic: Clinic,
) -> None:
    await clinic.put(observation("o", "a"))
    [before] = _tokens(clinic, "Observation")
    await clinic.ask(HOUSE, "DELETE", "Observation/o")
    assert _tokens(clinic, "Observation") == [set()]
    await clinic.put(observation("o", "a"))
    assert _tokens(clinic, "Observation") == [before]


async def test_an_update_of_one_patient_changes_no_padding(clinic: Clinic) -> None:
    await clinic.put(observation("o", "a"))
    [before] = _tokens(clinic, "Observation")
    await clinic.put(observation("o", "a", note=[{"text": "changed"}]))
    assert _tokens(clinic, "Observation") == [before]


@pytest.mark.parametrize("changed", [False, True])
async def test_nothing_of_a_record_of_two_stays_in_the_index_once_both_are_erased(
    clinic: Clinic, *, changed: bool
) -> None:
    for id_ in "ab":
        await clinic.put(patient(id_))
    await clinic.put(observation("o", "a", performer=[{"reference": "Patient/b"}]))
    assert await _erased(clinic, "b")
    if changed:
        await clinic.put(observation("o", "a"))
    assert await _erased(clinic, "a")
    assert _tokens(clinic, "Observation") == [set()]


async def test_a_record_that_an_erasure_left_to_one_can_become_anothers_too(clinic: Clinic) -> None:
    for id_ in "abc":
        await clinic.put(patient(id_))
    await clinic.put(observation("o", "a", performer=[{"reference": "Patient/b"}]))
    assert await _erased(clinic, "b")
    for other in "cac":
        await clinic.put(observation("o", "a", performer=[{"reference": f"Patient/{other}"}]))
        [tokens] = _tokens(clinic, "Observation")
        assert len(tokens) % 8 == 0


async def _erased(clinic: Clinic, id_: str) -> bool:
    return (await clinic.ask(HOUSE, "POST", f"Patient/{id_}/$erase")).status == 200
