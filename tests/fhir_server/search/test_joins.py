"""Chains, ``_has``, ``_list`` and ``_contained``: found by what other records say."""

from __future__ import annotations

import time

import pytest

from fhir_server.interactions.search import joining

from ..clinic import BASE, ETH, HOUSE, Clinic, Json, observation, patient


def organization(id_: str, name: str, **members: object) -> Json:
    return {"resourceType": "Organization", "id": id_, "name": name, **members}


def encounter(id_: str, subject: str, status: str = "finished", **members: object) -> Json:
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": status,
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{subject}"},
        **members,
    }


RECORDS: list[Json] = [
    organization("top", "Trust"),
    organization("sub", "Ward", partOf={"reference": "Organization/top"}),
    patient("a", name=[{"family": "Meier"}], managingOrganization={"reference": "Organization/sub"}),
    patient("b", name=[{"family": "Huber"}], gender="female"),
    {"resourceType": "Group", "id": "g", "type": "person", "actual": True, "identifier": [{"value": "G"}]},
    encounter("ea", "a"),
    encounter("eb", "b", "planned"),
    observation("oa", "a", "8867-4", encounter={"reference": f"{BASE}/Encounter/ea/_history/1"}),
    observation("oa2", "a", "1111-1", encounter={"reference": "Encounter/ea"}),
    observation("ob", "b", "8867-4", encounter={"reference": "Encounter/eb"}),
    {**observation("og", "x"), "subject": {"reference": "Group/g"}},
    {"resourceType": "List", "id": "l", "status": "current", "mode": "changes", "entry": [
        {"item": {"reference": "Observation/oa"}}, {"item": {"reference": "Patient/b"}},
        {"item": {"reference": "Observation/ob"}, "deleted": True}, {"item": {"reference": "Observation/none"}}]},
]  # fmt: skip

ASKED = [
    ("Observation?subject:Patient.name=meier", ["oa", "oa2"]),
    ("Observation?patient.name=meier", ["oa", "oa2"]),
    ("Observation?subject.name=meier", ["oa", "oa2"]),
    ("Observation?subject.identifier=G", ["og"]),
    ("Observation?subject:Group.identifier=G", ["og"]),
    ("Observation?subject:Patient.name=nobody", []),
    ("Observation?patient.name=meier&code=8867-4", ["oa"]),
    ("Observation?patient.name=meier&patient.name=huber", []),
    ("Observation?patient.name=meier,huber", ["oa", "oa2", "ob"]),
    ("Observation?patient.name:exact=Huber", ["ob"]),
    ("Observation?patient.gender:missing=true", ["oa", "oa2"]),
    ("Observation?patient.gender:missing=false", ["ob"]),
    ("Observation?patient._id=b", ["ob"]),
    ("Observation?patient.organization.name=ward", ["oa", "oa2"]),
    ("Observation?patient.organization.partof.name=trust", ["oa", "oa2"]),
    ("Observation?patient.organization:Organization.partof:Organization.name=ward", []),
    ("Observation?encounter.status=finished", ["oa", "oa2"]),
    ("Observation?encounter.subject:Patient.name=huber", ["ob"]),
    ("Observation?encounter.status:not=finished", ["ob"]),
    ("Patient?_has:Observation:patient:code=8867-4", ["a", "b"]),
    ("Patient?_has:Observation:patient:code=1111-1", ["a"]),
    ("Patient?_has:Observation:patient:code=8867-4&_has:Encounter:patient:status=planned", ["b"]),
    ("Patient?_has:Observation:subject:code=1111-1&_has:Encounter:patient:status=planned", []),
    ("Patient?_has:Encounter:patient:_has:Observation:encounter:code=1111-1", ["a"]),
    ("Patient?_has:Observation:patient:encounter.status=planned", ["b"]),
    ("Patient?_has:Observation:patient:_id=ob", ["b"]),
    ("Patient?_has:Observation:patient:date:missing=false", []),
    ("Observation?patient._has:Encounter:patient:status=planned", ["ob"]),
    ("Group?_has:Observation:subject:code=8867-4", ["g"]),
    ("Organization?_has:Patient:organization:name=meier", ["sub"]),
    ("Organization?_has:Organization:partof:_has:Patient:organization:name=meier", ["top"]),
    ("Observation?_list=l", ["oa"]),
    ("Observation?_list=List/l&code=1111-1", []),
    ("Patient?_list=l", ["b"]),
    ("Patient?_list=none,l", ["b"]),
    ("Patient?_list=none", []),
    ("Patient?_list=l&_has:Observation:patient:code=8867-4&_id=b", ["b"]),
    ("Patient?_id=a&_has:Observation:patient:code=8867-4", ["a"]),
]  # fmt: skip


@pytest.fixture
async def stored(clinic: Clinic) -> Clinic:
    for resource in RECORDS:
        await clinic.put(resource)
    return clinic


