"""``_revinclude``, ``:iterate`` and ``*`` bring only what the caller may see for itself, through every round."""

import pytest

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, Json, observation, patient, sharing
from .pairs import Pair, assert_same

SAME = [
    "Patient?_revinclude=Observation:patient",
    "Patient?_revinclude=*&_count=1",
    "Encounter?_revinclude=Observation:encounter",
    "Patient?_revinclude=Encounter:patient",
    "Patient?_id=b&_revinclude=Observation:patient",
    "Patient?_revinclude=List:patient",
]

_MEMBER = "_include:iterate=Observation:has-member"


def _member(id_: str, *members: str, **more: object) -> Json:
    if members:
        more["hasMember"] = [{"reference": f"Observation/{member}"} for member in members]
    return observation(id_, "a", **more)


@pytest.fixture
async def linked(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(patient("b"))
    await clinic.put(sharing("a"))
    await clinic.put(_member("top", "mid", "dark"))
    await clinic.put(_member("mid", "leaf", "top"))  # a cycle
    await clinic.put(_member("leaf"))
    await clinic.put(_member("dark", "beyond", meta=ETH))
    await clinic.put(_member("beyond"))
    await clinic.put(observation("others", "b", focus=[{"reference": "Patient/a"}]))
    return clinic


async def test_a_hidden_record_does_not_come_and_leads_nowhere(linked: Clinic) -> None:
    found = (await linked.get(OTHER, f"Observation?_id=top&{_MEMBER}")).references
    assert found == ["Observation/top", "Observation/mid", "Observation/leaf"]
    found = (await linked.get(HOUSE, f"Observation?_id=top&{_MEMBER}")).references
    assert sorted(found) == sorted(
        f"Observation/{i}" for i in ("top", "mid", "leaf", "dark", "beyond")
    )


@pytest.mark.parametrize("spelling", ["iterate", "recurse"])
async def test_cycles_end_and_nothing_comes_twice(linked: Clinic, spelling: str) -> None:
    member = f"{spelling}=Observation:has-member"
    query = f"_id=top,mid&_include:{member}&_revinclude:{member}"
    answer = await linked.get(OTHER, f"Observation?{query}")
    assert len(answer.references) == len(set(answer.references)) == 3
    modes = [entry["search"]["mode"] for entry in answer.json["entry"]]
    assert modes == ["match", "match", "include"]
    assert answer.json["total"] == 2


async def test_without_iterate_there_is_one_round(linked: Clinic) -> None:
    answer = await linked.get(HOUSE, "Observation?_id=top&_include=Observation:has-member")
    assert sorted(answer.references) == ["Observation/dark", "Observation/mid", "Observation/top"]


@pytest.mark.parametrize(
    "query",
    [
        "_revinclude=Observation:patient", "_revinclude=Observation:subject:Patient", "_revinclude=Observation:*",
        "_revinclude=*", "_revinclude:iterate=Observation:patient", "_revinclude=Observation:focus",
    ],
)  # fmt: skip
async def test_what_refers_to_a_match_comes_if_it_is_permitted(linked: Clinic, query: str) -> None:
    found = (await linked.get(OTHER, f"Patient?_id=a&{query}")).references
    assert "Observation/dark" not in found
    assert "Observation/others" not in found
    assert ("Observation/top" in found) == ("focus" not in query)
    everything = (await linked.get(HOUSE, f"Patient?_id=a&{query}")).references
    assert ("Observation/dark" in everything) == ("focus" not in query)


async def test_a_star_follows_every_reference(linked: Clinic) -> None:
    for query in ("_include=*", "_include=Observation:*"):
        found = (await linked.get(OTHER, f"Observation?_id=top&{query}")).references
        assert sorted(found) == ["Observation/mid", "Observation/top", "Patient/a"]
    found = (
        await linked.get(OTHER, "Observation?_id=top&_include=*&_include:iterate=*")
    ).references
    assert "Patient/b" not in found


async def test_scopes_hold_in_every_round(linked: Clinic) -> None:
    linked.caller("narrow", "system/Patient.rs")
    answer = await linked.get(
        "narrow", "Patient?_id=a&_revinclude=*&_revinclude:iterate=Observation:patient"
    )
    assert answer.references == ["Patient/a"]
    linked.caller("read", "system/Patient.rs system/Observation.r")
    assert (
        await linked.get("read", "Patient?_id=a&_revinclude=Observation:patient")
    ).references == ["Patient/a"]
    linked.caller("granular", "system/Patient.rs system/Observation.rs?_id=leaf")
    found = (
        await linked.get("granular", "Patient?_id=a&_revinclude=Observation:patient")
    ).references
    assert found == ["Patient/a", "Observation/leaf"]
    linked.caller("app", "patient/*.rs", user="Practitioner/1", patient="Patient/b")
    found = (
        await linked.get(
            "app", "Patient?_revinclude=Observation:patient&_revinclude=Observation:focus"
        )
    ).references
    assert "Observation/top" not in found


async def test_too_many_are_left_out_and_told(
    linked: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.interactions.search.including.MOST_INCLUDED", 2)
    answer = await linked.get(HOUSE, "Patient?_id=a&_revinclude=Observation:patient")
    modes = [entry["search"]["mode"] for entry in answer.json["entry"]]
    assert modes == ["match", "include", "include", "outcome"]
    assert "left out" in answer.json["entry"][-1]["resource"]["issue"][0]["diagnostics"]
    answer = await linked.get(OTHER, "Observation?_id=mid&_include=Observation:has-member")
    assert "outcome" not in str(answer.json["entry"])  # hidden ones do not fill it up


async def test_all_that_comes_along_stands_in_the_audit(linked: Clinic) -> None:
    start = linked.log_size()
    await linked.get(OTHER, "Patient?_id=a&_revinclude=Observation:patient")
    [event] = await linked.audits(start)
    named = [e.get("what", {}).get("reference", "") for e in event["entity"]]
    for expected in ("Patient/a", "Observation/top", "Observation/leaf", "Observation/beyond"):
        assert any(n.startswith(expected) for n in named), expected
    assert "dark" not in str(named)


@pytest.mark.parametrize(
    "query",
    [
        "_revinclude=Observation",
        "_revinclude=Observation:nope",
        "_revinclude=Observation:code",
        "_revinclude=Nope:patient",
        "_revinclude=",
        "_revinclude=Observation:patient:Device",
        "_include:iterate=Nope:*",
        "_revinclude:iterate=Observation:",
        "&".join(["_include=Patient:link"] * 51),
    ],
)
async def test_an_include_that_is_not_possible_is_refused(linked: Clinic, query: str) -> None:
    assert (await linked.get(OTHER, f"Patient?{query}")).status == 400


async def test_what_refers_to_matches_is_that_of_a_server_without_what_is_hidden(
    pair: Pair,
) -> None:
    await assert_same(pair, SAME)
