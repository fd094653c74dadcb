"""A reference means the same however it is spelled, and what nobody can follow is not stored: no deny misses its record."""

import pytest

from ..fhir_server.clinic import (
    BASE,
    CUSTODIAN,
    HOUSE,
    OTHER,
    Clinic,
    Json,
    consent,
    entry,
    observation,
    patient,
    sharing,
    transaction,
)

_SHOUTED = BASE.replace("http://localhost", "HTTP://LOCALHOST")
SPELLINGS = ["{}", "{}/_history/1", BASE + "/{}", BASE + "/{}/_history/1", _SHOUTED + "/{}"]
UNREADABLE = ["{}/", "{}#x", "/{}", "./{}", " {}", "{} ", "a", "Patient/", "Patient/a_b", ""]
UNTOLD = ["urn:uuid:6e1e1c1c-6f5c-4c6c-9d67-9a6b9a3c0f11", "#p", "Group/a", "Patient?name=a"]


@pytest.fixture
async def known(clinic: Clinic) -> Clinic:
    """``a`` and one observation of her that a practitioner has made, seen by the house."""
    await clinic.put({"resourceType": "Practitioner", "id": "p"})
    await clinic.put(patient("a", name=[{"family": "Able"}]))
    await clinic.put(observation("o", "a", performer=[{"reference": "Practitioner/p"}]))
    assert (await clinic.get(HOUSE, "Observation/o")).status == 200
    return clinic


def _deny(reference: str) -> Json:
    return {**consent("no", "a", "deny"), "patient": {"reference": reference}}


def _deny_data(meaning: str, reference: str) -> Json:
    made = consent("no", "a", "deny")
    named = {"meaning": meaning, "reference": {"reference": reference}}
    return {**made, "provision": {**made["provision"], "data": [named]}}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_deny_holds_however_it_names_its_patient(known: Clinic, spelling: str) -> None:
    await known.put(_deny(spelling.format("Patient/a")))
    assert (await known.get(HOUSE, "Patient/a")).status == 404
    assert (await known.get(HOUSE, "Observation?subject=a")).json["total"] == 0


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_deny_holds_however_it_names_whom_it_denies(known: Clinic, spelling: str) -> None:
    await known.put(sharing("a"))
    assert (await known.get(OTHER, "Patient/a")).status == 200
    await known.put(consent("no", "a", "deny", actor=spelling.format("Organization/other")))
    assert (await known.get(OTHER, "Patient/a")).status == 404


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("meaning", "named"),
    [
        ("instance", "Observation/o"),
        ("related", "Practitioner/p"),
        ("authoredby", "Practitioner/p"),
    ],
)
async def test_a_deny_holds_however_it_names_the_record(
    known: Clinic, spelling: str, meaning: str, named: str
) -> None:
    await known.put(_deny_data(meaning, spelling.format(named)))
    assert (await known.get(HOUSE, "Observation/o")).status == 404
    if meaning != "authoredby":  # who made the Patient, nobody knows
        assert (await known.get(HOUSE, "Patient/a")).status == 200


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("meaning", ["related", "authoredby"])
async def test_a_deny_holds_however_the_record_names_its_author(
    known: Clinic, spelling: str, meaning: str
) -> None:
    by = [{"reference": spelling.format("Practitioner/p")}]
    await known.put(observation("o", "a", performer=by))
    await known.put(_deny_data(meaning, "Practitioner/p"))
    assert (await known.get(HOUSE, "Observation/o")).status == 404


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_deny_holds_for_what_a_named_record_refers_to(known: Clinic, spelling: str) -> None:
    child = {"hasMember": [{"reference": spelling.format("Observation/o")}]}
    await known.put(observation("panel", "a", **child))
    await known.put(_deny_data("related", "Observation/panel"))
    assert (await known.get(HOUSE, "Observation/o")).status == 404


