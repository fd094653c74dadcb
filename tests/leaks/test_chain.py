"""A chain decides by nothing that the caller may not see for itself."""

import pytest

from fhir_server.interactions.search import joining

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, observation, patient, sharing
from .pairs import Pair, assert_same

SAME = [
    "Observation?encounter.status=finished",
    "Observation?encounter.status:missing=false",
    "Observation?patient.name=meier",
    "Observation?encounter:Encounter.class=AMB&_summary=count",
    "Observation?encounter._id=eh,x",
    "Observation?patient.identifier=urn:mrn|9",
    "Observation?patient.birthdate=1970-01-01",
    "Observation?patient.name=suchtklinik&_summary=count",
]

ENCOUNTER = {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}}


@pytest.fixture(params=[1000, 0], ids=["target first", "source first"])
async def linked(
    clinic: Clinic, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Clinic:
    monkeypatch.setattr(joining, "_FEW", request.param)
    await clinic.put(patient("a", name=[{"family": "Meier"}]))
    await clinic.put(patient("b", name=[{"family": "Geheim"}]))
    await clinic.put(sharing("a"))
    subject = {"subject": {"reference": "Patient/a"}}
    await clinic.put({**ENCOUNTER, "id": "open", **subject})
    await clinic.put({**ENCOUNTER, "id": "hidden", "meta": ETH, **subject})
    await clinic.put(observation("o1", "a", encounter={"reference": "Encounter/open"}))
    await clinic.put(observation("o2", "a", encounter={"reference": "Encounter/hidden"}))
    await clinic.put(observation("o3", "a", encounter={"reference": "Encounter/missing"}))
    await clinic.put(observation("o4", "a", performer=[{"reference": "Patient/b"}]))
    return clinic


@pytest.mark.parametrize(
    "query",
    [
        "encounter.status=finished", "encounter.status:missing=false", "encounter.class=AMB",
        "encounter:Encounter.status=finished",
        "encounter._id=open,hidden", "encounter.patient.name=meier", "encounter._security:not=x",
        "encounter.status:not=planned",
    ],
)  # fmt: skip
async def test_a_hidden_record_in_the_middle_is_as_if_it_were_missing(
    linked: Clinic, query: str
) -> None:
    assert (await linked.get(OTHER, f"Observation?{query}")).references == ["Observation/o1"]
    assert (await linked.get(OTHER, f"Observation?{query}")).json["total"] == 1
    everything = (await linked.get(HOUSE, f"Observation?{query}")).references
    assert everything == ["Observation/o1", "Observation/o2"]


@pytest.mark.parametrize("name", ["Geheim", "G", "geheim"])
async def test_the_name_of_a_hidden_patient_can_not_be_guessed(linked: Clinic, name: str) -> None:
    for query in (
        f"performer:Patient.name={name}",
        f"performer.name={name}",
        f"performer:Patient.name:exact={name}",
    ):
        assert (await linked.get(OTHER, f"Observation?{query}")).references == []
        assert (await linked.get(OTHER, f"Observation?{query}&_summary=count")).json["total"] == 0
    assert (await linked.get(HOUSE, "Observation?performer.name=Geheim")).references


async def test_a_chain_needs_the_right_to_search_the_type_that_it_reaches(linked: Clinic) -> None:
    for scope in ("system/Observation.rs", "system/Observation.rs system/Encounter.r"):
        linked.caller("narrow", scope)
        for query in (
            "encounter.status=finished",
            "encounter:Encounter.status=nope",
            "encounter._id=missing",
        ):
            answer = await linked.get("narrow", f"Observation?{query}")
            assert answer.status == 403
            assert query.partition("=")[0] in answer.json["issue"][0]["diagnostics"]
            batch = await linked.get("narrow", f"Observation?{query}&_count=0")
            assert batch.status == 403


async def test_the_last_type_of_a_long_chain_is_authorised_too(linked: Clinic) -> None:
    linked.caller("narrow", "system/Observation.rs system/Encounter.rs")
    assert (await linked.get("narrow", "Observation?encounter.patient.name=meier")).status == 403


async def test_a_chain_over_any_type_uses_only_those_that_may_be_searched(linked: Clinic) -> None:
    group = {"resourceType": "Group", "id": "g", "type": "person", "actual": True}
    await linked.put({**group, "identifier": [{"value": "1"}]})
    await linked.put({**observation("og", "x"), "subject": {"reference": "Group/g"}})
    linked.caller("narrow", "system/Observation.rs system/Patient.rs")
    assert (await linked.get("narrow", "Observation?subject.identifier=1")).references == []
    assert (await linked.get(HOUSE, "Observation?subject.identifier=1")).references == [
        "Observation/og"
    ]


async def test_a_granular_scope_holds_for_what_a_chain_reaches(linked: Clinic) -> None:
    linked.caller("granular", "system/Observation.rs system/Encounter.rs?status=planned")
    assert (await linked.get("granular", "Observation?encounter.class=AMB")).references == []
    linked.caller("granular2", "system/Observation.rs system/Encounter.rs?_id=open")
    found = await linked.get("granular2", "Observation?encounter.class=AMB")
    assert found.references == ["Observation/o1"]


async def test_a_patient_scope_reaches_through_no_chain_to_another_patient(linked: Clinic) -> None:
    linked.caller("app", "patient/*.rs", user="Practitioner/1", patient="Patient/a")
    assert (await linked.get("app", "Observation?performer:Patient.name=geheim")).references == []
    assert (
        "Observation/o1" in (await linked.get("app", "Observation?patient.name=meier")).references
    )


async def test_a_scope_with_a_chain_in_it_reaches_nothing(linked: Clinic) -> None:
    linked.caller("odd", "system/Observation.rs?patient.name=meier")
    assert (await linked.get("odd", "Observation")).json["total"] == 0
    assert (await linked.get("odd", "Observation/o1")).status == 404


async def test_a_chain_in_a_condition_reads_nothing_hidden(linked: Clinic) -> None:
    linked.caller("writer", "system/*.cruds", organization="Organization/other")
    new = observation("x", "a")
    await linked.put({**sharing("a"), "id": "sharing2"})
    answer = await linked.ask(
        OTHER, "POST", "Observation", new, {"if-none-exist": "encounter.status=finished&_id=o2"}
    )
    assert answer.status in (201, 404)  # never "there is one"
    linked.caller("blind", "system/Observation.cruds")
    answer = await linked.ask(
        "blind", "POST", "Observation", new, {"if-none-exist": "encounter.status=finished"}
    )
    assert answer.status == 403


async def test_a_chain_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
