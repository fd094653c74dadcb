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
