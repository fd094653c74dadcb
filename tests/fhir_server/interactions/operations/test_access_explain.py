"""``$access-explain``: who may see what, and which Consent and provision decides."""

from typing import Any

import pytest

from ...answers import Answer
from ...clinic import ETH, HOUSE, OTHER, OVERSEER, Clinic, consent, observation, patient, sharing

EXPLAIN = "Patient/a/$access-explain"
ANNA = "anna"


@pytest.fixture
async def shared(clinic: Clinic) -> Clinic:
    """Anna shows the other hospital all but what is about substance use, and an insurer nothing."""
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"of-{id_}", id_))
    await clinic.put(observation("hidden", "a", meta=ETH))
    await clinic.put(sharing("a"))
    await clinic.put(consent("insurer", "a", "deny", "Organization/insurer"))
    clinic.caller(ANNA, "patient/*.rs", "", ("PATRQT",), user="Patient/a", patient="Patient/a")
    return clinic


def told(answer: Answer) -> list[dict[str, list[Any]]]:
    """Each answer: the values of its parts by name; of rules the reference and the path."""
    assert answer.status == 200, answer.body
    found = []
    for each in answer.json["parameter"]:
        parts: dict[str, list[Any]] = {}
        for part in each["part"]:
            parts.setdefault(part["name"], []).append(_value(part))
        found.append(parts)
    return found


def _value(part: dict[str, Any]) -> Any:
    if "part" in part:
        return tuple(_value(p) for p in part["part"])
    [value] = (v for k, v in part.items() if k.startswith("value"))
    if isinstance(value, dict):
        return value.get("reference") or value["code"]
    return value


async def test_the_patient_is_told_of_everybody_whom_her_consents_name(shared: Clinic) -> None:
    answers = {a["actor"][0]: a for a in told(await shared.get(ANNA, EXPLAIN))}
    assert {who: a["decision"] for who, a in answers.items()} == {
        "Organization/custodian": ["permit"],
        "Organization/other": ["depends"],
        "Organization/insurer": ["deny"],
    }
    assert answers["Organization/custodian"]["basis"] == ["admin"]
    assert answers["Organization/insurer"]["decided-by"] == [
        ("Consent/insurer/_history/1", "provision")
    ]
    assert answers["Organization/other"]["depends-on"] == [
        ("Consent/sharing-a/_history/1", "provision.provision[0]")
    ]
    [line] = [x for x in answers["Organization/other"]["explanation"] if "sharing-a" in x]
    assert line == (
        "Consent/sharing-a: depends on the record: deny by provision.provision[0] where"
        " securityLabel match"
    )


@pytest.mark.parametrize(
    ("query", "decision", "by"),
    [
        ("actor=Organization/other&resource=Observation/of-a", "permit", "provision"),
        ("actor=Organization/other&resource=Observation/hidden", "deny", "provision.provision[0]"),
        ("actor=Organization/nobody", "deny", None),
        ("actor=Organization/custodian&purpose=HRESCH", "deny", None),
        ("actor=Organization/nobody,Organization/insurer", "deny", "provision"),
        ("actor=Patient/a&resource=Observation/hidden", "permit", None),
        ("actor=Organization/insurer&action=correct&purpose=HPAYMT", "deny", "provision"),
    ],
)
async def test_anybody_can_be_asked_about(
    shared: Clinic, query: str, decision: str, by: str | None
) -> None:
    for who in (ANNA, OVERSEER):
        [answer] = told(await shared.get(who, f"{EXPLAIN}?{query}"))
        assert answer["decision"] == [decision]
        assert [path for _, path in answer.get("decided-by", [])] == ([by] if by else [])


async def test_what_is_explained_is_what_is_decided(shared: Clinic) -> None:
    """For each requester and record, the explanation and the read agree."""
    shared.caller("insurer", organization="Organization/insurer")
    for who, actor in ((HOUSE, "custodian"), (OTHER, "other"), ("insurer", "insurer")):
        for resource in ("Patient/a", "Observation/of-a", "Observation/hidden"):
            [answer] = told(
                await shared.get(ANNA, f"{EXPLAIN}?actor=Organization/{actor}&resource={resource}")
            )
            permitted = (await shared.get(who, resource)).status == 200
            assert answer["decision"] == ["permit" if permitted else "deny"], (who, resource)


async def test_an_organization_comes_with_those_that_it_is_part_of(shared: Clinic) -> None:
    ward = {"resourceType": "Organization", "id": "ward", "name": "Ward"}
    await shared.put({**ward, "partOf": {"reference": "Organization/insurer"}})
    [answer] = told(await shared.get(ANNA, f"{EXPLAIN}?actor=Organization/ward"))
    assert answer["decided-by"] == [("Consent/insurer/_history/1", "provision")]


async def test_an_answer_ends_with_its_consent(shared: Clinic) -> None:
    ending = consent("ending", "a", "permit", "Organization/study")
    ending["provision"]["period"] = {"end": "2026-06-30"}
    await shared.put(ending)
    [answer] = told(await shared.get(ANNA, f"{EXPLAIN}?actor=Organization/study"))
    assert answer["decision"] == ["permit"]
    [until] = answer["valid-until"]
    assert until.startswith("2026-07-01T00:00:00")


@pytest.mark.parametrize(
    "query",
    [
        "actor=nobody",
        "actor=Organization/a%0Ab",
        "purpose=%3Cx%3E",
        "action=read",
        "actor=" + ",".join(f"Organization/{n}" for n in range(21)),
        "resource=Observation",
        "patient=b",
    ],
)
async def test_what_can_not_be_read_is_refused(shared: Clinic, query: str) -> None:
    assert (await shared.get(ANNA, f"{EXPLAIN}?{query}")).status == 400


async def test_it_needs_the_scope_to_search_consents(shared: Clinic) -> None:
    shared.caller("narrow", "patient/Patient.rs", "", user="Patient/a", patient="Patient/a")
    assert (await shared.get("narrow", EXPLAIN)).status == 403
    query = f"{EXPLAIN}?resource=Observation/of-a"
    assert (await shared.get("narrow", query)).status == 403


async def test_a_requester_is_told_why_he_sees_what_he_sees(shared: Clinic) -> None:
    [answer] = told(await shared.get(OTHER, EXPLAIN))
    assert answer == {
        "actor": ["Organization/other"],
        "purpose": ["TREAT"],
        "action": ["access"],
        "resource": ["Patient/a"],
        "decision": ["permit"],
        "basis": ["consent"],
        "decided-by": [("Consent/sharing-a/_history/1", "provision")],
    }
