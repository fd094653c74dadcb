"""Searches of compartments and of several types."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from ..clinic import BASE, HOUSE, Clinic, observation, patient

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def stored(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a", name=[{"family": "Meier"}]))
    await clinic.put(patient("b", link=[{"other": {"reference": "Patient/a"}, "type": "seealso"}]))
    await clinic.put({"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"},
                      "subject": {"reference": "Patient/a"},
                      "participant": [{"individual": {"reference": "Practitioner/p"}}]})  # fmt: skip
    await clinic.put({"resourceType": "Practitioner", "id": "p", "name": [{"family": "Arzt"}]})
    await clinic.put({"resourceType": "Device", "id": "d"})
    await clinic.put(
        {"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": "Patient/a"}}
    )
    await clinic.put(observation("o1", "a", encounter={"reference": "Encounter/e"}))
    await clinic.put(observation("o2", "b", performer=[{"reference": "Patient/a"}]))
    await clinic.put(observation("o3", "b", device={"reference": "Device/d"}))
    await clinic.put(observation("o4", "b", performer=[{"reference": "RelatedPerson/r"}]))
    await clinic.put(
        observation("o5", "b", performer=[{"reference": "Practitioner/p"}], status="final")
    )
    return clinic


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Patient/a/Observation", ["Observation/o1", "Observation/o2"]),
        ("Patient/a/Observation?_id=o2", ["Observation/o2"]),
        ("Patient/a/Observation?encounter.status=finished", ["Observation/o1"]),
        ("Patient/none/Observation", []),
        ("Patient/a/*", ["Encounter/e", "Observation/o1", "Observation/o2", "Patient/b", "RelatedPerson/r"]),
        ("Patient/a/*?_type=Encounter,Observation", ["Encounter/e", "Observation/o1", "Observation/o2"]),
        ("Encounter/e/Observation", ["Observation/o1"]),
        ("Encounter/e/Encounter", ["Encounter/e"]),
        ("Encounter/none/Encounter", []),
        ("Practitioner/p/Observation", ["Observation/o5"]),
        ("Practitioner/p/Encounter", ["Encounter/e"]),
        ("RelatedPerson/r/Observation", ["Observation/o4"]),
        ("Device/d/Observation", ["Observation/o3"]),
        ("Patient/a/Patient", ["Patient/b"]),
    ],
)  # fmt: skip
async def test_a_compartment_holds_what_its_definition_says(
    stored: Clinic, path: str, expected: list[str]
) -> None:
    answer = await stored.get(HOUSE, path)
    assert answer.references == expected
    assert unquote(answer.json["link"][0]["url"]) == f"{BASE}/{path}"
    place, _, query = path.partition("?")
    posted = await stored.ask(HOUSE, "POST", f"{place}/_search", query.encode(), FORM)
    if not place.endswith("*"):
        assert posted.references == expected
        assert posted.json["link"] == answer.json["link"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Patient/a/Organization", 404), ("Organization/a/Patient", 404), ("Patient/a_b/Observation", 404),
        ("Patient/a/nonsense", 404), ("Patient/a/*?_type=Organization", 400), ("?_type=Nonsense", 400), ("?_type=", 400),
        ("Observation?_type=Patient", 400),
        ("Patient/a/Observation?_count=x", 400),
    ],
)  # fmt: skip
async def test_what_is_no_compartment_is_not_there(stored: Clinic, path: str, status: int) -> None:
    assert (await stored.get(HOUSE, path)).status == status


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_type=Practitioner,Device", ["Device/d", "Practitioner/p"]),
        ("_type=Patient&name=meier", ["Patient/a"]),
        ("_type=Patient,Practitioner&name=meier,arzt", ["Patient/a", "Practitioner/p"]),
        ("_type=Patient,Practitioner&_type=Practitioner", ["Practitioner/p"]),
        ("_id=a,p", ["Patient/a", "Practitioner/p"]),
        ("_type=Encounter,Observation&patient.name=meier", ["Encounter/e", "Observation/o1"]),
    ],
)  # fmt: skip
async def test_several_types_are_searched_by_what_all_of_them_have(
    stored: Clinic, query: str, expected: list[str]
) -> None:
    for answer in (
        await stored.get(HOUSE, f"?{query}"),
        await stored.ask(HOUSE, "POST", "_search", query.encode(), FORM),
    ):
        assert answer.references == expected
        assert answer.json["total"] == len(expected)


async def test_a_parameter_that_not_all_types_have_is_named_and_left_out(stored: Clinic) -> None:
    answer = await stored.get(HOUSE, "?_type=Patient,Device&birthdate=2020")
    assert answer.references == ["Device/d", "Patient/a", "Patient/b"]
    assert "birthdate" in str(answer.json["entry"][-1])
    assert "birthdate" not in answer.json["link"][0]["url"]
    strict = await stored.ask(
        HOUSE, "GET", "?_type=Patient,Device&birthdate=2020", headers={"prefer": "handling=strict"}
    )
    assert strict.status == 400
    assert (await stored.get(HOUSE, "?_type=Patient,Device&_security:x=1")).status == 400


@pytest.mark.parametrize("sort", ["", "&_sort=_lastUpdated", "&_sort=-_lastUpdated", "&_sort=_id"])
async def test_pages_over_all_types_hold_each_record_once(stored: Clinic, sort: str) -> None:
    everything = (await stored.get(HOUSE, f"?_count=100{sort}")).references
    assert len(everything) == 11
    paged = await stored.all_pages(HOUSE, f"?_count=2{sort}")
    assert [f"{r['resourceType']}/{r['id']}" for r in paged] == everything
    if "_lastUpdated" in sort:
        times = [r["meta"]["lastUpdated"] for r in paged]
        assert times == sorted(times, reverse="=-" in sort)


async def test_events_of_the_log_are_searched_only_where_they_are_named(stored: Clinic) -> None:
    stored.caller("overseer", purposes=("HOPERAT",))
    assert "AuditEvent" not in str((await stored.get("overseer", "?_count=100")).references)
    assert (
        (await stored.get("overseer", "?_type=AuditEvent&_count=1"))
        .references[0]
        .startswith("Audit")
    )
    assert (await stored.get("overseer", "Patient/a/AuditEvent")).status == 200
    assert (await stored.get("overseer", "Patient?_has:AuditEvent:patient:action=U")).status == 200
    assert (await stored.get("overseer", "Patient?_revinclude=AuditEvent:entity")).status == 200


@pytest.mark.parametrize("value", ["_summary=count", "_count=0", "_count=0&_totalMethod=count"])
async def test_only_the_total(stored: Clinic, value: str) -> None:
    for path in ("Observation", "?_type=Observation", "Patient/b/Observation"):
        answer = await stored.get(HOUSE, f"{path}{'&' if '?' in path else '?'}{value}")
        assert answer.json["total"] == (4 if path[0] == "P" else 5)
        assert "entry" not in answer.json


async def test_the_total_is_told_as_it_is_asked_for(stored: Clinic) -> None:
    for value, told in (("none", False), ("estimate", True), ("accurate", True)):
        answer = await stored.get(HOUSE, f"Observation?_total={value}&_count=2")
        assert ("total" in answer.json) == told
    answer = await stored.get(HOUSE, "Observation?_total=accurate&_count=2&_sort=status")
    assert (await stored.get(HOUSE, answer.next)).json["total"] == 5


async def test_the_capability_statement_names_the_ways_back(stored: Clinic) -> None:
    statement = (await stored.ask(None, "GET", "metadata")).json["rest"][0]
    [described] = [r for r in statement["resource"] if r["type"] == "Patient"]
    assert "Observation:patient" in described["searchRevInclude"]
    assert described["searchInclude"][0] == "*"
    assert {"code": "search-system"} in statement["interaction"]
