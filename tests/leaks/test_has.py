"""``_has`` and ``_list`` give no way to guess what hidden records say."""

import pytest

from fhir_server.interactions.search import joining

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, observation, patient, sharing
from .pairs import Pair, assert_same

SAME = [
    "Patient?_has:Observation:patient:identifier=urn:mrn|9",
    "Patient?_has:Observation:patient:date=ge2020-06",
    "Patient?_has:Observation:patient:date=lt2020&_summary=count",
    "Patient?_has:Encounter:patient:status=finished",
    "Patient?_has:Observation:patient:encounter.status=finished",
    "Patient?_has:Encounter:patient:_has:Observation:encounter:date=2020-05-01",
    "Patient?_has:Observation:patient:_id=h1,b1",
    "Observation?_list=l",
    "Patient?_list=l",
    "Encounter?_has:Observation:encounter:code=8867-4",
    "Patient?_has:Observation:patient:date=2020-05-01",
    "Patient?_has:Observation:patient:value-quantity=2.5",
]

GUESSES = ["11", "22", "33", "8867-4", "http://loinc.org|11"]


@pytest.fixture(params=[1000, 0], ids=["source first", "each asked"])
async def linked(
    clinic: Clinic, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Clinic:
    monkeypatch.setattr(joining, "_FEW", request.param)
    await clinic.put(patient("a"))
    await clinic.put(patient("b"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("open", "a", "22"))
    await clinic.put(observation("hidden", "a", "11", meta=ETH))
    await clinic.put(observation("others", "b", "33", performer=[{"reference": "Patient/a"}]))
    await clinic.put({"resourceType": "List", "id": "l", "status": "current", "mode": "working", "meta": ETH,
                      "subject": {"reference": "Patient/a"}, "entry": [{"item": {"reference": "Patient/a"}}]})  # fmt: skip
    return clinic


@pytest.mark.parametrize("guess", GUESSES)
async def test_a_value_of_a_hidden_record_can_not_be_inferred(linked: Clinic, guess: str) -> None:
    expected = ["Patient/a"] if guess == "22" else []
    for query in (
        f"_has:Observation:patient:code={guess}",
        f"_has:Observation:subject:code={guess}",
        f"_has:Observation:performer:code={guess}"
        if guess == "33"
        else f"_has:Observation:subject:code={guess}",
        f"_has:Observation:patient:code={guess}&_id=a,b",
        f"_has:Observation:subject:code={guess}&_sort=_id",
        f"_has:Observation:patient:_has:Observation:has-member:code={guess}"
        if expected == []
        else f"_has:Observation:patient:code={guess}",
    ):
        answer = await linked.get(OTHER, f"Patient?{query}")
        assert answer.references == expected, query
        assert answer.json["total"] == len(expected)
        count = await linked.get(OTHER, f"Patient?{query}&_summary=count")
        assert count.json["total"] == len(expected)
    assert (await linked.get(HOUSE, "Patient?_has:Observation:patient:code=11")).references


async def test_absence_of_a_hidden_record_can_not_be_inferred(linked: Clinic) -> None:
    answer = await linked.get(OTHER, "Patient?_has:Observation:patient:code:not=22")
    assert answer.references == []
    answer = await linked.get(OTHER, "Patient?_has:Observation:patient:status:missing=false&_id=b")
    assert answer.references == []


async def test_it_needs_the_right_to_search_the_other_type(linked: Clinic) -> None:
    linked.caller("narrow", "system/Patient.rs system/Observation.r")
    for query in (
        "_has:Observation:patient:code=x", "_has:Observation:patient:code=11&_id=none", "_list=l",
        "_has:Observation:patient:_has:Provenance:target:agent=x",
    ):  # fmt: skip
        answer = await linked.get("narrow", f"Patient?{query}")
        assert answer.status == 403
        assert query.partition("=")[0] in answer.json["issue"][0]["diagnostics"]


async def test_granular_and_patient_scopes_hold_for_the_other_side(linked: Clinic) -> None:
    linked.caller("granular", "system/Patient.rs system/Observation.rs?code=http://loinc.org|22")
    assert (
        await linked.get("granular", "Patient?_has:Observation:patient:code=11")
    ).references == []
    assert (await linked.get("granular", "Patient?_has:Observation:patient:code=22")).references
    linked.caller("app", "patient/*.rs", user="Practitioner/1", patient="Patient/a")
    assert (await linked.get("app", "Patient?_has:Observation:patient:code=33")).references == []


async def test_a_hidden_list_lists_nothing(linked: Clinic) -> None:
    hidden = await linked.get(OTHER, "Patient?_list=l")
    missing = await linked.get(OTHER, "Patient?_list=n")
    assert hidden.references == missing.references == []
    assert hidden.json["total"] == missing.json["total"] == 0
    assert (await linked.get(HOUSE, "Patient?_list=l")).references == ["Patient/a"]


async def test_after_a_revocation_the_joined_records_count_no_more(linked: Clinic) -> None:
    query = "Patient?_has:Observation:patient:code=22"
    assert (await linked.get(OTHER, query)).references == ["Patient/a"]
    await linked.put(observation("open", "a", "22", meta=ETH))
    assert (await linked.get(OTHER, query)).references == []


async def test_a_total_that_is_about_few_patients_stands_in_their_audit(linked: Clinic) -> None:
    start = linked.log_size()
    await linked.get(OTHER, "Patient?_has:Observation:patient:code=22&_summary=count")
    [event] = await linked.audits(start)
    assert event["entity"][0]["what"]["reference"] == "Patient/a"


async def test_a_join_stands_in_the_audit_of_the_patients_returned(linked: Clinic) -> None:
    start = linked.log_size()
    await linked.get(HOUSE, "Patient?_has:Observation:patient:code=22,33")
    events = await linked.audits(start)
    assert sorted(e["entity"][0]["what"]["reference"] for e in events) == ["Patient/a", "Patient/b"]


async def test_a_reverse_chain_or_list_is_that_of_a_server_without_what_is_hidden(
    pair: Pair,
) -> None:
    await assert_same(pair, SAME)
