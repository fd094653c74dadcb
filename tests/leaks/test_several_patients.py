"""A record of several patients is shown only if each of them lets it be shown."""

import pytest

from ..fhir_server.clinic import HOUSE, OTHER, Clinic, consent, observation, patient, sharing


@pytest.fixture
async def twins(clinic: Clinic) -> Clinic:
    """``a`` shares, ``b`` does not; one record speaks of both."""
    await clinic.put(patient("a"))
    await clinic.put(patient("b"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("of-a", "a"))
    await clinic.put(observation("of-both", "a", performer=[{"reference": "Patient/b"}]))
    return clinic


async def test_one_who_disagrees_closes_the_record(twins: Clinic) -> None:
    assert (await twins.get(OTHER, "Observation/of-a")).status == 200
    assert (await twins.get(OTHER, "Observation/of-both")).status == 404
    assert (await twins.get(OTHER, "Observation?subject=a")).references == ["Observation/of-a"]
    assert (await twins.get(OTHER, "Observation?performer=b")).json["total"] == 0


async def test_when_both_agree_it_opens(twins: Clinic) -> None:
    await twins.put(sharing("b"))
    assert (await twins.get(OTHER, "Observation/of-both")).status == 200


@pytest.mark.parametrize(
    "hidden_reference",
    [
        "Patient/b",
        "Patient/b/_history/3",
        "http://localhost:8080/fhir/Patient/b",
        "http://localhost:8080/fhir/Patient/b/_history/1",
    ],
)
async def test_a_patient_counts_however_she_is_referred_to(
    twins: Clinic, hidden_reference: str
) -> None:
    await twins.put(consent("no", "b", "deny", actor="Organization/custodian"))
    extension = [{"url": "urn:x", "valueReference": {"reference": hidden_reference}}]
    answer = await twins.ask(
        HOUSE, "PUT", "Observation/x", observation("x", "a", extension=extension)
    )
    assert answer.status == 404


async def test_nobody_may_move_a_record_to_a_patient_who_denies(twins: Clinic) -> None:
    await twins.put(consent("no", "b", "deny", actor="Organization/custodian"))
    answer = await twins.ask(HOUSE, "PUT", "Observation/of-a", observation("of-a", "b"))
    assert answer.status == 404
    assert (await twins.get(HOUSE, "Observation/of-a")).json["subject"]["reference"] == "Patient/a"


async def test_nobody_may_take_a_record_from_a_patient_who_denies(twins: Clinic) -> None:
    await twins.put(observation("of-b", "b"))
    await twins.put(consent("no", "b", "deny", actor="Organization/custodian"))
    answer = await twins.ask(HOUSE, "PUT", "Observation/of-b", observation("of-b", "a"))
    assert answer.status == 404


async def test_a_moved_record_is_found_under_its_new_patient_only(twins: Clinic) -> None:
    await twins.put(observation("of-a", "b"))
    assert (await twins.get(HOUSE, "Observation?subject=a")).references == ["Observation/of-both"]
    assert (await twins.get(HOUSE, "Observation?subject=b")).references == ["Observation/of-a"]
    assert (await twins.get(OTHER, "Observation/of-a")).status == 404


async def test_a_moved_consent_speaks_for_its_new_patient_only(twins: Clinic) -> None:
    await twins.put({**sharing("b"), "id": "sharing-a"})
    assert (await twins.get(OTHER, "Patient/a")).status == 404
    assert (await twins.get(OTHER, "Patient/b")).status == 200


async def test_a_consent_that_only_mentions_a_patient_does_not_speak_for_her(
    twins: Clinic,
) -> None:
    made = {**sharing("a"), "id": "mention", "performer": [{"reference": "Patient/b"}]}
    await twins.put(made)
    assert (await twins.get(OTHER, "Patient/b")).status == 404
