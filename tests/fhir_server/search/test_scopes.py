"""Parameters that an operator has named have tokens within patients only: nothing to count, and the same answers."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.app import close_house, open_house
from fhir_server.crypto.scopes import PatientOnly
from fhir_server.errors import SettingsError
from fhir_server.settings import Settings

from ..clinic import HOUSE, Clinic, observation, open_clinic, patient

CODES = ("8867-4", "8480-6", "8462-4", "29463-7")
PATIENTS = 12
EACH = 25
SEARCHES = (
    "Observation?code=8867-4",
    "Observation?patient=p3&code=8867-4",
    "Observation?patient=p3,p4&code=http://loinc.org|8867-4",
    "Observation?patient=p3&status=final&code=8480-6,8462-4",
    "Observation?patient=p3&code=http://loinc.org|",
    "Observation?subject=p3&combo-code=http://loinc.org|8867-4",
    "Observation?combo-code=8480-6",
    "Observation?date=gt2020-01-15&patient=p5",
    "Observation?value-quantity=gt50&code=8867-4",
    "Observation?status=final&_count=1000",
    "Patient?_has:Observation:patient:code=29463-7",
    "Observation?patient.family=P7&code=8867-4",
)


async def filled(clinic: Clinic) -> Clinic:
    """Patients whose records differ in nothing but what chance says of their codes."""
    chance = random.Random(7)
    for number in range(PATIENTS):
        id_ = f"p{number}"
        await clinic.put(patient(id_, name=[{"family": id_.upper()}]))
        for each in range(EACH):
            code = CODES[0] if chance.random() < 0.7 else chance.choice(CODES)
            day = f"2020-01-{1 + each:02}"
            value = {"valueQuantity": {"value": 40 + each, "unit": "/min"}}
            made = observation(f"{id_}-{each}", id_, code, effectiveDateTime=day, **value)
            await clinic.put(made)
    return clinic


@pytest.fixture
async def within(folder: Path) -> AsyncIterator[Clinic]:
    clinic = await filled(await open_clinic(folder, patient_only=("*",)))
    yield clinic
    await clinic.close()


def tokens_by_patient(clinic: Clinic) -> dict[bytes, Counter[bytes]]:
    rows = clinic.sql(
        "SELECT v.patients, t.token FROM token t JOIN version v USING (rid) WHERE v.type = 'Observation'"
    )
    found: dict[bytes, Counter[bytes]] = defaultdict(Counter)
    for owner, token in rows:
        found[owner][token] += 1
    return found


async def test_equal_codes_of_two_patients_share_no_token(within: Clinic) -> None:
    """Statistically: 300 records with 4 codes, 25 days and 25 values; every pair of patients has many of them in common."""
    found = tokens_by_patient(within)
    assert len(found) == PATIENTS
    for one, other in itertools.combinations(found.values(), 2):
        assert one.keys().isdisjoint(other.keys())


async def test_by_default_they_share_tokens_which_tell_how_frequent_a_code_is(
    clinic: Clinic,
) -> None:
    """What the setting takes away from whoever reads the database."""
    found = tokens_by_patient(await filled(clinic))
    assert len(set.intersection(*(set(tokens) for tokens in found.values()))) > 10


async def test_within_one_patient_equal_codes_are_found_together(within: Clinic) -> None:
    for tokens in tokens_by_patient(within).values():
        assert max(tokens.values()) == EACH  # whose they are, and that they are final


async def test_searches_give_the_same_answers(within: Clinic, tmp_path: Path) -> None:
    plain = await filled(await open_clinic(tmp_path))
    for search in SEARCHES:
        one, other = await within.get(HOUSE, search), await plain.get(HOUSE, search)
        assert one.status == other.status == 200
        assert one.references == other.references, search
        assert one.references, search
    other_system = "Observation?patient=p3&code=http://other|8867-4"
    for each in (within, plain):
        assert (await each.get(HOUSE, other_system)).references == []
    await plain.close()


async def test_an_update_takes_its_tokens_along(within: Clinic) -> None:
    await within.put(observation("p1-0", "p2", "3141-9"))
    assert (await within.get(HOUSE, "Observation?patient=p2&code=3141-9")).references == [
        "Observation/p1-0"
    ]
    assert "Observation/p1-0" not in (await within.get(HOUSE, "Observation?patient=p1")).references


async def test_the_index_still_helps_where_a_patient_is_named(folder: Path) -> None:
    clinic = await filled(
        await open_clinic(folder, patient_only=("Observation.code",), max_candidates=20)
    )
    assert (await clinic.get(HOUSE, "Observation?patient=p3&code=8480-6")).status == 200
    assert (await clinic.get(HOUSE, "Observation?code=8480-6")).status == 503
    await clinic.close()


@pytest.mark.parametrize(
    "pattern", ["Nothing.code", "code", "Patient.name", "Condition.", ".", "AuditEvent.*"]
)
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match="patient_only"):
        PatientOnly([pattern], frozenset({"Condition", "Observation"}))


def test_what_says_whose_a_record_is_and_what_finds_patients_stays_global() -> None:
    only = PatientOnly(["*"], frozenset({"Observation"}))
    assert only.holds("Observation", "code")
    assert not only.holds("Observation", "subject")
    assert not only.holds("Observation", "patient")
    assert not only.holds("Patient", "name")
    assert not PatientOnly().holds("Observation", "code")


async def test_a_database_keeps_what_it_was_made_with(folder: Path) -> None:
    made = Settings(data=folder, patient_only=("Condition.code",))
    await close_house(await open_house(made))
    await close_house(await open_house(made))
    for other in ((), ("*",)):
        with pytest.raises(SettingsError, match=r"patient_only = 'Condition\.code'"):
            await open_house(Settings(data=folder, patient_only=other))
