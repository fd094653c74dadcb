"""``$validate`` and what a write says of what it stores: every issue with its element and place; nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ...clinic import ETH, HOUSE, OTHER, Clinic, observation, open_clinic, patient, sharing

Json = dict[str, Any]
LINE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line"
COLUMN = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col"
BROKEN = """{
  "resourceType": "Observation",
  "status": "finished",
  "code": {"text": "x"},
  "valueString": "a", "dataAbsentReason": {"text": "none"},
  "effectivePeriod": {"start": "2021-02-29"},
  "subject": {"reference": "Organization/1"}
}"""


def issues(answer: Any, *severities: str) -> list[Json]:
    assert answer.status == 200, answer.body
    assert answer.json["resourceType"] == "OperationOutcome"
    found = answer.json["issue"]
    return [i for i in found if i["severity"] in (severities or ("error", "warning"))]


def wrapped(resource: object = None, **values: str) -> Json:
    named: list[Json] = [
        {"name": n, "valueCode" if n == "mode" else "valueUri": v} for n, v in values.items()
    ]
    sent = [{"name": "resource", "resource": resource}] if resource else []
    return {"resourceType": "Parameters", "parameter": [*sent, *named]}


async def test_all_issues_are_told_each_with_its_element_line_and_column(clinic: Clinic) -> None:
    answer = await clinic.ask(HOUSE, "POST", "Observation/$validate", BROKEN)
    found = issues(answer, "error")
    where = {i["expression"][0]: i for i in found}
    assert {
        "Observation.status",
        "Observation.effectivePeriod.start",
        "Observation.subject",
    } <= set(where)
    assert where["Observation"]["code"] == "invariant"  # obs-6
    placed = where["Observation.status"]
    assert {"url": LINE, "valueInteger": 3} in placed["extension"]
    assert {"url": COLUMN, "valueInteger": 13} in placed["extension"]
    assert placed["location"] == ["Line 3, Col 13"]
    assert where["Observation.subject"]["location"] == ["Line 7, Col 14"]
    assert clinic.pipeline.tools.validator.check(answer.json) == ()
    assert (await clinic.get(HOUSE, "Observation")).json["total"] == 0


async def test_in_parameters_the_place_is_that_in_what_was_sent(clinic: Clinic) -> None:
    text = (
        '{"resourceType":"Parameters",\n"parameter":[{"name":"resource","resource":'
        + BROKEN
        + "}]}"
    )
    [found] = [
        i
        for i in issues(await clinic.ask(HOUSE, "POST", "Observation/$validate", text))
        if i["expression"] == ["Observation.status"]
    ]
    assert found["location"] == ["Line 4, Col 13"]


async def test_a_sound_resource_has_one_piece_of_information(clinic: Clinic) -> None:
    sound = patient(
        "p",
        text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    )
    for body in (
        sound,
        wrapped(sound),
        wrapped(sound, mode="create"),
        wrapped(sound, mode="update"),
    ):
        answer = await clinic.ask(HOUSE, "POST", "Patient/$validate", body)
        assert [i["severity"] for i in issues(answer, "information")] == ["information"]
        assert issues(answer) == []


async def test_a_stored_record_can_be_validated_and_its_audit_names_it(clinic: Clinic) -> None:
    await clinic.put(patient("a"))
    before = clinic.log_size()
    answer = await clinic.get(HOUSE, "Patient/a/$validate")
    assert [i["code"] for i in issues(answer)] == ["invariant"]  # dom-6: no narrative
    [event] = await clinic.audits(before)
    assert "Patient/a" in json.dumps(event)


@pytest.mark.parametrize(
    ("url", "body", "status"),
    [
        ("Patient/$validate", wrapped(), 400),
        ("Patient/$validate", wrapped(mode="delete"), 400),
        ("Patient/$validate", wrapped(patient("a"), mode="dance"), 400),
        (
            "Patient/$validate",
            wrapped(patient("a"), profile="http://example.org/StructureDefinition/x"),
            400,
        ),
        ("Patient/$validate", "{", 400),
        ("Patient/$validate", "[]", 422),
        ("Patient/none/$validate", patient("none"), 404),
        ("$validate", patient("a"), 404),
        ("Nonsense/$validate", patient("a"), 404),
    ],
)
async def test_what_can_not_be_validated_is_refused(
    clinic: Clinic, url: str, body: object, status: int
) -> None:
    assert (await clinic.ask(HOUSE, "POST", url, body)).status == status


@pytest.mark.parametrize(
    ("url", "body", "where"),
    [
        ("Patient/$validate", observation("o", "a"), "Resource.resourceType"),
        ("Patient/a/$validate", patient("b"), "Patient.id"),
        ("Patient/$validate", wrapped({"resourceType": "Patient"}, mode="update"), "Patient.id"),
        (
            "Patient/$validate",
            {"resourceType": "Patient", "birthDate": "2021-02-29"},
            "Patient.birthDate",
        ),
    ],
)
async def test_what_would_be_refused_is_an_error(
    clinic: Clinic, url: str, body: object, where: str
) -> None:
    await clinic.put(patient("a"))
    answer = await clinic.ask(HOUSE, "POST", url, body)
    assert where in [e for i in issues(answer, "error") for e in i["expression"]]


async def test_a_deletion_that_is_possible_is_told(clinic: Clinic) -> None:
    await clinic.put(patient("a"))
    answer = await clinic.ask(HOUSE, "POST", "Patient/a/$validate", wrapped(mode="delete"))
    assert issues(answer) == []
    assert (await clinic.get(HOUSE, "Patient/a")).status == 200


async def test_a_hidden_record_and_a_missing_one_look_the_same(clinic: Clinic) -> None:
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("hidden", "a", meta=ETH))
    for body in (None, observation("hidden", "a"), wrapped(mode="delete")):
        method = "POST" if body else "GET"
        hidden = await clinic.ask(OTHER, method, "Observation/hidden/$validate", body)
        missing = await clinic.ask(OTHER, method, "Observation/missing/$validate", body)
        assert (hidden.status, hidden.body) == (missing.status, missing.body) == (404, missing.body)


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("system/Patient.c", 200),
        ("system/Patient.r", 200),
        ("system/Observation.cruds", 403),
        ("system/Patient.d", 403),
    ],
)
async def test_it_needs_a_scope_of_the_type(clinic: Clinic, scope: str, status: int) -> None:
    clinic.caller("some", scope)
    assert (await clinic.ask("some", "POST", "Patient/$validate", patient("a"))).status == status


async def test_without_the_scope_to_read_a_record_is_not_validated(clinic: Clinic) -> None:
    await clinic.put(patient("a"))
    clinic.caller("writer", "system/Patient.cu")
    assert (await clinic.get("writer", "Patient/a/$validate")).status == 403


async def test_the_capability_statement_names_it(clinic: Clinic) -> None:
    [rest] = (await clinic.get(HOUSE, "metadata")).json["rest"]
    named = [{o["name"] for o in r["operation"]} for r in rest["resource"]]
    assert all("validate" in names for names in named)


async def test_leniently_a_broken_rule_is_stored_and_told_strictly_it_is_refused(
    clinic: Clinic, folder: Path
) -> None:
    broken = {**observation("o", "a"), "dataAbsentReason": {"text": "x"}, "valueString": "y"}
    broken.pop("valueQuantity", None)
    prefer = {"prefer": "return=OperationOutcome"}
    refused = await clinic.ask(HOUSE, "POST", "Observation", broken, prefer)
    assert refused.status == 422
    assert [i["expression"] for i in refused.json["issue"]] == [["Observation"]]
    (folder / "lenient").mkdir()
    lenient = await open_clinic(folder / "lenient", strict=False)
    stored = await lenient.ask(HOUSE, "POST", "Observation", broken, prefer)
    assert stored.status == 201
    told = [i for i in stored.json["issue"] if "obs-6" in i["diagnostics"]]
    assert [i["severity"] for i in told] == ["warning"]
    again = await lenient.ask(HOUSE, "POST", "Observation/$validate", broken)
    assert any(i["severity"] == "error" for i in again.json["issue"])
    unsound = await lenient.ask(HOUSE, "POST", "Observation", {**broken, "status": "finished"})
    assert unsound.status == 422
    await lenient.close()


async def test_a_refusal_tells_fifty_issues_at_most_and_never_what_was_sent(clinic: Clinic) -> None:
    names = [{"use": "Geheim"} for _ in range(80)]
    refused = await clinic.ask(HOUSE, "POST", "Patient", {"resourceType": "Patient", "name": names})
    assert refused.status == 422
    assert len(refused.json["issue"]) == 50
    assert b"Geheim" not in refused.body
