"""``Consent/$decide``: a decision service for others."""

from typing import Any

import pytest

from ...answers import Answer
from ...clinic import ETH, HOUSE, OTHER, OVERSEER, Clinic, consent, observation, patient, sharing

URL = "Consent/$decide"
TREAT = {
    "name": "purpose",
    "valueCoding": {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
        "code": "TREAT",
    },
}


def ref(name: str, reference: str) -> dict[str, Any]:
    return {"name": name, "valueReference": {"reference": reference}}


def asking(*more: dict[str, Any], actor: str = "Organization/other") -> dict[str, Any]:
    sent = [ref("subject", "Patient/a"), ref("actor", actor), TREAT, *more]
    return {"resourceType": "Parameters", "parameter": sent}


def told(answer: Answer) -> dict[str, list[Any]]:
    assert answer.status == 200, answer.body
    [one] = answer.json["parameter"]
    found: dict[str, list[Any]] = {}
    for part in one["part"]:
        values = [v for k, v in part.items() if k.startswith("value")]
        rules = [p.get("valueString") for p in part.get("part", ()) if p["name"] == "path"]
        found.setdefault(part["name"], []).extend([*values, *rules])
    return found


def sent(resource: dict[str, Any], name: str = "consent") -> dict[str, Any]:
    return {"name": name, "resource": resource}


RECORD = observation("x", "a")
HIDDEN = observation("x", "a", meta=ETH)


@pytest.mark.parametrize(
    ("more", "decision", "path"),
    [
        ((sent(sharing("a")), sent(RECORD, "resource")), "permit", ["provision"]),
        ((sent(sharing("a")), sent(HIDDEN, "resource")), "deny", ["provision.provision[0]"]),
        ((sent(sharing("a")),), "depends", []),
        ((sent(consent("no", "a", "deny")), sent(sharing("a"))), "deny", ["provision"]),
        ((sent(consent("other", "b", "permit")),), "deny", []),
        ((sent({"resourceType": "Consent"}),), "deny", ["status"]),
        (
            (sent(sharing("b")), {"name": "template", "valueCode": "opt-out"}),
            "permit",
            ["provision"],
        ),
    ],
)
async def test_by_the_consents_that_are_sent_alone(
    clinic: Clinic, more: tuple[dict[str, Any], ...], decision: str, path: list[str]
) -> None:
    """Patient/a is stored nowhere here; whoever may search Consents may ask."""
    answer = told(await clinic.ask(OTHER, "POST", URL, asking(*more)))
    assert answer["decision"] == [decision]
    assert answer.get("decided-by", []) == path


async def test_a_time_and_an_identifier_can_be_asked_with(clinic: Clinic) -> None:
    ending = consent("ending", "a", "permit", "Organization/nobody")
    ending["provision"]["period"] = {"end": "2026-06-30"}
    number = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}
    ending["provision"]["actor"][0]["reference"] = {"identifier": number}
    by_number = {"name": "actor", "valueIdentifier": number}
    for day, decision in (("2026-06-30", "permit"), ("2026-07-01", "deny")):
        time = {"name": "time", "valueInstant": f"{day}T12:00:00Z"}
        body = asking(sent(ending), time, by_number)
        answer = told(await clinic.ask(HOUSE, "POST", URL, body))
        assert answer["decision"] == [decision]


@pytest.fixture
async def stored(clinic: Clinic) -> Clinic:
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
    await clinic.put(sharing("a"))
    clinic.caller("anna", "patient/*.rs", "", ("PATRQT",), user="Patient/a", patient="Patient/a")
    return clinic


@pytest.mark.parametrize("who", ["anna", OVERSEER])
async def test_by_what_is_stored_for_who_may_know(stored: Clinic, who: str) -> None:
    for resource, decision in ((RECORD, "permit"), (HIDDEN, "deny")):
        body = asking(sent(resource, "resource"))
        assert told(await stored.ask(who, "POST", URL, body))["decision"] == [decision]
    assert told(await stored.ask(who, "POST", URL, asking()))["decision"] == ["depends"]
    other = asking(actor="Organization/insurer")
    assert told(await stored.ask(who, "POST", URL, other))["decision"] == ["deny"]


async def test_what_is_stored_is_asked_as_a_read_asks(stored: Clinic) -> None:
    await stored.put(observation("x", "a"))
    ward = {"resourceType": "Organization", "id": "ward", "name": "Ward"}
    await stored.put({**ward, "partOf": {"reference": "Organization/other"}})
    stored.caller("ward", organization="Organization/ward")
    assert (await stored.get("ward", "Observation/x")).status == 200
    body = asking(sent(RECORD, "resource"), actor="Organization/ward")
    assert told(await stored.ask("anna", "POST", URL, body))["decision"] == ["permit"]


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        [TREAT],
        [ref("subject", "Patient/a"), {"name": "time", "valueInstant": "yesterday"}],
        [ref("subject", "Patient/a"), {"name": "custodian", "valueCode": "\ud83d\ude00"}] * 2,
        [ref("subject", "Patient/a"), {"name": "nothing", "valueCode": "x"}],
        [ref("subject", "Patient/a"), TREAT, TREAT],
        [ref("subject", "Patient/a"), {"name": "template", "valueCode": "opt-out"}],
        [sent(sharing("a")), {"name": "template", "valueCode": "own"}],
        [sent(sharing("a"))] * 101,
        [ref("actor", "Organization/other")] * 51,
        [{"name": "actor", "valueBoolean": True}, sent(sharing("a"))],
    ],
)
async def test_what_can_not_be_understood_is_refused(
    stored: Clinic, parameters: list[dict[str, Any]]
) -> None:
    body = {"resourceType": "Parameters", "parameter": parameters}
    assert (await stored.ask("anna", "POST", URL, body)).status == 400


async def test_it_is_posted_and_needs_the_scope_to_search_consents(stored: Clinic) -> None:
    assert (await stored.get("anna", URL)).status == 405
    stored.caller("narrow", "patient/Patient.rs", "", user="Patient/a", patient="Patient/a")
    assert (await stored.ask("narrow", "POST", URL, asking())).status == 403
    stored.caller("blind", "patient/Consent.rs", "", user="Patient/a", patient="Patient/a")
    assert (await stored.ask("blind", "POST", URL, asking())).status == 404


async def test_it_is_on_record_for_whom_it_was_about(stored: Clinic) -> None:
    start = stored.log_size()
    await stored.ask(OVERSEER, "POST", URL, asking())
    [event] = await stored.audits(start)
    assert event["entity"][0]["what"]["reference"] == "Patient/a"
    assert stored.pipeline.tools.validator.check(event) == ()
