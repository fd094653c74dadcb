"""The patient picker shows what the person may see: a hidden patient is not found, not picked, not launched with."""

from __future__ import annotations

import pytest

from fhir_server.portal.asking import Asking
from fhir_server.portal.patients import PipelinePatients
from smart_auth.people.users import User

from ..fhir_server.clinic import CUSTODIAN, ETH, OVERSEER, Clinic, consent, patient, sharing


def person(
    fhir_user: str, organization: str = CUSTODIAN, purposes: tuple[str, ...] = ("TREAT",)
) -> User:
    organizations = (organization,) if organization else ()
    return User(fhir_user, "", fhir_user, "Somebody", organizations, purposes)


STAFF = person("Practitioner/own")
OUTSIDER = person("Practitioner/other", "Organization/other")
DAUGHTER = person("RelatedPerson/daughter", "", ("PATRQT",))


@pytest.fixture
async def clinic_of_two(clinic: Clinic) -> Clinic:
    """``a`` shares with the other hospital, ``b`` with nobody but the clinic."""
    for id_, given in (("a", "Anna"), ("b", "Berta")):
        await clinic.put(
            patient(
                id_,
                name=[{"family": "Meier", "given": [given]}],
                birthDate="1984-03-17",
                gender="female",
                identifier=[{"system": "urn:mrn", "value": f"MRN-{id_}7"}],
            )
        )
        await clinic.put(encounter(f"e-{id_}", id_, "2026-03-01"))
    await clinic.put(sharing("a"))
    return clinic


def encounter(id_: str, subject: str, start: str, **members: object) -> dict[str, object]:
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{subject}"},
        "period": {"start": start},
        **members,
    }


def directory(clinic: Clinic) -> PipelinePatients:
    return PipelinePatients(Asking(lambda: clinic.pipeline, lambda: clinic.now))


ANNA = ("Patient/a", "Meier, Anna · born 1984-03-17 · female")


@pytest.mark.parametrize(
    "text",
    ["", "meier", "Meier, Anna", "anna 1984-03-17", "MRN-a7", "urn:mrn|MRN-a7", "Patient/a", "ANN"],
)
async def test_a_patient_who_shares_is_found(clinic_of_two: Clinic, text: str) -> None:
    assert await directory(clinic_of_two).search(OUTSIDER, text) == [ANNA]


@pytest.mark.parametrize("text", ["berta", "MRN-b7", "Patient/b", "meier berta 1984-03-17"])
async def test_a_hidden_patient_is_as_one_who_is_not_there(
    clinic_of_two: Clinic, text: str
) -> None:
    patients = directory(clinic_of_two)
    assert await patients.search(OUTSIDER, text) == []
    assert [each for each, _ in await patients.search(STAFF, text)] == ["Patient/b"]


async def test_a_hidden_patient_cannot_be_launched_with(clinic_of_two: Clinic) -> None:
    patients = directory(clinic_of_two)
    assert await patients.patient(OUTSIDER, "Patient/a") == ANNA[1]
    assert await patients.patient(OUTSIDER, "Patient/b") is None
    assert await patients.patient(OUTSIDER, "Patient/nobody") is None
    assert await patients.encounters(OUTSIDER, "Patient/b") == []
    assert await patients.encounter(OUTSIDER, "Patient/b", "Encounter/e-b") is None


async def test_an_encounter_is_its_own_patients(clinic_of_two: Clinic) -> None:
    patients = directory(clinic_of_two)
    assert await patients.encounters(STAFF, "Patient/a") == [
        ("Encounter/e-a", "2026-03-01 · ambulatory · finished")
    ]
    assert await patients.encounter(STAFF, "Patient/a", "Encounter/e-a")
    assert await patients.encounter(STAFF, "Patient/b", "Encounter/e-a") is None
    assert await patients.encounter(STAFF, "Patient/a", "Encounter/nowhere") is None


async def test_a_hidden_encounter_of_a_patient_who_shares_is_not_there(
    clinic_of_two: Clinic,
) -> None:
    await clinic_of_two.put(encounter("secret", "a", "2026-04-01", meta=ETH))
    patients = directory(clinic_of_two)
    assert [each for each, _ in await patients.encounters(OUTSIDER, "Patient/a")] == [
        "Encounter/e-a"
    ]
    assert await patients.encounter(OUTSIDER, "Patient/a", "Encounter/secret") is None


@pytest.mark.parametrize(
    "reference",
    ["Encounter/e-a", "Patient/a/_history/1", "Patient/../b", "Patient?_id=b", "Patient", "", "a"],
)
async def test_what_is_no_reference_to_a_patient_is_none(
    clinic_of_two: Clinic, reference: str
) -> None:
    assert await directory(clinic_of_two).patient(STAFF, reference) is None


async def test_a_related_person_finds_exactly_those_whose_consent_permits_her(
    clinic_of_two: Clinic,
) -> None:
    patients = directory(clinic_of_two)
    assert await patients.search(DAUGHTER, "") == []
    given = consent("for-daughter", "b", "permit", actor=DAUGHTER.fhir_user)
    await clinic_of_two.put(given)
    assert [each for each, _ in await patients.search(DAUGHTER, "")] == ["Patient/b"]
    await clinic_of_two.put({**given, "status": "inactive"})
    assert await patients.search(DAUGHTER, "") == []
    assert await patients.patient(DAUGHTER, "Patient/b") is None


async def test_it_is_on_record_who_looked(clinic_of_two: Clinic) -> None:
    before = clinic_of_two.log_size()
    await directory(clinic_of_two).search(OUTSIDER, "meier")
    events = await clinic_of_two.audits(before)
    assert [event["subtype"][0]["code"] for event in events] == ["search-type"]
    assert "Practitioner/other" in str(events[0]["agent"])
    assert "Patient/a" in str(events[0]["entity"])
    assert "Patient/b" not in str(events)


async def test_text_is_not_a_query(clinic_of_two: Clinic) -> None:
    """What is typed stays a value, whatever it looks like."""
    patients = directory(clinic_of_two)
    for text in (
        "meier&_id=b",
        "a,b",
        "meier\\",
        "Meier|x$",
        "x" * 5000,
        "\x00",
        "name:missing=true",
    ):
        assert await patients.search(OUTSIDER, text) in ([], [ANNA])


async def test_it_is_not_searched_for_a_purpose_that_may_not(clinic_of_two: Clinic) -> None:
    assert (
        await directory(clinic_of_two).search(person("Practitioner/x", "", ("HRESCH",)), "") == []
    )
    assert (await clinic_of_two.get(OVERSEER, "Patient")).status == 200
