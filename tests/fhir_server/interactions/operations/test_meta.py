"""``$meta``, ``$meta-add`` and ``$meta-delete``: what they answer, and what they need."""

from typing import Any

import pytest

from ...clinic import HOUSE, SECURITY, Clinic, observation, patient

TAG = {"system": "urn:tags", "code": "study"}
RESTRICTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "code": "R",
}
PROFILE = "http://example.org/StructureDefinition/own"


def parameters(**meta: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def told(answer: Any) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    [returned] = answer.json["parameter"]
    assert returned["name"] == "return"
    return dict(returned["valueMeta"])


@pytest.fixture
async def one(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    subject, value = '{"reference":"Patient/a"}', '{"value":1.00,"unit":"kg"}'
    text = '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"weight"},'
    text += f'"subject":{subject},"valueQuantity":{value}}}'
    assert (await clinic.ask(HOUSE, "PUT", "Observation/o", text)).status == 201
    return clinic


async def test_labels_are_added_once_and_removed(one: Clinic) -> None:
    added = told(
        await one.ask(
            HOUSE,
            "POST",
            "Observation/o/$meta-add",
            parameters(tag=[TAG, TAG], security=[RESTRICTED], profile=[PROFILE]),
        )
    )
    assert (added["tag"], added["security"], added["profile"]) == ([TAG], [RESTRICTED], [PROFILE])
    assert added["versionId"] == "2"
    assert told(await one.get(HOUSE, "Observation/o/$meta")) == added
    again = told(await one.ask(HOUSE, "POST", "Observation/o/$meta-add", parameters(tag=[TAG])))
    assert again["versionId"] == "2"
    stored = await one.get(HOUSE, "Observation/o")
    assert b'"value":1.00' in stored.body
    assert (await one.get(HOUSE, "Observation?_tag=study")).references == ["Observation/o"]
    left = told(
        await one.ask(
            HOUSE, "POST", "Observation/o/$meta-delete", parameters(tag=[TAG], profile=[PROFILE])
        )
    )
    assert "tag" not in left
    assert "profile" not in left
    assert left["security"] == [RESTRICTED]
    assert (await one.get(HOUSE, "Observation?_tag=study")).references == []
    assert b'"value":1.00' in (await one.get(HOUSE, "Observation/o")).body


async def test_what_a_label_does_not_have_is_removed_without_a_trace(one: Clinic) -> None:
    left = told(await one.ask(HOUSE, "POST", "Observation/o/$meta-delete", parameters(tag=[TAG])))
    assert left["versionId"] == "1"


async def test_a_type_and_the_system_gather_what_the_caller_may_see(one: Clinic) -> None:
    other = {"system": "urn:tags", "code": "other"}
    await one.put(patient("b", meta={"tag": [other]}))
    await one.put(observation("p", "b", meta={"tag": [TAG, other]}))
    await one.put(observation("q", "a", meta={"tag": [TAG]}))
    of_type = told(await one.get(HOUSE, "Observation/$meta"))
    assert of_type == {"tag": [TAG, other]}
    assert told(await one.get(HOUSE, "$meta"))["tag"] == [TAG, other]
    one.caller("app", "patient/*.rs", patient="Patient/a")
    assert told(await one.get("app", "$meta")) == {"tag": [TAG]}
    assert "parameter" not in (await one.get("app", "Patient/$meta")).json
    one.caller("narrow", "system/Patient.rs")
    assert told(await one.get("narrow", "$meta")) == {"tag": [other]}
    assert (await one.get("narrow", "Observation/$meta")).status == 403


@pytest.mark.parametrize("scope", ["system/*.rs", "system/*.u", "system/*.cd"])
@pytest.mark.parametrize("operation", ["$meta-add", "$meta-delete"])
async def test_it_needs_to_read_and_to_update(one: Clinic, scope: str, operation: str) -> None:
    one.caller("narrow", scope)
    answer = await one.ask("narrow", "POST", f"Observation/o/{operation}", parameters(tag=[TAG]))
    assert answer.status == 403


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": [{"name": "meta"}]},
        {"resourceType": "Patient"},
        parameters(),
        parameters(tag={}),
        parameters(tag=[{"system": "urn:x"}]),
        parameters(tag=["study"]),
        parameters(tag=[{"system": ["x"], "code": "x"}]),
        parameters(profile=[TAG]),
        parameters(tag=[TAG] * 101),
    ],
)
async def test_what_is_no_meta_is_refused(one: Clinic, body: object) -> None:
    answer = await one.ask(HOUSE, "POST", "Observation/o/$meta-add", body)
    assert answer.status == 400, answer.body


async def test_what_would_not_be_valid_is_refused(one: Clinic) -> None:
    answer = await one.ask(HOUSE, "POST", "Observation/o/$meta-add", parameters(profile=["a b"]))
    assert answer.status == 422
    assert (await one.get(HOUSE, "Observation/o")).json["meta"]["versionId"] == "1"


async def test_a_version_that_is_no_longer_current_is_not_labelled(one: Clinic) -> None:
    answer = await one.ask(
        HOUSE, "POST", "Observation/o/$meta-add", parameters(tag=[TAG]), {"if-match": 'W/"7"'}
    )
    assert answer.status == 412


async def test_an_audit_event_is_never_labelled(one: Clinic) -> None:
    [event, *_] = (await one.get("overseer", "AuditEvent")).resources
    for operation in ("$meta-add", "$meta-delete"):
        url = f"AuditEvent/{event['id']}/{operation}"
        assert (await one.ask("overseer", "POST", url, parameters(tag=[TAG]))).status in (404, 405)
    assert (await one.get("overseer", f"AuditEvent/{event['id']}/$meta")).status == 200


async def test_labels_can_only_be_changed_by_post_on_a_resource(one: Clinic) -> None:
    assert (await one.get(HOUSE, "Observation/o/$meta-add")).status == 405
    wanted = parameters(tag=[TAG])
    assert (await one.ask(HOUSE, "POST", "Observation/$meta-add", wanted)).status == 404
    assert (await one.ask(HOUSE, "POST", "Observation/zz/$meta-add", wanted)).status == 404
    assert (await one.ask(HOUSE, "DELETE", "Observation/o")).status == 204
    assert (await one.ask(HOUSE, "POST", "Observation/o/$meta-add", wanted)).status == 410


async def test_the_label_that_hides_takes_effect_at_once(one: Clinic) -> None:
    from ...clinic import OTHER, sharing

    await one.put(sharing("a"))
    assert (await one.get(OTHER, "Observation/o")).status == 200
    label = {"system": SECURITY, "code": "ETH"}
    await one.ask(HOUSE, "POST", "Observation/o/$meta-add", parameters(security=[label]))
    assert (await one.get(OTHER, "Observation/o")).status == 404
    for operation in ("$meta-delete", "$meta-add"):
        url = f"Observation/o/{operation}"
        taken = await one.ask(OTHER, "POST", url, parameters(security=[label]))
        assert taken.status == 404
        assert (
            taken.body
            == (
                await one.ask(
                    OTHER, "POST", url.replace("/o/", "/x/"), parameters(security=[label])
                )
            ).body
        )
    assert told(await one.get(HOUSE, "Observation/o/$meta"))["security"] == [label]
