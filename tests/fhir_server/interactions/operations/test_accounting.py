"""``$accounting-of-disclosures``: what HIPAA has told, and what it exempts (45 CFR 164.528)."""

import csv
import io
import json
from typing import Any

import pytest

from fhir_server.interactions.leaf import put_with_leaf
from fhir_server.vault.vault import Draft

from ...clinic import HOUSE, OTHER, OVERSEER, Clinic, consent, observation, patient, sharing

ACCOUNTING = "Patient/a/$accounting-of-disclosures"
AGENCY = "Organization/agency"
ANNA = "anna"


@pytest.fixture
async def known(clinic: Clinic) -> Clinic:
    """An agency may read Anna's record for public health: not she, but a rule of the house permits it."""
    await clinic.put(patient("a"))
    await clinic.put(observation("of-a", "a"))
    clinic.caller(ANNA, "patient/*.rs", "", ("PATRQT",), user="Patient/a", patient="Patient/a")
    return clinic


async def disclosed(
    clinic: Clinic, day: int, to: str = AGENCY, why: str = "PUBHLTH", **more: Any
) -> None:
    """A disclosure that was made elsewhere, on record here."""
    id_ = f"d-{day}-{to.rpartition('/')[2]}-{why}"
    at = f"2026-04-{day:02}T09:00:00Z"
    event = {
        "resourceType": "AuditEvent",
        "id": id_,
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110106"},
        "action": "R",
        "period": {"start": at},
        "recorded": at,
        "outcome": "0",
        "purposeOfEvent": [{"coding": [{"code": why}]}],
        "agent": [
            {
                "type": {"coding": [{"code": "IRCP"}]},
                "who": {"reference": to, "display": to.rpartition("/")[2]},
                "requestor": True,
            }
        ],
        "source": {"observer": {"reference": "Organization/custodian"}},
        "entity": [
            {"what": {"reference": "Patient/a"}},
            {"description": "a notifiable disease", **more},
        ],
    }
    text = json.dumps(event)
    tokens = clinic.pipeline.tools.tokenizer.tokens("AuditEvent", event, ("Patient/a",))
    draft = Draft(
        "AuditEvent", id_, 1, int(clinic.now.timestamp() * 1000), text, ("Patient/a",), tokens
    )
    async with clinic.vault.writing() as writer:
        await put_with_leaf(writer, draft, clinic.pipeline.tools.new_secret)


async def rows(clinic: Clinic, who: str = ANNA, url: str = ACCOUNTING) -> list[dict[str, str]]:
    answer = await clinic.ask(who, "GET", url, headers={"accept": "text/csv"})
    assert answer.status == 200, answer.body
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


async def test_nothing_is_told_of_treatment_payment_operations_and_her_own_looks(
    known: Clinic,
) -> None:
    await known.put(sharing("a"))
    for who in (HOUSE, OTHER, OVERSEER, ANNA):
        assert (await known.get(who, "Observation/of-a")).status == 200
    assert await rows(known) == []
    assert (await known.get(ANNA, ACCOUNTING)).json == {
        "resourceType": "Bundle",
        "type": "collection",
    }


async def test_what_she_has_permitted_by_a_consent_is_exempt(known: Clinic) -> None:
    known.caller("study", organization="Organization/study", purposes=("HRESCH",))
    await known.put(consent("study", "a", "permit", "Organization/study"))
    assert (await known.get("study", "Observation/of-a")).status == 200
    assert await rows(known) == []


async def test_a_disclosure_made_elsewhere_is_told(known: Clinic) -> None:
    await disclosed(known, 1)
    [row] = await rows(known)
    assert row == {
        "first": "2026-04-01T09:00:00Z",
        "last": "2026-04-01T09:00:00Z",
        "number": "1",
        "recipient": "agency (Organization/agency)",
        "description": "a notifiable disease",
        "purpose": "PUBHLTH",
    }
    bundle = (await known.get(ANNA, ACCOUNTING)).json
    assert [e["resource"]["id"] for e in bundle["entry"]] == ["d-1-agency-PUBHLTH"]
    assert known.pipeline.tools.validator.check(bundle) == ()


