"""Operations show no more than reads and searches do: to another hospital, to an app of another patient."""

import json

import pytest

from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    Clinic,
    Json,
    consent,
    observation,
    patient,
    plain,
    sharing,
)
from .pairs import Pair, assert_same

SAME = [
    "Patient/a/$meta",
    "Observation/$lastn?patient=Patient/a&code=8867-4",
    "Patient/b/$meta",
    "Observation/h1/$meta",
    "Observation/$meta",
    "$meta",
    "Observation/$lastn?patient=Patient/b&code=8867-4",
    "Patient/a/$summary",
    "Patient/b/$summary",
    "DocumentReference/$docref?patient=Patient/b",
    "Observation/$stats?subject=Patient/a&code=http://loinc.org|8867-4&statistic=count",
    "Patient/b/$access-log",
    "Patient/b/$access-explain",
]

SECRET = "substance"  # stands in everything that is hidden from the other hospital


@pytest.fixture
async def two(clinic: Clinic) -> Clinic:
    """Patient a shares all but what is labelled; b shares nothing."""
    await clinic.put(patient("a", name=[{"family": "Abel"}]))
    await clinic.put(patient("b", name=[{"family": "Babel"}]))
    await clinic.put(sharing("a"))
    await clinic.put(observation("plain", "a"))
    await clinic.put(hidden("secret", "a"))
    await clinic.put(observation("of-b", "b"))
    clinic.caller("app", "patient/*.rs", patient="Patient/b", organization="")
    return clinic


def hidden(id_: str, subject: str, **members: object) -> Json:
    meta = {**ETH, "tag": [{"system": "urn:t", "code": SECRET}]}
    return observation(id_, subject, meta=meta, note=[{"text": SECRET}], **members)


async def test_everything_holds_nothing_that_is_hidden(two: Clinic) -> None:
    for url in ("Patient/a/$everything", "Patient/$everything", "Patient/a/$everything?_count=1"):
        found = await two.all_pages(OTHER, url)
        assert SECRET not in json.dumps(found)
        assert {r["id"] for r in found} <= {"a", "plain", "sharing-a"}
    before = plain(await two.get(OTHER, "Patient/a/$everything"))
    assert (await two.ask(HOUSE, "DELETE", "Observation/secret")).status == 204
    assert plain(await two.get(OTHER, "Patient/a/$everything")) == before


@pytest.mark.parametrize("who", [OTHER, "app"])
async def test_everything_of_a_hidden_patient_is_as_of_nobody(two: Clinic, who: str) -> None:
    own = "b" if who == OTHER else "a"
    denied = await two.get(who, f"Patient/{own}/$everything")
    missing = await two.get(who, "Patient/zz/$everything")
    assert (denied.status, denied.body) == (404, missing.body)


async def test_a_chart_brings_no_other_patient_along(two: Clinic) -> None:
    await two.put(observation("both", "a", performer=[{"reference": "Patient/b"}]))
    await two.put(
        patient(
            "a",
            name=[{"family": "Abel"}],
            link=[{"other": {"reference": "Patient/b"}, "type": "seealso"}],
        )
    )
    found = await two.get(HOUSE, "Patient/a/$everything")
    assert "Patient/b" not in found.references
    assert "Observation/both" in found.references


async def test_the_record_for_one_patient_does_not_name_the_other(two: Clinic) -> None:
    await two.put(observation("both", "a", performer=[{"reference": "Patient/b"}]))
    before = two.log_size()
    await two.get(HOUSE, "Patient/a/$everything?start=2000")
    events = await two.audits(before)
    of_b = [e for e in events if e["entity"][0].get("what") == {"reference": "Patient/b"}]
    assert len(of_b) == 1
    [query] = [e["query"] for e in of_b[0]["entity"] if "query" in e]
    import base64

    assert b"Patient/a" not in base64.b64decode(query)


async def test_a_revoked_consent_ends_the_paging(two: Clinic) -> None:
    following = (await two.get(OTHER, "Patient/a/$everything?_count=1")).next
    assert following
    await two.put(consent("no", "a", "deny"))
    assert (await two.get(OTHER, following)).status == 404


async def test_labels_of_hidden_records_are_not_gathered(two: Clinic) -> None:
    for url in ("$meta", "Observation/$meta"):
        answer = await two.get(OTHER, url)
        assert answer.status == 200
        assert SECRET.encode() not in answer.body
        assert b"ETH" not in answer.body
    assert SECRET.encode() in (await two.get(HOUSE, "Observation/$meta")).body


