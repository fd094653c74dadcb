"""The page "who has seen my record" tells a person of her own record, or of one for which she acts, and of no other."""

from __future__ import annotations

import pytest

from fhir_server.portal.asking import Asking
from fhir_server.portal.record_access import PipelineRecordAccess
from smart_auth.errors import PageError
from smart_auth.people.users import User

from ..fhir_server.clinic import HOUSE, OTHER, Clinic, consent, observation, patient, sharing
from .test_picker import person

ANNA, BERTA = person("Patient/a", "", ("PATRQT",)), person("Patient/b", "", ("PATRQT",))
DAUGHTER, DOCTOR = person("RelatedPerson/daughter", "", ("FAMRQT",)), person("Practitioner/own")


@pytest.fixture
async def seen(clinic: Clinic) -> PipelineRecordAccess:
    """Another hospital has read of ``a``, and nobody of ``b`` but who wrote it."""
    for id_ in ("a", "b"):
        await clinic.put(patient(id_, name=[{"family": f"Meier-{id_}"}]))
        await clinic.put(observation(f"o{id_}", id_))
    await clinic.put(sharing("a"))
    assert (await clinic.get(OTHER, "Observation/oa")).status == 200
    return PipelineRecordAccess(Asking(lambda: clinic.pipeline, lambda: clinic.now))


async def test_a_patient_sees_who_read_of_her(seen: PipelineRecordAccess) -> None:
    assert await seen.patients(ANNA) == [("Patient/a", "Meier-a")]
    page = await seen.seen(ANNA, "Patient/a", "")
    assert page is not None
    newest = page.accesses[1]  # the first is her own look at the Patient
    assert (newest.did, newest.records) == ("read", ("Observation",))
    assert newest.organizations == ("Organization/other",)
    assert (newest.why, newest.permitted_by) == ("treatment", "the patient's consent")


@pytest.mark.parametrize("user", [BERTA, DAUGHTER, DOCTOR], ids=["patient", "daughter", "doctor"])
async def test_nobody_else_sees_it(seen: PipelineRecordAccess, user: User) -> None:
    assert "Patient/a" not in dict(await seen.patients(user))
    assert await seen.seen(user, "Patient/a", "") is None


async def test_a_hidden_and_a_missing_record_look_the_same(seen: PipelineRecordAccess) -> None:
    for reference in ("Patient/a", "Patient/nowhere", "Patient/b/../a", "Observation/oa", ""):
        assert await seen.seen(BERTA, reference, "") is None


async def test_a_page_of_one_log_is_no_page_of_another(
    clinic: Clinic, seen: PipelineRecordAccess
) -> None:
    for _ in range(25):
        await clinic.get(HOUSE, "Observation/oa")
    first = await seen.seen(ANNA, "Patient/a", "")
    assert first is not None
    assert first.following
    second = await seen.seen(ANNA, "Patient/a", first.following)
    assert second is not None
    told = [access.event for access in (*first.accesses, *second.accesses)]
    assert len(set(told)) == len(told)
    with pytest.raises(PageError):
        await seen.seen(BERTA, "Patient/b", first.following)
    with pytest.raises(PageError):
        await seen.seen(ANNA, "Patient/a", "made up")


async def test_a_daughter_sees_it_if_nothing_is_withheld_from_her(
    clinic: Clinic, seen: PipelineRecordAccess
) -> None:
    part = consent("daughter", "a", "permit", DAUGHTER.fhir_user, actions=("access",))
    inner = {"type": "deny", "securityLabel": [{"system": "urn:x", "code": "y"}]}
    part["provision"]["provision"] = [inner]
    await clinic.put(part)
    assert await seen.seen(DAUGHTER, "Patient/a", "") is None
    await clinic.put(consent("daughter", "a", "permit", DAUGHTER.fhir_user, actions=("access",)))
    assert await seen.patients(DAUGHTER) == [("Patient/a", "Meier-a")]
    assert await seen.seen(DAUGHTER, "Patient/a", "") is not None


async def test_receipts_are_of_ones_own_log_only(
    clinic: Clinic, seen: PipelineRecordAccess
) -> None:
    page = await seen.seen(ANNA, "Patient/a", "")
    assert page is not None
    event = page.accesses[1].event
    for user, id_ in (
        (BERTA, event),
        (DOCTOR, event),
        (ANNA, "nowhere"),
        (ANNA, "../x"),
        (ANNA, ""),
    ):
        assert await seen.receipt(user, id_) is None
    assert await seen.receipt(ANNA, event) is None  # nothing is anchored here yet
    statuses = [event.get("outcome") for event in await clinic.audits()]
    assert "4" in statuses  # what was refused is on record


async def test_looking_is_on_record(clinic: Clinic, seen: PipelineRecordAccess) -> None:
    before = clinic.log_size()
    await seen.seen(ANNA, "Patient/a", "")
    (event,) = await clinic.audits(before)
    assert "Patient/a" in str(event["agent"])
