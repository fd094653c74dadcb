"""A total counts what the caller may see, whoever asks and however."""

import pytest

from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    Clinic,
    consent,
    observation,
    patient,
    sharing,
)
from .pairs import Pair, assert_same

SAME = [
    "Observation?_count=0",
    "Observation?_count=2&_total=accurate",
    "?_summary=count",
    "Observation?_summary=count",
    "Patient?_summary=count",
    "Patient?name=suchtklinik&_summary=count",
    "Observation?value-quantity=2.5&_summary=count",
    "Encounter?_summary=count",
    "Observation?_total=estimate&_count=1",
    "Observation?_total=none",
]


@pytest.fixture
async def mixed(clinic: Clinic) -> Clinic:
    """Patient ``a`` shares all but two labelled observations of five; ``b`` shares nothing."""
    for id_ in ("a", "b"):
        await clinic.put(patient(id_, name=[{"family": "Meier"}]))
    await clinic.put(sharing("a"))
    for number in range(3):
        await clinic.put(observation(f"open-{number}", "a"))
        await clinic.put(observation(f"b-{number}", "b"))
    for number in range(2):
        await clinic.put(observation(f"hidden-{number}", "a", meta=ETH))
    return clinic


@pytest.mark.parametrize("suffix", ["", "&_total=accurate", "&_count=0", "&_total=estimate"])
async def test_the_total_of_a_search_leaves_hidden_records_out(mixed: Clinic, suffix: str) -> None:
    answer = await mixed.get(OTHER, f"Observation?code=8867-4{suffix}")
    assert answer.json["total"] == 3
    assert all(r.startswith("Observation/open") for r in answer.references)
    assert (await mixed.get(HOUSE, f"Observation?code=8867-4{suffix}")).json["total"] == 8


async def test_a_page_of_a_search_tells_no_total_that_it_does_not_know(mixed: Clinic) -> None:
    answer = await mixed.get(OTHER, "Observation?_count=1")
    assert "total" not in answer.json
    assert len(answer.references) == 1


async def test_the_last_page_has_no_next_link_although_hidden_records_follow(mixed: Clinic) -> None:
    assert (await mixed.get(OTHER, "Observation?_count=3")).next == ""
    assert (await mixed.get(OTHER, "Observation?_count=3&_sort=-_lastUpdated")).next == ""
    assert (await mixed.get(OTHER, "Observation?_count=3&_sort=code")).next == ""


async def test_a_patient_who_shares_nothing_counts_for_nothing(mixed: Clinic) -> None:
    for search in ("Observation?subject=b", "Patient?_id=b", "Patient?name=meier&_id=b"):
        answer = await mixed.get(OTHER, search)
        assert answer.json["total"] == 0
        assert "entry" not in answer.json


async def test_a_denied_label_is_not_found_by_asking_for_the_label(mixed: Clinic) -> None:
    answer = await mixed.ask(OTHER, "GET", "Observation?_security=ETH")
    assert answer.status == 400 or answer.json["total"] == 0


async def test_a_revocation_holds_for_the_next_total(mixed: Clinic) -> None:
    assert (await mixed.get(OTHER, "Observation?_count=0")).json["total"] == 3
    await mixed.put({**sharing("a"), "status": "inactive"})
    assert (await mixed.get(OTHER, "Observation?_count=0")).json["total"] == 0


async def test_a_denial_by_the_patient_holds_for_the_house_as_well(mixed: Clinic) -> None:
    await mixed.put(consent("no", "b", "deny", actor="Organization/custodian"))
    assert (await mixed.get(HOUSE, "Observation?_count=0")).json["total"] == 5


async def test_too_many_hidden_candidates_are_not_told_by_a_refusal(mixed: Clinic) -> None:
    """A search that may show nothing must not fail for what it may not show."""
    answer = await mixed.get(OTHER, "Observation?subject=Patient/b&_count=2")
    assert answer.status == 200


async def test_a_total_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
