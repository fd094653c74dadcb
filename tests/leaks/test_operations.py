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


async def test_a_document_leaves_out_what_is_hidden(two: Clinic) -> None:
    composition: Json = {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "letter"},
        "subject": {"reference": "Patient/a"},
        "date": "2020-01-01",
        "author": [{"display": "somebody"}],
        "title": "Letter",
        "section": [
            {"entry": [{"reference": f"Observation/{id_}"} for id_ in ("plain", "secret", "zz")]}
        ],
    }
    await two.put(composition)
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
    composition: Json = {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "letter"},
        "subject": {"reference": "Patient/a"},
        "date": "2020-01-01",
        "author": [{"display": "somebody"}],
        "title": "Letter",
        "section": [{"entry": [{"reference": "Observation/secret"}]}],
    }
    await two.put(composition)
    stored = await two.ask(HOUSE, "POST", "Composition/c/$document?persist=true")
    assert stored.status == 200
    assert (await two.get(HOUSE, f"Bundle/{stored.id_}")).status == 200
    for who in (OTHER, "app"):
        assert (await two.get(who, f"Bundle/{stored.id_}")).status == 404
        assert stored.id_ not in str((await two.get(who, "Bundle")).json)


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
