"""Whoever asks for access learns how his own request stands, and nothing else: not who is a patient, nor what others ask."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ..fhir_server.answers import Answer, Json
from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    OVERSEER,
    Clinic,
    consent,
    entry,
    observation,
    patient,
    plain,
    transaction,
)

ANNA, BERTA, DAUGHTER, DOCTOR, THIRD = "anna", "berta", "daughter", "doctor", "third"
SYSTEM = "https://consentry.example/CodeSystem/consent-lifecycle"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
LABEL = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
TYPES = "http://hl7.org/fhir/resource-types"


def coded(code: str) -> Json:
    return {"coding": [{"system": SYSTEM, "code": code}]}


def request(
    id_: str = "a",
    purposes: tuple[str, ...] = ("TREAT",),
    classes: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    end: str | None = "2026-05-31",
    **members: Any,
) -> Json:
    codes = (("purpose", REASON, purposes), ("class", TYPES, classes), ("label", LABEL, labels))
    inputs: list[Json] = [
        {"type": coded(name), "valueCoding": {"system": system, "code": code}}
        for name, system, values in codes
        for code in values
    ]
    if end:
        inputs.append({"type": coded("period"), "valuePeriod": {"end": end}})
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": coded("access-request"),
        "for": {"reference": f"Patient/{id_}"},
        "description": "for the operation on 12 May",
        "input": inputs,
    }
    return {**task, **members}


@pytest.fixture
async def ward(clinic: Clinic) -> Clinic:
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"o-{id_}", id_))
    await clinic.put(observation("eth", "a", meta=ETH))
    own: dict[str, Any] = {"organization": "", "purposes": ("PATRQT",)}
    for name, id_ in ((ANNA, "a"), (BERTA, "b")):
        clinic.caller(
            name, "patient/*.cruds", user=f"Patient/{id_}", patient=f"Patient/{id_}", **own
        )
    clinic.caller(DAUGHTER, "user/*.cruds", user="RelatedPerson/d", **own)
    clinic.caller(DOCTOR, "user/*.cruds", "Organization/other", user="Practitioner/x")
    clinic.caller(THIRD, "system/*.cruds", "Organization/third")
    return clinic


async def ask(clinic: Clinic, who: str = OTHER, **members: Any) -> str:
    answer = await clinic.ask(who, "POST", "Task/$request-access", request(**members))
    assert answer.status == 201, answer.body
    return f"Task/{answer.json['id']}"


async def state(clinic: Clinic, task: str, who: str = OTHER) -> str:
    answer = await clinic.get(who, f"{task}/$access-status")
    assert answer.status == 200, answer.body
    [told] = answer.json["parameter"]
    return str(told["valueCode"])


async def seen(clinic: Clinic, who: str = OTHER) -> set[str]:
    return {each["id"] for each in (await clinic.get(who, "Observation")).resources}


async def answered(clinic: Clinic, task: str, way: str, who: str = ANNA) -> Answer:
    return await clinic.ask(who, "POST", f"{task}/{way}")


async def test_she_sees_approves_and_it_ends_by_itself(ward: Clinic) -> None:
    task = await ask(ward)
    assert await seen(ward) == set()
    [found] = (await ward.get(ANNA, "Task?status=requested")).resources
    assert found["requester"] == {"reference": "Organization/other"}
    assert found["description"] == "for the operation on 12 May"
    approved = await answered(ward, task, "$approve-access")
    assert approved.status == 200, approved.body
    assert await state(ward, task) == "completed"
    assert await seen(ward) == {"o-a"}
    granted = (await ward.get(ANNA, approved.json["output"][0]["valueReference"]["reference"])).json
    assert granted["provision"]["period"]["end"] == "2026-05-31T23:59:59Z"
    [signed] = (await ward.get(ANNA, "Provenance")).resources
    assert signed["target"][0]["reference"] == f"Consent/{granted['id']}/_history/1"
    ward.now += timedelta(days=26)
    assert await seen(ward) == {"o-a"}
    ward.now += timedelta(days=2)
    assert await seen(ward) == set()


async def test_she_denies_and_the_requester_sees_no_reason(ward: Clinic) -> None:
    task = await ask(ward)
    denied = await answered(ward, task, "$deny-access?reason=a+private+matter")
    assert denied.json["statusReason"] == {"text": "a private matter"}
    answer = await ward.get(OTHER, f"{task}/$access-status")
    assert answer.json["parameter"] == [{"name": "status", "valueCode": "rejected"}]
    assert await seen(ward) == set()
    assert (await answered(ward, task, "$approve-access")).status == 409


@pytest.mark.parametrize(
    ("asked", "narrowed", "granted"),
    [
        ({}, "", {"o-a"}),
        ({"labels": ("ETH",)}, "", {"o-a", "eth"}),
        ({"labels": ("ETH",)}, "?label=none", {"o-a"}),
        ({"labels": ("HIV",)}, "", {"o-a"}),
        ({"classes": ("Condition", "Observation")}, "", {"o-a"}),
        ({"classes": ("Condition", "Observation")}, "?class=Condition", set()),
        ({}, "?class=Condition", set()),
        ({"purposes": ("TREAT", "HPAYMT")}, "?purpose=HPAYMT", set()),
    ],
)
async def test_she_narrows_what_was_asked(
    ward: Clinic, asked: dict[str, Any], narrowed: str, granted: set[str]
) -> None:
    task = await ask(ward, **asked)
    assert (await answered(ward, task, f"$approve-access{narrowed}")).status == 200
    assert await seen(ward) == granted


async def test_a_sensitive_record_of_normal_confidentiality_is_not_granted_along(
    ward: Clinic,
) -> None:
    normal = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}
    await ward.put(observation("eth", "a", meta={"security": [*ETH["security"], normal]}))
    await answered(ward, await ask(ward), "$approve-access")
    assert await seen(ward) == {"o-a"}


@pytest.mark.parametrize(
    "wider",
    ["until=2026-06-01", "purpose=HRESCH", "class=Condition", "label=HIV", "until=2020-01-01",
     "until=soon", "class=None", "other=1"],
)  # fmt: skip
async def test_more_than_was_asked_is_not_granted(ward: Clinic, wider: str) -> None:
    task = await ask(ward, classes=("Observation",), labels=("ETH",))
    assert (await answered(ward, task, f"$approve-access?{wider}")).status in (400, 422)
    assert await state(ward, task) == "requested"
    assert (await ward.get(ANNA, "Consent")).resources == []


async def test_an_unknown_patient_and_a_hidden_one_are_answered_alike(ward: Clinic) -> None:
    await ward.put(consent("nobody", "b", "deny"))
    answers = []
    for id_ in ("b", "unknown"):
        for _ in range(2):
            made = await ward.ask(OTHER, "POST", "Task/$request-access", request(id_))
            told = await ward.get(OTHER, f"Task/{made.json['id']}/$access-status")
            hidden = await ward.get(OTHER, f"Task/{made.json['id']}")
            text = str(plain(made)).replace(made.json["id"], "").replace(f"Patient/{id_}", "")
            times = {made.json["authoredOn"], made.json["lastModified"]}
            start = made.json["input"][-1]["valuePeriod"]["start"]
            for at in {*times, start}:
                text = text.replace(at, "")
            answers.append((made.status, text, plain(told), hidden.status, hidden.body))
    assert all(each == answers[0] for each in answers)


async def test_nobody_else_sees_it(ward: Clinic) -> None:
    task = await ask(ward)
    for who in (THIRD, BERTA, DAUGHTER, HOUSE):
        refused = await ward.get(who, f"{task}/$access-status")
        assert refused.status == 404
        assert refused.body == (await ward.get(who, "Task/none/$access-status")).body
    for who in (OTHER, DOCTOR, THIRD, BERTA):
        assert (await ward.get(who, task)).status == 404
        for search in ("Task", "Task?patient=a", f"Task?_id={task[5:]}", "Patient/a/Task"):
            found = await ward.get(who, search)
            assert found.status == 404 or found.json["total"] == 0, search
    assert await state(ward, task, DOCTOR) == "requested"  # of the same organization


async def test_the_state_of_another_task_is_not_told(ward: Clinic) -> None:
    other = {"resourceType": "Task", "id": "t", "status": "requested", "intent": "order",
             "for": {"reference": "Patient/a"}, "requester": {"reference": "Organization/other"}}  # fmt: skip
    await ward.put(other)
    assert (await ward.get(OTHER, "Task/t/$access-status")).status == 404
    for way in ("$approve-access", "$deny-access"):
        assert (await answered(ward, "Task/t", way)).status == 404


@pytest.mark.parametrize("who", [OTHER, DOCTOR, THIRD, HOUSE, OVERSEER])
@pytest.mark.parametrize("way", ["$approve-access", "$deny-access"])
async def test_only_she_or_a_proxy_answers(ward: Clinic, who: str, way: str) -> None:
    task = await ask(ward)
    assert (await answered(ward, task, way, who)).status == 403
    for other in (BERTA, DAUGHTER):
        assert (await answered(ward, task, way, other)).status == 404
    assert await state(ward, task) == "requested"
    await ward.put(consent("for-daughter", "a", "permit", actor="RelatedPerson/d"))
    assert (await answered(ward, task, way, DAUGHTER)).status == 200


@pytest.mark.parametrize("who", [OTHER, DOCTOR, HOUSE, ANNA])
async def test_a_request_is_not_made_or_changed_by_hand(ward: Clinic, who: str) -> None:
    task = await ask(ward)
    before = (await ward.get(ANNA, task)).json
    approved = {**before, "status": "completed"}
    tries = [("POST", "Task", request()), ("PUT", task, approved), ("DELETE", task, None)]
    for method, url, body in tries:
        assert (await ward.ask(who, method, url, body)).status in (404, 409)
    whole = await ward.ask(who, "POST", "", transaction(entry("PUT", task, approved)))
    assert whole.status in (404, 409)
    assert (await ward.get(ANNA, task)).json == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"purposes": ()},
        {"purposes": ("BTG",)},
        {"end": None},
        {"end": "2026-05-03"},
        {"end": "soon"},
        {"classes": ("Nothing",)},
        {"for": {"reference": "Group/a"}},
        {"for": {"display": "a"}},
        {"for": {"reference": "https://elsewhere.example/fhir/Patient/a"}},
        {"code": {"text": "access-request"}},
        {"status": "unheard-of"},
        {"input": []},
        {"input": [{"type": coded("purpose"), "valueString": "TREAT"}]},
    ],
)
async def test_what_can_not_be_granted_is_not_asked(ward: Clinic, wrong: dict[str, Any]) -> None:
    answer = await ward.ask(OTHER, "POST", "Task/$request-access", request(**wrong))
    assert answer.status in (400, 422), answer.body
    assert (await ward.get(ANNA, "Task")).resources == []


@pytest.mark.parametrize(
    ("who", "requester"),
    [
        (OTHER, "Organization/third"),
        (DOCTOR, "Practitioner/y"),
        (ANNA, "Patient/a"),
        (DAUGHTER, ""),
    ],
)
async def test_nobody_asks_in_anothers_name(ward: Clinic, who: str, requester: str) -> None:
    body = request(**({"requester": {"reference": requester}} if requester else {}))
    assert (await ward.ask(who, "POST", "Task/$request-access", body)).status == 403


async def test_a_denial_of_hers_is_stronger_than_an_approval(ward: Clinic) -> None:
    await ward.put(consent("never", "a", "deny", actor="Organization/other"))
    await answered(ward, await ask(ward), "$approve-access")
    assert await seen(ward) == set()


async def test_an_erased_patient_is_as_unknown_as_any(ward: Clinic) -> None:
    await ask(ward)
    assert (await ward.ask(HOUSE, "POST", "Patient/a/$erase")).status == 200
    for id_ in ("a", "unknown"):
        task = await ask(ward, id_=id_)
        assert await state(ward, task) == "requested"
