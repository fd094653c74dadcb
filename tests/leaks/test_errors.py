"""Missing and denied can not be told apart by what comes back."""

import pytest

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, observation, patient, sharing


@pytest.fixture
async def closed(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(patient("b", name=[{"family": "Geheim"}], birthDate="1970-01-01"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("hidden", "a", meta=ETH))
    await clinic.put(observation("b-own", "b"))
    return clinic


@pytest.mark.parametrize("id_", ["hidden", "b-own"])
@pytest.mark.parametrize("suffix", ["", "/_history", "/_history/1", "/_history/2"])
async def test_a_denied_read_equals_a_missing_one_byte_for_byte(
    closed: Clinic, id_: str, suffix: str
) -> None:
    denied = await closed.get(OTHER, f"Observation/{id_}{suffix}")
    missing = await closed.get(OTHER, f"Observation/nothing{suffix}")
    assert denied.status == missing.status == 404
    assert denied.body == missing.body
    assert denied.headers.keys() == missing.headers.keys()


async def test_if_none_match_does_not_tell_a_hidden_version(closed: Clinic) -> None:
    header = {"if-none-match": 'W/"1"'}
    denied = await closed.ask(OTHER, "GET", "Observation/hidden", headers=header)
    missing = await closed.ask(OTHER, "GET", "Observation/nothing", headers=header)
    assert (denied.status, denied.body) == (missing.status, missing.body) == (404, missing.body)


@pytest.mark.parametrize("match", [{}, {"if-match": 'W/"1"'}, {"if-match": 'W/"7"'}])
async def test_a_denied_delete_equals_a_missing_one(closed: Clinic, match: dict[str, str]) -> None:
    denied = await closed.ask(OTHER, "DELETE", "Observation/hidden", headers=match)
    missing = await closed.ask(OTHER, "DELETE", "Observation/nothing", headers=match)
    assert denied.status == missing.status == 404
    assert denied.body == missing.body
    assert (await closed.get(HOUSE, "Observation/hidden")).status == 200


@pytest.mark.parametrize("match", [{}, {"if-match": 'W/"1"'}, {"if-match": 'W/"7"'}])
async def test_whoever_may_not_see_a_record_may_not_overwrite_it(
    closed: Clinic, match: dict[str, str]
) -> None:
    await closed.put(sharing("b", "Organization/third"))
    taken = observation("b-own", "a")
    answer = await closed.ask(OTHER, "PUT", "Observation/b-own", taken, match)
    assert answer.status == 404
    assert (await closed.get(HOUSE, "Observation/b-own")).json["subject"][
        "reference"
    ] == "Patient/b"
    assert (await closed.get(HOUSE, "Observation/b-own")).json["meta"]["versionId"] == "1"


async def test_an_update_does_not_answer_with_the_version_of_a_hidden_record(
    closed: Clinic,
) -> None:
    answer = await closed.ask(OTHER, "PUT", "Observation/hidden", observation("hidden", "a"))
    assert answer.status == 404
    assert "etag" not in {name.lower() for name in answer.headers}


async def test_no_error_quotes_a_stored_value(closed: Clinic) -> None:
    for method, url in [
        ("GET", "Patient/b"),
        ("PUT", "Patient/b"),
        ("DELETE", "Patient/b"),
        ("GET", "Patient?birthdate=197x"),
    ]:
        body = patient("b") if method == "PUT" else None
        answer = await closed.ask(OTHER, method, url, body)
        assert answer.status >= 400
        assert b"eheim" not in answer.body
        assert b"1970" not in answer.body


async def test_a_refused_body_is_not_quoted(closed: Clinic) -> None:
    for body in (
        b'{"resourceType":"Patient","name":"Geheim"}',
        b'{"resourceType":"Patient","birthDate":"Geheim"}',
        b'{"resourceType":"Patient","gender":"Geheim"}',
        b'{"resourceType":"Geheim"}',
        b'{"resourceType":"Patient",Geheim',
        b'{"resourceType":"Patient","Geheim":1,"Geheim":2}',
    ):
        answer = await closed.ask(HOUSE, "POST", "Patient", body)
        assert answer.status in (400, 422)
        assert b"Geheim" not in answer.body


async def test_the_patient_sees_who_was_refused_her_record(closed: Clinic) -> None:
    start = closed.log_size()
    await closed.get(OTHER, "Observation/b-own")
    [event] = await closed.audits(start)
    assert event["outcome"] == "4"
    assert {"reference": "Patient/b"} in [e.get("what") for e in event["entity"]]
