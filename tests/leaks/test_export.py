"""Bulk export gives what consent permits, at the time of the search and again at the time of the fetch."""

from __future__ import annotations

import pytest

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, consent, observation, patient, sharing
from ..fhir_server.interactions.operations.exporting import (
    exported,
    fetch,
    ids,
    kick_off,
    local,
    manifest_of,
)


@pytest.fixture
async def shared(clinic: Clinic) -> Clinic:
    """OTHER may see what is of a, but not what is labelled; nothing of b."""
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"{id_}-open", id_))
        await clinic.put(observation(f"{id_}-labelled", id_, meta=ETH))
    await clinic.put(sharing("a"))
    members = [{"entity": {"reference": f"Patient/{id_}"}} for id_ in ("a", "b")]
    group = {"resourceType": "Group", "id": "g", "type": "person", "actual": True}
    await clinic.put({**group, "member": members})
    return clinic


@pytest.mark.parametrize("url", ["$export", "Patient/$export", "Patient/$export?patient=Patient/b"])
async def test_hidden_records_are_in_no_file_and_in_no_count(shared: Clinic, url: str) -> None:
    found = ids(await exported(shared, OTHER, url))
    wanted = {} if "Patient/b" in url else {"Observation": ["a-open"], "Patient": ["a"]}
    found.pop("Consent", None)
    assert found == wanted


async def test_a_manifest_is_that_of_a_server_that_never_held_the_hidden_records(
    shared: Clinic,
) -> None:
    asked = "$export?_type=Observation,Patient"
    before = await manifest_of(shared, OTHER, await kick_off(shared, OTHER, asked))
    for number in range(40):
        await shared.put(observation(f"b{number}", "b"))
    after = await manifest_of(shared, OTHER, await kick_off(shared, OTHER, asked))
    assert [(f["type"], f["count"]) for f in after["output"]] == [
        (f["type"], f["count"]) for f in before["output"]
    ]


async def test_what_is_withdrawn_after_the_search_is_not_in_the_file(shared: Clinic) -> None:
    manifest = await manifest_of(shared, OTHER, await kick_off(shared, OTHER, "$export"))
    await shared.put(consent("sharing-a", "a", "deny", "Organization/other"))
    for file in manifest["output"]:
        assert await fetch(shared, OTHER, file["url"]) == []


async def test_what_is_labelled_after_the_search_is_not_in_the_file(shared: Clinic) -> None:
    asked = "$export?_type=Observation"
    [file] = (await manifest_of(shared, OTHER, await kick_off(shared, OTHER, asked)))["output"]
    await shared.put(observation("a-open", "a", meta=ETH))
    assert await fetch(shared, OTHER, file["url"]) == []


async def test_another_caller_cannot_follow_fetch_or_delete_it(shared: Clinic) -> None:
    status = await kick_off(shared, HOUSE, "$export")
    [file, *_] = (await manifest_of(shared, HOUSE, status))["output"]
    missing = await shared.get(OTHER, "$export-status?job=" + "0" * 32)
    for method, url in (("GET", status), ("DELETE", status), ("GET", local(file["url"]))):
        answer = await shared.ask(OTHER, method, url)
        assert (answer.status, answer.body) == (404, missing.body)
    assert (await shared.get(HOUSE, status)).status == 200


async def test_a_group_that_is_hidden_looks_like_one_that_is_not_there(shared: Clinic) -> None:
    hidden = await shared.get(OTHER, "Group/g/$export")
    missing = await shared.get(OTHER, "Group/never/$export")
    assert (hidden.status, hidden.body) == (missing.status, missing.body) == (404, hidden.body)


async def test_a_token_that_lost_a_type_does_not_fetch_its_file(shared: Clinic) -> None:
    asked = "$export?_type=Observation"
    [file] = (await manifest_of(shared, OTHER, await kick_off(shared, OTHER, asked)))["output"]
    shared.caller(OTHER, "system/Patient.rs", "Organization/other")
    assert (await shared.get(OTHER, local(file["url"]))).status == 403


async def test_a_patient_s_token_exports_that_patient_only(shared: Clinic) -> None:
    shared.caller("app", "patient/*.rs", "", ("PATRQT",), "Patient/a", "Patient/a")
    found = ids(await exported(shared, "app", "$export?_type=Observation,Patient"))
    assert found == {"Observation": ["a-labelled", "a-open"], "Patient": ["a"]}


async def test_a_granular_scope_limits_what_is_exported(shared: Clinic) -> None:
    await shared.put(observation("weight", "a", "29463-7"))
    shared.caller("lab", "system/Observation.rs?code=29463-7")
    assert ids(await exported(shared, "lab", "$export")) == {"Observation": ["weight"]}


async def test_each_patient_whose_records_go_out_can_read_of_it(shared: Clinic) -> None:
    asked = "$export?_type=Observation"
    [file] = (await manifest_of(shared, HOUSE, await kick_off(shared, HOUSE, asked)))["output"]
    before = shared.log_size()
    await fetch(shared, HOUSE, file["url"])
    events = await shared.audits(before)
    named = {event["entity"][0]["what"]["reference"]: event for event in events}
    assert set(named) == {"Patient/a", "Patient/b"}
    assert "Patient/b" not in str(named["Patient/a"])
    assert "Observation/a-open/_history/1" in str(named["Patient/a"])


async def test_what_is_kept_of_an_export_tells_nothing(shared: Clinic) -> None:
    asked = "Patient/$export?patient=Patient/a&_typeFilter=Observation%3Fcode%3D29463-7"
    await manifest_of(shared, OTHER, await kick_off(shared, OTHER, asked))
    kept = [
        e.value for k in ("export", "export-file") for e in await shared.database.register.of(k)
    ]
    assert kept
    assert not any(word in value for value in kept for word in (b"Patient", b"29463", b"$export"))