async def test_nobody_takes_a_label_off_what_it_hides_from_them(two: Clinic) -> None:
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"security": ETH["security"]}}],
    }
    two.caller("writer", "patient/*.cruds", patient="Patient/b", organization="")
    for who in (OTHER, "writer"):
        for operation in ("$meta-delete", "$meta-add"):
            denied = await two.ask(who, "POST", f"Observation/secret/{operation}", body)
            missing = await two.ask(who, "POST", f"Observation/zz/{operation}", body)
            assert (denied.status, denied.body) == (404, missing.body)
    assert (await two.get(OTHER, "Observation/secret/$meta")).status == 404
    assert (await two.get(HOUSE, "Observation/secret")).json["meta"]["versionId"] == "1"


async def test_the_newest_values_are_those_that_may_be_seen(two: Clinic) -> None:
    await two.put(observation("plain", "a", effectiveDateTime="2020-01-01"))
    before = plain(await two.get(OTHER, "Observation/$lastn?patient=a"))
    await two.put(hidden("newer", "a", effectiveDateTime="2022-01-01"))
    codes = {"coding": [{"code": "8867-4", "system": "http://loinc.org"}, {"code": "joins"}]}
    await two.put({**hidden("joining", "a"), "code": codes})
    after = await two.get(OTHER, "Observation/$lastn?patient=a")
    assert after.references == ["Observation/plain"]
    assert plain(after) == before
    for who in ("app", OTHER):
        of_other = "a" if who == "app" else "b"
        found = await two.get(who, f"Observation/$lastn?patient={of_other}")
        missing = await two.get(who, "Observation/$lastn?patient=zz")
        assert plain(found) == plain(missing)
        assert found.json["total"] == 0


async def test_documents_that_are_hidden_are_not_found(two: Clinic) -> None:
    shown: Json = {
        "resourceType": "DocumentReference",
        "id": "shown",
        "status": "current",
        "subject": {"reference": "Patient/a"},
        "date": "2020-01-01T00:00:00Z",
        "content": [{"attachment": {"url": "http://example.org/x"}}],
    }
    await two.put(shown)
    await two.put({**shown, "id": "newer", "meta": ETH, "date": "2021-01-01T00:00:00Z"})
    for query in ("", "&start=2000", "&start=2000&_count=1"):
        answer = await two.get(OTHER, f"DocumentReference/$docref?patient=a{query}")
        assert answer.references == ["DocumentReference/shown"]
        assert answer.json["total"] == 1
        assert not answer.next
        for_app = await two.get("app", f"DocumentReference/$docref?patient=a{query}")
        assert for_app.json["total"] == 0


def letter(*observations: str) -> Json:
    """A Composition about Patient/a whose one section leads to these Observations."""
    return {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "letter"},
        "subject": {"reference": "Patient/a"},
        "date": "2020-01-01",
        "author": [{"display": "somebody"}],
        "title": "Letter",
        "section": [{"entry": [{"reference": f"Observation/{id_}"} for id_ in observations]}],
    }


async def test_a_document_leaves_out_what_is_hidden(two: Clinic) -> None:
    await two.put(letter("plain", "secret", "zz"))
    answer = await two.get(OTHER, "Composition/c/$document")
    assert sorted(answer.references) == ["Composition/c", "Observation/plain", "Patient/a"]
    assert SECRET.encode() not in answer.body
    denied = await two.get("app", "Composition/c/$document")
    assert (denied.status, denied.body) == (
        404,
        (await two.get("app", "Composition/zz/$document")).body,
    )
    two.caller(
        "narrow", "system/Composition.rs system/Patient.rs", organization="Organization/other"
    )
    assert (await two.get("narrow", "Composition/c/$document")).references == [
        "Composition/c",
        "Patient/a",
    ]


async def test_a_stored_document_is_decided_by_its_parts(two: Clinic) -> None:
    await two.put(letter("secret"))
    stored = await two.ask(HOUSE, "POST", "Composition/c/$document?persist=true")
    assert stored.status == 200
    assert (await two.get(HOUSE, f"Bundle/{stored.id_}")).status == 200
    without = await two.get(OTHER, f"Bundle/{stored.id_}")
    assert [e["resource"]["resourceType"] for e in without.json["entry"]] == [
        "Composition",
        "Patient",
    ]
    assert SECRET.encode() not in without.body
    assert (await two.get("app", f"Bundle/{stored.id_}")).status == 404
    assert stored.id_ not in str((await two.get("app", "Bundle")).json)


def _described(patient_: Json, **others: object) -> Json:
    more = [{"name": name, "valueBoolean": value} for name, value in others.items()]
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": patient_}, *more],
    }


