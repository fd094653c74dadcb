"""Compartments and searches of several types show what searches of one type would show, and nothing else."""

import pytest

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, observation, patient, sharing
from .pairs import Pair, assert_same

SAME = [
    "Patient/a/Observation",
    "Patient/b/Observation",
    "Patient/a/*",
    "Patient/b/*",
    "Encounter/eh/Observation",
    "Encounter/eh/Encounter",
    "?_type=Patient,Observation,Encounter",
    "?_id=a,b,o1,h1,eh",
    "?_type=Patient,Observation&_count=1",
    "?_type=Patient,Observation&identifier=urn:mrn|9",
    "Patient/a/Encounter?_contained=true",
    "Patient/a/Observation?date=2020",
    "Encounter/e/Observation",
    "Encounter/e/*",
    "?_type=Patient,Observation",
]


@pytest.fixture
async def linked(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(patient("b"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("o1", "a"))
    await clinic.put(observation("o2", "a", meta=ETH))
    await clinic.put(observation("o3", "b"))
    await clinic.put({"resourceType": "Encounter", "id": "e", "status": "finished", "meta": ETH,
                      "class": {"code": "AMB"}, "subject": {"reference": "Patient/a"}})  # fmt: skip
    return clinic


async def test_a_compartment_holds_nothing_hidden(linked: Clinic) -> None:
    for path in ("Patient/a/Observation", "Patient/a/*?_type=Observation,Encounter"):
        answer = await linked.get(OTHER, path)
        assert answer.references == ["Observation/o1"]
        assert answer.json["total"] == 1
    assert (await linked.get(HOUSE, "Patient/a/Observation")).json["total"] == 2


async def test_the_compartment_of_a_hidden_owner_equals_that_of_an_unknown_one(
    linked: Clinic,
) -> None:
    for path in (
        "Patient/{}/Observation",
        "Patient/{}/*",
        "Encounter/{}/Observation",
        "Encounter/{}/Encounter",
    ):
        hidden = await linked.get(OTHER, path.format("b" if "Patient" in path else "e"))
        unknown = await linked.get(OTHER, path.format("zz"))
        assert hidden.status == unknown.status == 200
        assert hidden.references == unknown.references == []
        assert hidden.json.keys() == unknown.json.keys()
        assert hidden.json["total"] == 0


async def test_each_type_needs_its_scope(linked: Clinic) -> None:
    linked.caller("narrow", "system/Patient.rs system/Observation.r")
    assert (await linked.get("narrow", "Patient/a/Observation")).status == 403
    assert (await linked.get("narrow", "?_type=Patient,Observation")).status == 403
    assert (await linked.get("narrow", "Patient/a/*?_type=Observation")).status == 403
    assert (await linked.get("narrow", "?_id=a,o1")).references == ["Patient/a"]
    assert (await linked.get("narrow", "Patient/a/*")).references == []
    linked.caller("reader", "system/*.r")
    assert (await linked.get("reader", "?_type=Patient")).status == 403
    assert (await linked.get("reader", "")).status == 403
    assert (await linked.ask(None, "GET", "?_type=Patient")).status == 401


async def test_granular_and_patient_scopes_hold_for_each_type(linked: Clinic) -> None:
    linked.caller("granular", "system/Patient.rs system/Observation.rs?_id=o3")
    found = (await linked.get("granular", "?_type=Patient,Observation")).references
    assert found == ["Observation/o3", "Patient/a", "Patient/b"]
    assert (await linked.get("granular", "Patient/a/Observation")).references == []
    linked.caller("app", "patient/*.rs", user="Practitioner/1", patient="Patient/a")
    found = (await linked.get("app", "?_type=Patient,Observation,Encounter")).references
    assert set(found) <= {"Encounter/e", "Observation/o1", "Observation/o2", "Patient/a"}
    assert (await linked.get("app", "Patient/b/Observation")).references == []


async def test_the_events_of_a_search_over_types_are_one_for_each_patient(linked: Clinic) -> None:
    start = linked.log_size()
    await linked.get(HOUSE, "?_type=Patient,Observation&_sort=_id")
    events = await linked.audits(start)
    assert sorted(e["entity"][0]["what"]["reference"] for e in events) == ["Patient/a", "Patient/b"]
    for event in events:
        other = (
            "Patient/b" if event["entity"][0]["what"]["reference"] == "Patient/a" else "Patient/a"
        )
        assert other not in str(event)


async def test_whoever_is_looked_for_in_vain_sees_that(linked: Clinic) -> None:
    for path in ("Patient/b/Observation", "Patient/b/*", "?_id=b", "Observation?patient._id=b"):
        start = linked.log_size()
        assert (await linked.get(OTHER, path)).references == []
        [event] = await linked.audits(start)
        assert event["entity"][0]["what"]["reference"] == "Patient/b", path


async def test_a_page_link_of_a_compartment_holds_there_only(linked: Clinic) -> None:
    link = (await linked.get(HOUSE, "Patient/a/Observation?_count=1")).next
    assert link.startswith("Patient/a/Observation?")
    assert (await linked.get(HOUSE, link)).references == ["Observation/o2"]
    for other in ("Patient/b/Observation", "Observation", "Patient/a/*"):
        assert (await linked.get(HOUSE, link.replace("Patient/a/Observation", other))).status == 400
    assert (await linked.get(OTHER, link)).status == 400
    await linked.put(observation("o2", "b"))
    assert (await linked.get(HOUSE, link)).references == []


async def test_a_compartment_or_a_search_of_several_types_is_that_of_a_server_without_what_is_hidden(
    pair: Pair,
) -> None:
    await assert_same(pair, SAME)