@pytest.mark.parametrize("reference", [*UNREADABLE, *UNTOLD])
async def test_a_consent_of_nobody_is_refused(known: Clinic, reference: str) -> None:
    answer = await known.ask(HOUSE, "POST", "Consent", _deny(reference.format("Patient/a")))
    assert answer.status in (412, 422)
    assert (await known.get(HOUSE, "Consent")).json["total"] == 0


@pytest.mark.parametrize("reference", UNREADABLE)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_record_that_may_be_of_anybody_is_refused(
    known: Clinic, method: str, reference: str
) -> None:
    subject = {"reference": reference.format("Patient/a")}
    record = {**observation("o", "a"), "subject": subject}
    body: object = record
    if method == "PATCH":
        body = [{"op": "replace", "path": "/subject", "value": subject}]
    url = "Observation" if method == "POST" else "Observation/o"
    headers = {"content-type": "application/json-patch+json"} if method == "PATCH" else {}
    answer = await known.ask(HOUSE, method, url, body, headers)
    assert answer.status == 422
    assert (await known.get(HOUSE, "Observation")).references == ["Observation/o"]
    assert (await known.get(HOUSE, "Observation/o")).json["subject"] == {"reference": "Patient/a"}


@pytest.mark.parametrize("way", ["create", "update", "batch", "patch"])
async def test_a_record_of_whoever_is_found_is_that_patients_own(known: Clinic, way: str) -> None:
    found = {"reference": "Patient?family=Able"}
    record = {**observation("new", "a"), "subject": found}
    match way:
        case "create":
            answer = await known.ask(HOUSE, "POST", "Observation", record)
        case "update":
            answer = await known.ask(HOUSE, "PUT", "Observation/new", record)
        case "batch":
            entries = transaction(entry("PUT", "Observation/new", record), type_="batch")
            answer = await known.ask(HOUSE, "POST", "", entries)
        case _:
            await known.put(observation("new", "a"))
            patch = [{"op": "replace", "path": "/subject", "value": found}]
            kind = {"content-type": "application/json-patch+json"}
            answer = await known.ask(HOUSE, "PATCH", "Observation/new", patch, kind)
    assert answer.status in (200, 201)
    mine = (await known.get(HOUSE, "Observation?subject=a")).json
    assert mine["total"] == 2
    assert {e["resource"]["subject"]["reference"] for e in mine["entry"]} == {"Patient/a"}
    await known.put(consent("no", "a", "deny", actor=CUSTODIAN))
    assert (await known.get(HOUSE, "Observation")).json["total"] == 0


async def test_a_record_of_a_hidden_patient_is_refused_as_one_of_nobody(known: Clinic) -> None:
    await known.put(sharing("a"))
    record = {**observation("new", "a"), "subject": {"reference": "Patient?family=Able"}}
    await known.put(consent("no", "a", "deny", actor="Organization/other"))
    hidden = await known.ask(OTHER, "POST", "Observation", record)
    record["subject"] = {"reference": "Patient?family=Nobody"}
    missing = await known.ask(OTHER, "POST", "Observation", record)
    assert (hidden.status, hidden.json["issue"]) == (missing.status, missing.json["issue"])
    assert hidden.status == 412


async def test_a_reference_that_finds_several_is_refused(known: Clinic) -> None:
    await known.put(patient("b", name=[{"family": "Able"}]))
    record = {**observation("new", "a"), "subject": {"reference": "Patient?family=Able"}}
    assert (await known.ask(HOUSE, "POST", "Observation", record)).status == 412
    assert (await known.get(HOUSE, "Observation")).json["total"] == 1


async def test_a_binary_whose_context_nobody_can_follow_is_refused(known: Clinic) -> None:
    headers = {"content-type": "text/plain", "x-security-context": "garbage"}
    assert (await known.ask(HOUSE, "POST", "Binary", b"secret", headers)).status == 422
    assert (await known.get(HOUSE, "Binary")).json["total"] == 0
