"""What a match refers to is shown only to those who may see it for itself."""

import pytest

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, observation, patient, sharing
from .pairs import Pair, assert_same

SAME = [
    "Observation?_include=Observation:encounter",
    "Observation?_include=Observation:subject&_count=1",
    "Observation?_include=*",
    "Observation?_include:iterate=*&_revinclude:iterate=*",
    "Encounter?_include=Encounter:subject",
    "Observation?_include=Observation:patient&_include:iterate=Patient:link",
]


@pytest.fixture
async def linked(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(patient("b"))
    await clinic.put(sharing("a"))
    await clinic.put({"resourceType": "Encounter", "id": "e-open", "status": "finished",
                      "class": {"code": "AMB"}, "subject": {"reference": "Patient/a"}})  # fmt: skip
    await clinic.put({"resourceType": "Encounter", "id": "e-hidden", "status": "finished", "meta": ETH,
                      "class": {"code": "AMB"}, "subject": {"reference": "Patient/a"}})  # fmt: skip
    await clinic.put(observation("o1", "a", encounter={"reference": "Encounter/e-open"}))
    await clinic.put(observation("o2", "a", encounter={"reference": "Encounter/e-hidden"}))
    await clinic.put(observation("o3", "a", encounter={"reference": "Encounter/not-there"}))
    return clinic


async def test_a_hidden_record_is_not_included(linked: Clinic) -> None:
    search = "Observation?subject=a&_include=Observation:encounter&_include=Observation:subject"
    answer = await linked.get(OTHER, search)
    assert sorted(answer.references) == [
        "Encounter/e-open", "Observation/o1", "Observation/o2", "Observation/o3", "Patient/a",
    ]  # fmt: skip
    assert "Encounter/e-hidden" in (await linked.get(HOUSE, search)).references


async def test_a_hidden_and_a_missing_target_look_the_same(linked: Clinic) -> None:
    hidden = await linked.get(OTHER, "Observation?_id=o2&_include=Observation:encounter")
    missing = await linked.get(OTHER, "Observation?_id=o3&_include=Observation:encounter")
    strip = str.maketrans("", "", "23")
    assert len(hidden.json["entry"]) == len(missing.json["entry"]) == 1
    assert hidden.json["total"] == missing.json["total"] == 1
    assert hidden.json["link"][0]["url"].translate(strip) == missing.json["link"][0][
        "url"
    ].translate(strip)


async def test_a_scope_that_does_not_reach_the_target_keeps_it_out(linked: Clinic) -> None:
    linked.caller("narrow", "system/Observation.rs")
    answer = await linked.get("narrow", "Observation?_id=o1&_include=Observation:encounter")
    assert answer.references == ["Observation/o1"]
    linked.caller("search-only", "system/Observation.rs system/Encounter.s")
    answer = await linked.get("search-only", "Observation?_id=o1&_include=Observation:encounter")
    assert answer.references == ["Observation/o1"]


async def test_a_granular_scope_holds_for_what_is_included(linked: Clinic) -> None:
    linked.caller("granular", "system/Observation.rs system/Encounter.r?status=planned")
    answer = await linked.get("granular", "Observation?_id=o1&_include=Observation:encounter")
    assert answer.references == ["Observation/o1"]


async def test_a_patient_scope_includes_nothing_of_another_patient(linked: Clinic) -> None:
    mixed = observation("o4", "a", performer=[{"reference": "Patient/b"}])
    await linked.put(mixed)
    linked.caller("app", "patient/*.rs", user="Practitioner/1", patient="Patient/a")
    answer = await linked.get("app", "Observation?_id=o4&_include=Observation:performer")
    assert "Patient/b" not in answer.references


async def test_includes_do_not_count_as_matches(linked: Clinic) -> None:
    answer = await linked.get(
        HOUSE, "Observation?subject=a&_include=Observation:encounter&_count=2"
    )
    modes = [e["search"]["mode"] for e in answer.json["entry"]]
    assert modes.count("match") == 2


async def test_what_is_included_stands_in_the_audit(linked: Clinic) -> None:
    start = linked.log_size()
    await linked.get(OTHER, "Observation?_id=o1&_include=Observation:encounter")
    [event] = await linked.audits(start)
    named = [e.get("what", {}).get("reference") for e in event["entity"]]
    assert "Encounter/e-open/_history/1" in named
    assert "Observation/o1/_history/1" in named


@pytest.mark.parametrize(
    "value",
    [
        "Nonsense:*",
        "Patient:*",
        "Patient:link",
        "Observation",
        "Observation:code",
        "Observation:nope",
        "",
    ],
)
async def test_an_include_that_is_not_a_reference_of_this_type_is_refused(
    linked: Clinic, value: str
) -> None:
    assert (await linked.get(OTHER, f"Observation?_include={value}")).status == 400


async def test_what_matches_refer_to_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
