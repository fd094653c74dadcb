"""An element with a label of its own is, for whom consent denies it, as if it had never been written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..fhir_server.clinic import HOUSE, OTHER, Clinic, consent, entry, plain, transaction
from .elements import OBSERVATION, PATIENT, SECRET, bare, label, labelled, two_clinics

REQUESTS = [
    "Patient/a",
    "Patient/a?_elements=name,birthDate",
    "Patient/a?_summary=true",
    "Patient/a/_history",
    "Patient/a/_history/2",
    "Observation/o1",
    "Observation/o1/_history",
    "Observation",
    "Observation?_summary=count",
    "Patient?name=suchtklinik",
    "Patient?name:exact=Suchtklinik",
    "Patient?name:contains=sucht",
    "Patient?name:missing=true",
    "Patient?name=meier",
    "Patient?identifier=urn:mrn|9",
    "Patient?identifier=urn:mrn|1",
    "Patient?identifier:not=urn:mrn|9",
    "Patient?phone=555-1",
    "Patient?phone:missing=true",
    "Patient?telecom:missing=false",
    "Patient?birthdate=1970-01-01",
    "Patient?birthdate=ge1960",
    "Patient?birthdate:missing=true",
    "Patient?birthdate=ne1970-01-01",
    "Patient?_sort=birthdate",
    "Patient?_sort=-name",
    "Patient?_filter=birthdate eq 1970-01-01",
    "Patient?_filter=not (birthdate eq 1970-01-01)",
    "Patient?_tag=SUBSETTED",
    "Patient?_tag:missing=true",
    "Patient?_security:missing=true",
    "Patient?_content=suchtklinik",
    "Observation?date=2020-05-01",
    "Observation?date:missing=true",
    "Observation?_sort=date",
    "Observation?_sort=-date&_count=1",
    "Observation?value-quantity=2.5",
    "Observation?encounter=Encounter/e",
    "Observation?encounter:missing=true",
    "Observation?encounter.status=finished",
    "Observation?patient.birthdate=1970-01-01",
    "Observation?patient.name=suchtklinik&_summary=count",
    "Observation?_include=Observation:encounter",
    "Observation?_include=*",
    "Encounter?_revinclude=Observation:encounter",
    "Encounter?_has:Observation:encounter:code=8867-4",
    "Patient?_has:Observation:patient:date=2020-05-01",
    "Patient?_has:Observation:patient:value-quantity=2.5",
    "Patient/a/Observation?date=2020",
    "Encounter/e/Observation",
    "Encounter/e/*",
    "?_type=Patient,Observation",
    "_history",
    "Patient/a/$everything",
    "Patient/a/$everything?start=2020-01-01&end=2020-12-31",
    "Encounter/e/$everything",
    "Patient/a/$meta",
    "Observation/$lastn?patient=Patient/a&code=8867-4",
]


@pytest.fixture
async def pair(folder: Path) -> AsyncIterator[tuple[Clinic, Clinic]]:
    full, without = await two_clinics(folder)
    yield full, without
    await full.close()
    await without.close()


@pytest.mark.parametrize("request_", REQUESTS)
async def test_step_10_the_answer_is_that_of_a_server_without_the_element(
    pair: tuple[Clinic, Clinic], request_: str
) -> None:
    full, without = [await clinic.get(OTHER, request_) for clinic in pair]
    assert full.status == without.status
    assert plain(full) == plain(without)


async def test_who_is_permitted_gets_the_bytes_that_were_stored(
    pair: tuple[Clinic, Clinic],
) -> None:
    answer = await pair[0].get(HOUSE, "Observation/o1")
    assert SECRET in answer.body.decode()
    assert "REDACTED" not in answer.body.decode()


async def test_entries_of_a_batch_and_a_post_search_are_redacted(
    pair: tuple[Clinic, Clinic],
) -> None:
    sent = transaction(
        entry("GET", "Patient/a"), entry("GET", "Patient?name=suchtklinik"), type_="batch"
    )
    answers = [await clinic.ask(OTHER, "POST", "", sent) for clinic in pair]
    assert SECRET not in answers[0].body.decode()
    assert plain(answers[0]) == plain(answers[1])


async def test_a_condition_does_not_find_by_a_withheld_element(pair: tuple[Clinic, Clinic]) -> None:
    for clinic in pair:
        sent = bare(PATIENT) | {"id": "z"}
        answer = await clinic.ask(
            HOUSE, "POST", "Patient", sent, {"if-none-exist": "identifier=urn:mrn|9"}
        )
        assert answer.status == (200 if clinic is pair[0] else 201)
    full = pair[0]
    full.caller("writer", "patient/*.cruds", organization="Organization/other", patient="Patient/a")
    answer = await full.ask(
        "writer",
        "POST",
        "Observation",
        bare(OBSERVATION),
        {"if-none-exist": "value-quantity=2.5"},
    )
    assert answer.status == 201  # nothing was found by it


async def test_granular_scopes_do_not_reach_by_a_withheld_element(
    pair: tuple[Clinic, Clinic],
) -> None:
    full = pair[0]
    full.caller("narrow", "system/Patient.rs?birthdate=1970-01-01", "Organization/other")
    assert (await full.get("narrow", "Patient/a")).status == 404
    assert (await full.get("narrow", "Patient")).json["total"] == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "META"])
async def test_who_may_not_see_an_element_does_not_change_or_delete_it(
    pair: tuple[Clinic, Clinic], method: str
) -> None:
    full = pair[0]
    before = await full.get(HOUSE, "Observation/o1")
    if method == "PUT":
        answer = await full.ask(OTHER, "PUT", "Observation/o1", bare(OBSERVATION))
    elif method == "PATCH":
        sent = [{"op": "replace", "path": "/status", "value": "amended"}]
        kind = {"content-type": "application/json-patch+json"}
        answer = await full.ask(OTHER, "PATCH", "Observation/o1", sent, kind)
    elif method == "DELETE":
        answer = await full.ask(OTHER, "DELETE", "Observation/o1")
    else:
        meta = {"tag": [{"system": "urn:t", "code": "t"}]}
        sent_meta = {
            "resourceType": "Parameters",
            "parameter": [{"name": "meta", "valueMeta": meta}],
        }
        answer = await full.ask(OTHER, "POST", "Observation/o1/$meta-add", sent_meta)
    assert answer.status == 404
    assert (await full.get(HOUSE, "Observation/o1")).body == before.body


async def test_an_element_that_the_writer_would_not_see_is_refused(
    pair: tuple[Clinic, Clinic],
) -> None:
    sent = {k: v for k, v in OBSERVATION.items() if k != "id"}
    assert (await pair[0].ask(OTHER, "POST", "Observation", sent)).status == 404
    assert (await pair[0].ask(OTHER, "POST", "Observation", bare(sent))).status == 201


async def test_a_label_set_later_hides_the_element_in_older_versions(
    pair: tuple[Clinic, Clinic],
) -> None:
    full = pair[0]
    await full.put({**PATIENT, "id": "a", "_birthDate": {"id": "x"}, "birthDate": "1971-02-03"})
    assert "1971-02-03" in (await full.get(OTHER, "Patient/a/_history/3")).body.decode()
    await full.put(PATIENT)
    for url in ("Patient/a/_history/3", "Patient/a/_history", "_history", "Patient/_history"):
        answer = await full.get(OTHER, url)
        assert answer.status == 200
        assert "1971-02-03" not in answer.body.decode()
    assert "1971-02-03" in (await full.get(HOUSE, "Patient/a/_history/3")).body.decode()


async def test_another_patients_consent_opens_nothing(pair: tuple[Clinic, Clinic]) -> None:
    full = pair[0]
    await full.put({"resourceType": "Patient", "id": "b"})
    await full.put(consent("all-b", "b", "permit", "Organization/other"))
    assert SECRET not in (await full.get(OTHER, "Patient/a")).body.decode()


async def test_step_10_the_result_says_so_unless_a_restriction_must_not_show(folder: Path) -> None:
    (full, without) = await two_clinics(folder, shows=True)
    meta = (await full.get(OTHER, "Patient/a")).json["meta"]
    assert [c["code"] for c in meta["security"]] == ["REDACTED"]
    assert [c["code"] for c in meta["tag"]] == ["SUBSETTED"]
    summary = (await full.get(OTHER, "Patient/a?_summary=true")).json["meta"]
    assert [c["code"] for c in summary["tag"]] == ["SUBSETTED"]
    assert "tag" not in (await without.get(OTHER, "Patient/a")).json["meta"]
    await full.close()
    await without.close()


async def test_a_label_on_the_resource_itself_or_on_its_id_closes_it(
    pair: tuple[Clinic, Clinic],
) -> None:
    full = pair[0]
    for id_, more in (("r1", {"extension": [label()]}), ("r2", {"_id": {"extension": [label()]}})):
        await full.put({**bare(OBSERVATION), "id": id_, **more})
        assert (await full.get(OTHER, f"Observation/{id_}")).status == 404
    assert (await full.get(OTHER, "Observation?_id=r1,r2")).json["total"] == 0


async def test_labels_inside_a_labelled_element_add_up(pair: tuple[Clinic, Clinic]) -> None:
    full = pair[0]
    inner = {"coding": [labelled({"system": "urn:c", "code": "inner"})], "text": "outer"}
    await full.put({**bare(OBSERVATION), "id": "n", "valueCodeableConcept": labelled(inner, "HIV")})
    seen = (await full.get(OTHER, "Observation/n")).json
    assert "coding" not in seen["valueCodeableConcept"]
    assert seen["valueCodeableConcept"]["text"] == "outer"
