"""``Composition/[id]/$document``: a Bundle of type document, valid R4, with all that the Composition leads to."""

import json

import pytest

from profiles.validation import r4_validator

from ...clinic import BASE, HOUSE, Clinic, entry, observation, patient, transaction


def composition(id_: str, subject: str, *entries: str) -> dict[str, object]:
    return {
        "resourceType": "Composition",
        "id": id_,
        "status": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11503-0"}]},
        "subject": {"reference": f"Patient/{subject}"},
        "date": "2020-01-01",
        "author": [{"reference": "Practitioner/doc"}],
        "title": "Letter",
        "section": [{"title": "Results", "entry": [{"reference": e} for e in entries]}],
    }


@pytest.fixture
async def letter(clinic: Clinic) -> Clinic:
    await clinic.put({"resourceType": "Organization", "id": "lab", "name": "Lab"})
    await clinic.put({"resourceType": "Practitioner", "id": "doc"})
    for who in ("a", "b"):
        await clinic.put(patient(who))
        performer = [{"reference": "Organization/lab"}]
        await clinic.put(observation(f"o-{who}", who, performer=performer))
    await clinic.put(composition("c", "a", "Observation/o-a", f"{BASE}/Observation/o-a"))
    return clinic


async def test_the_composition_comes_first_and_the_rest_once(letter: Clinic) -> None:
    answer = await letter.get(HOUSE, "Composition/c/$document")
    bundle = answer.json
    assert bundle["type"] == "document"
    assert answer.references[0] == "Composition/c"
    assert sorted(answer.references[1:]) == [
        "Observation/o-a",
        "Organization/lab",
        "Patient/a",
        "Practitioner/doc",
    ]
    assert bundle["identifier"]["value"] == f"urn:uuid:{bundle['id']}"
    assert bundle["timestamp"]
    assert [e["fullUrl"] for e in bundle["entry"]] == [f"{BASE}/{r}" for r in answer.references]
    assert not any({"search", "request", "response"} & set(e) for e in bundle["entry"])
    assert list(r4_validator().check(bundle)) == []
    assert (await letter.get(HOUSE, f"Bundle/{bundle['id']}")).status == 404


async def test_what_belongs_to_another_patient_is_not_in_it(letter: Clinic) -> None:
    await letter.put(composition("odd", "a", "Observation/o-a", "Observation/o-b"))
    found = await letter.get(HOUSE, "Composition/odd/$document")
    assert "Observation/o-b" not in found.references
    assert "Patient/b" not in found.references


async def test_a_document_is_stored_if_that_is_asked_for_and_permitted(letter: Clinic) -> None:
    before = letter.log_size()
    stored = await letter.ask(HOUSE, "POST", "Composition/c/$document?persist=true")
    assert stored.status == 200
    bundle = await letter.get(HOUSE, f"Bundle/{stored.id_}")
    assert bundle.json == stored.json
    assert bundle.json["meta"]["versionId"] == "1"
    [event, *_] = await letter.audits(before)
    assert f"Bundle/{stored.id_}/_history/1" in json.dumps(event)
    assert (await letter.get(HOUSE, "Composition/c/$document?persist=true")).status == 400
    letter.caller("reader", "system/*.rs")
    refused = await letter.ask("reader", "POST", "Composition/c/$document?persist=true")
    assert refused.status == 403
    assert (await letter.ask("reader", "POST", "Composition/c/$document")).status == 200


@pytest.mark.parametrize("query", ["graph=http://example.org/g", "persist=maybe", "colour=red"])
async def test_what_can_not_be_asked_is_refused(letter: Clinic, query: str) -> None:
    assert (await letter.get(HOUSE, f"Composition/c/$document?{query}")).status == 400


async def test_cycles_end(letter: Clinic) -> None:
    again = composition("c", "a", "Observation/o-a", "Composition/c")
    await letter.put(
        {
            **again,
            "relatesTo": [{"code": "appends", "targetReference": {"reference": "Composition/d"}}],
        }
    )
    await letter.put(composition("d", "a", "Composition/c"))
    found = (await letter.get(HOUSE, "Composition/c/$document")).references
    assert len(found) == len(set(found)) == 6


async def test_one_that_leads_too_far_is_refused_rather_than_cut(letter: Clinic) -> None:
    entries = [entry("PUT", f"Observation/n{i}", observation(f"n{i}", "a")) for i in range(2001)]
    assert (await letter.ask(HOUSE, "POST", "", transaction(*entries))).status == 200
    await letter.put(composition("long", "a", *(f"Observation/n{i}" for i in range(2001))))
    assert (await letter.get(HOUSE, "Composition/long/$document")).status == 503


async def test_missing_ones_are_not_found(letter: Clinic) -> None:
    assert (await letter.get(HOUSE, "Composition/zz/$document")).status == 404
    assert (await letter.get(HOUSE, "Patient/a/$document")).status == 404