async def test_hidden_patients_are_not_matched_and_change_no_match(two: Clinic) -> None:
    known: Json = {
        "name": [{"family": "Cain", "given": ["C"]}],
        "identifier": [{"system": "urn:mrn", "value": "7"}],
        "birthDate": "1970-01-01",
    }
    await two.put(patient("seen", **known))
    await two.put(sharing("seen"))
    asked = _described({"resourceType": "Patient", **known}, onlyCertainMatches=True)
    alone = await two.ask(OTHER, "POST", "Patient/$match", asked)
    assert alone.references == ["Patient/seen"]
    await two.put(patient("unseen", **known))
    with_hidden = await two.ask(OTHER, "POST", "Patient/$match", asked)
    assert plain(with_hidden) == plain(alone)
    assert (await two.ask(HOUSE, "POST", "Patient/$match", asked)).references == []
    two.caller("of-a", "patient/*.rs", patient="Patient/a", organization="")
    for who in ("app", "of-a"):
        assert (await two.ask(who, "POST", "Patient/$match", asked)).json["total"] == 0
    errors = await two.ask(OTHER, "POST", "Patient/$match", _described(patient("x")))
    assert errors.status == 400
    assert b"Cain" not in errors.body


def _condition(id_: str, text: str, **members: object) -> Json:
    return {
        "resourceType": "Condition",
        "id": id_,
        "code": {"text": text},
        "subject": {"reference": "Patient/a"},
        **members,
    }


async def test_a_summary_tells_nothing_that_is_hidden(two: Clinic) -> None:
    named = [{"family": "Abel"}]
    await two.put(patient("a", name=named, birthDate="1980-01-01", identifier=[{"value": "7"}]))
    for url in ("Patient/a/$summary", "Patient/$summary?identifier=7"):
        before = await two.get(OTHER, url)
        assert before.status == 200
        await two.put(_condition("drugs", SECRET, meta=ETH))
        after = await two.get(OTHER, url)
        assert SECRET.encode() not in after.body
        assert [len(r) for r in (after.references, before.references)] == [3, 3]
        problems = after.json["entry"][0]["resource"]["section"][1]
        empty = before.json["entry"][0]["resource"]["section"][1]
        assert problems == empty  # as if there were nothing: never "withheld", never "none"
        assert SECRET.encode() in (await two.get(HOUSE, url)).body
        assert (await two.ask(HOUSE, "DELETE", "Condition/drugs")).status == 204


async def test_a_hidden_medication_is_not_named(two: Clinic) -> None:
    await two.put(patient("a", name=[{"family": "Abel"}], birthDate="1980-01-01"))
    await two.put(
        {
            "resourceType": "MedicationStatement",
            "id": "s",
            "status": "active",
            "medicationReference": {"reference": "Medication/m"},
            "subject": {"reference": "Patient/a"},
        }
    )
    medication = {"resourceType": "Medication", "id": "m", "code": {"text": SECRET}}
    await two.put(medication)
    scopes = "system/Patient.rs system/MedicationStatement.rs"
    two.caller("narrow", scopes)
    assert SECRET.encode() not in (await two.get("narrow", "Patient/a/$summary")).body
    assert SECRET.encode() in (await two.get(HOUSE, "Patient/a/$summary")).body


@pytest.mark.parametrize("who", [OTHER, "app"])
async def test_the_summary_of_a_hidden_patient_is_that_of_nobody(two: Clinic, who: str) -> None:
    own = "b" if who == OTHER else "a"
    await two.put(patient(own, identifier=[{"value": "7"}]))
    for url, missing in (
        (f"Patient/{own}/$summary", "Patient/zz/$summary"),
        ("Patient/$summary?identifier=7", "Patient/$summary?identifier=8"),
    ):
        denied = await two.get(who, url)
        assert (denied.status, denied.body) == (404, (await two.get(who, missing)).body)


async def test_a_second_patient_with_the_identifier_is_not_felt_if_hidden(two: Clinic) -> None:
    for id_ in ("a", "b"):
        await two.put(patient(id_, identifier=[{"value": "7"}]))
    assert (await two.get(OTHER, "Patient/$summary?identifier=7")).status == 200
    assert (await two.get(HOUSE, "Patient/$summary?identifier=7")).status == 412


async def test_each_patient_has_a_record_of_what_was_disclosed(two: Clinic) -> None:
    abel = patient("a", name=[{"family": "Abel"}], identifier=[{"value": "7"}])
    await two.put(abel)
    before = two.log_size()
    await two.get(HOUSE, "Patient/a/$summary")
    await two.get(HOUSE, "Observation/$lastn?patient=a")
    await two.ask(HOUSE, "POST", "Patient/$match", _described(abel))
    events = await two.audits(before)
    assert len(events) == 3
    for event in events:
        named = [
            e["what"]["reference"] for e in event["entity"] if "reference" in e.get("what", {})
        ]
        assert named[0] == "Patient/a"
        assert len(named) > 1
        assert "Abel" not in json.dumps(event)
    before = two.log_size()
    await two.get(OTHER, "Patient/b/$summary")  # refused; b sees that somebody asked
    [event] = await two.audits(before)
    assert event["entity"][0]["what"] == {"reference": "Patient/b"}
    assert event["outcome"] == "4"


async def test_an_operation_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