async def test_repeated_disclosures_are_told_once_with_their_number(known: Clinic) -> None:
    for day in (3, 1, 2):
        await disclosed(known, day)
    await disclosed(known, 4, why="HLEGAL")
    await disclosed(known, 5, to="Organization/court")
    found = [
        (r["recipient"].partition(" ")[0], r["purpose"], r["number"]) for r in await rows(known)
    ]
    assert found == [
        ("agency", "PUBHLTH", "3"),
        ("agency", "HLEGAL", "1"),
        ("court", "PUBHLTH", "1"),
    ]
    first = (await known.get(ANNA, ACCOUNTING)).json["entry"][0]
    [repeated] = first["extension"]
    assert {
        e["url"]: next(v for k, v in e.items() if k != "url") for e in repeated["extension"]
    } == {
        "number": 3,
        "last": "2026-04-03T09:00:00Z",
    }


async def test_the_purposes_of_164_512_are_no_operations(known: Clinic) -> None:
    for day, why in enumerate(("TREAT", "ETREAT", "COVERAGE", "HQUALIMP", "PATRQT"), 1):
        await disclosed(known, day, why=why)
    assert await rows(known) == []
    for day, why in enumerate(("HLEGAL", "GOV", "HRESCH", "THREAT"), 1):
        await disclosed(known, day, why=why)
    assert [r["purpose"] for r in await rows(known)] == ["HLEGAL", "GOV", "HRESCH", "THREAT"]


async def test_what_is_suspended_is_told_from_the_day_after(known: Clinic) -> None:
    until = {"type": "accounting-suspended-until", "valueString": "2026-05-04"}
    await disclosed(known, 1, detail=[until])
    assert await rows(known) == []
    assert "d-1-agency" not in str(await known.all_pages(ANNA, "AuditEvent"))
    assert "d-1-agency" not in str(await known.all_pages(ANNA, "Patient/a/$access-log"))
    assert (await known.get(ANNA, "AuditEvent/d-1-agency-PUBHLTH")).status == 404
    assert (await known.get(OVERSEER, "AuditEvent/d-1-agency-PUBHLTH")).status == 200
    assert await rows(known, OVERSEER) == []
    known.now = known.now.replace(day=5)
    assert [r["number"] for r in await rows(known)] == ["1"]


async def test_a_suspension_without_a_date_does_not_end(known: Clinic) -> None:
    await disclosed(
        known, 1, detail=[{"type": "accounting-suspended-until", "valueString": "soon"}]
    )
    assert await rows(known) == []


async def test_it_is_for_the_patient_and_the_privacy_officer(known: Clinic) -> None:
    await disclosed(known, 1)
    assert len(await rows(known, OVERSEER)) == 1
    assert (await known.get(HOUSE, ACCOUNTING)).status == 403
    hidden = await known.get(OTHER, ACCOUNTING)
    missing = await known.get(OTHER, ACCOUNTING.replace("/a/", "/x/"))
    assert (hidden.status, hidden.body) == (404, missing.body)


async def test_start_and_end_bound_it(known: Clinic) -> None:
    await disclosed(known, 1)
    assert await rows(known, url=f"{ACCOUNTING}?start=2027-01-01") == []
    assert len(await rows(known, url=f"{ACCOUNTING}?start=2026-04-01&end=2026-12-31")) == 1
    for query in ("start=x", "_count=1", "end=2026-02-31"):
        assert (await known.get(ANNA, f"{ACCOUNTING}?{query}")).status == 400


async def test_what_is_recorded_by_the_privacy_officer_is_told(known: Clinic) -> None:
    """``$record-disclosure`` and this operation mean the same."""
    told = {
        "patient": "Patient/a",
        "date": "2026-04-01",
        "recipient": "Department of Health",
        "address": "1 Main Street",
        "description": "a notifiable disease",
        "purpose": "PUBHLTH",
    }
    parameters = [{"name": name, "valueString": value} for name, value in told.items()]
    body = {"resourceType": "Parameters", "parameter": parameters}
    made = await known.ask(OVERSEER, "POST", "Consent/$record-disclosure", body)
    assert made.status == 201, made.body
    [row] = await rows(known)
    assert row["recipient"] == "Department of Health, 1 Main Street"
    assert (row["first"], row["description"]) == ("2026-04-01", "a notifiable disease")
    until = {"name": "accounting-suspended-until", "valueString": "2026-06"}
    body = {"resourceType": "Parameters", "parameter": [*parameters, until]}
    assert (await known.ask(OVERSEER, "POST", "Consent/$record-disclosure", body)).status == 201
    assert [r["number"] for r in await rows(known)] == ["1"]
    known.now = known.now.replace(month=6, day=30)
    assert [r["number"] for r in await rows(known)] == ["1"]
    known.now = known.now.replace(month=7, day=1)
    assert [r["number"] for r in await rows(known)] == ["2"]