@pytest.mark.parametrize("few", [1000, 0])
async def test_a_join_finds_the_same_whichever_side_is_resolved_first(
    stored: Clinic, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_FEW", few)
    for url, expected in ASKED:
        answer = await stored.get(HOUSE, url)
        assert answer.status == 200, (url, answer.body)
        assert [r["id"] for r in answer.resources] == expected, url
        assert answer.json["total"] == len(expected), url


@pytest.mark.parametrize("few", [1000, 0])
async def test_a_join_follows_what_changes(
    stored: Clinic, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_FEW", few)
    await stored.put(patient("a", name=[{"family": "Neu"}]))
    await stored.ask(HOUSE, "DELETE", "Observation/oa2")
    assert (await stored.get(HOUSE, "Observation?patient.name=meier")).resources == []
    assert [
        r["id"] for r in (await stored.get(HOUSE, "Observation?patient.name=neu")).resources
    ] == ["oa"]
    assert (await stored.get(HOUSE, "Patient?_has:Observation:patient:code=1111-1")).resources == []
    await stored.ask(HOUSE, "DELETE", "Patient/a")
    assert (await stored.get(HOUSE, "Observation?patient.name=neu")).resources == []
    await stored.ask(HOUSE, "DELETE", "List/l")
    assert (await stored.get(HOUSE, "Observation?_list=l")).resources == []


@pytest.mark.parametrize(
    "name",
    [
        "subject.nope", "subject:Patient.nope", "subject:Observation.code", "subject:Nope.name", "code.name", "nope.name",
        "subject.", ".name", "..", "patient.organization.nope", "subject:Patient.name:nope",
        "subject:Patient.birthdate:exact", "_has:Observation", "_has:Observation:patient", "_has:Nope:patient:code",
        "_has:Observation:nope:code", "_has:Observation:code:code", "_has:Encounter:patient:nope", "_has:::", "_has:",
        "_has:Encounter:location:status", "patient.partof.name",
        "encounter.part-of.part-of.part-of.part-of.part-of.part-of.status",
        "hasMember.hasMember.x", "_list",
    ],
)  # fmt: skip
async def test_a_join_that_leads_nowhere_is_refused(stored: Clinic, name: str) -> None:
    answer = await stored.get(HOUSE, f"Observation?{name}=$x")
    assert answer.status == 400
    assert "resource" not in answer.json


async def test_a_malformed_value_at_the_end_of_a_chain_is_400(stored: Clinic) -> None:
    assert (await stored.get(HOUSE, "Observation?patient.birthdate=x")).status == 400
    assert (await stored.get(HOUSE, "Patient?_has:Observation:patient:date=2020-13")).status == 400


async def test_chains_without_end_are_refused_at_once(stored: Clinic) -> None:
    started = time.monotonic()
    form = {"content-type": "application/x-www-form-urlencoded"}
    for body in (
        "&".join(["patient.name=x"] * 1000),
        "&".join(["patient.name=x"] * 190),
        "patient" + ".link" * 1000 + "=x",
        "_has:Observation:patient:" * 1000 + "code=x",
        "derived-from" + ".derived-from" * 4 + ".status=x",
    ):
        answer = await stored.ask(HOUSE, "POST", "Observation/_search", body.encode(), form)
        assert answer.status in (200, 400), body[:60]
    for name in ("entity.entity.entity.entity.entity.recorded", "target." * 5 + "_id"):
        assert (await stored.get(HOUSE, f"Provenance?{name}=2020")).status in (200, 400)
    assert time.monotonic() - started < 3


async def test_contained_resources_are_searched_by_opening_what_may_contain_them(
    clinic: Clinic,
) -> None:
    medication = {"resourceType": "Medication", "id": "m", "code": {"coding": [{"code": "x"}]}}
    prescribed = {
        "resourceType": "MedicationRequest", "id": "mr", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/a"}, "medicationReference": {"reference": "#m"}, "contained": [medication],
    }  # fmt: skip
    await clinic.put(patient("a"))
    await clinic.put(prescribed)
    await clinic.put({**medication, "id": "own"})
    for query, expected in (
        ("code=x", ["Medication/own"]),
        ("code=x&_contained=false", ["Medication/own"]),
        ("code=x&_contained=true", ["MedicationRequest/mr"]),
        ("code=x&_contained=both", ["Medication/own", "MedicationRequest/mr"]),
        ("code=y&_contained=both", []),
        ("code=x&_contained=true&_containedType=container", ["MedicationRequest/mr"]),
    ):
        assert (await clinic.get(HOUSE, f"Medication?{query}")).references == expected, query
    for query in (
        "_contained=perhaps",
        "_contained=true&_containedType=contained",
        "_containedType=x",
    ):
        assert (await clinic.get(HOUSE, f"Medication?{query}")).status == 400
    await clinic.put({**prescribed, "meta": ETH})
    assert (await clinic.get(HOUSE, "Medication?code=x&_contained=true")).references != []
