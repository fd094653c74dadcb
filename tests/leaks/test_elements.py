"""An element with a label of its own is, for whom consent denies it, as if it had never been written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..fhir_server.clinic import HOUSE, OTHER, Clinic, consent
from .elements import OBSERVATION, PATIENT, SECRET, bare, label, labelled, two_clinics


@pytest.fixture
async def full(folder: Path) -> AsyncIterator[Clinic]:
    """The server that holds what is labelled."""
    held, without = await two_clinics(folder)
    await without.close()
    yield held
    await held.close()


async def test_who_is_permitted_gets_the_bytes_that_were_stored(full: Clinic) -> None:
    answer = await full.get(HOUSE, "Observation/o1")
    assert SECRET in answer.body.decode()
    assert "REDACTED" not in answer.body.decode()


async def test_a_search_by_post_does_not_find_by_a_withheld_element(full: Clinic) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for form, total in ((b"name=suchtklinik", 0), (b"name=meier", 1)):
        assert (await full.ask(OTHER, "POST", "Patient/_search", form, kind)).json["total"] == total


async def test_a_condition_does_not_find_by_a_withheld_element(full: Clinic) -> None:
    asked = {"if-none-exist": "identifier=urn:mrn|9"}
    sent = bare(PATIENT) | {"id": "z"}
    assert (await full.ask(HOUSE, "POST", "Patient", sent, asked)).status == 200
    full.caller("writer", "patient/*.cruds", organization="Organization/other", patient="Patient/a")
    asked = {"if-none-exist": "value-quantity=2.5"}
    answer = await full.ask("writer", "POST", "Observation", bare(OBSERVATION), asked)
    assert answer.status == 201  # nothing was found by it


async def test_granular_scopes_do_not_reach_by_a_withheld_element(full: Clinic) -> None:
    full.caller("narrow", "system/Patient.rs?birthdate=1970-01-01", "Organization/other")
    assert (await full.get("narrow", "Patient/a")).status == 404
    assert (await full.get("narrow", "Patient")).json["total"] == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "META"])
async def test_who_may_not_see_an_element_does_not_change_or_delete_it(
    full: Clinic, method: str
) -> None:
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


async def test_an_element_that_the_writer_would_not_see_is_refused(full: Clinic) -> None:
    sent = {k: v for k, v in OBSERVATION.items() if k != "id"}
    assert (await full.ask(OTHER, "POST", "Observation", sent)).status == 404
    assert (await full.ask(OTHER, "POST", "Observation", bare(sent))).status == 201


async def test_a_label_set_later_hides_the_element_in_older_versions(full: Clinic) -> None:
    await full.put({**PATIENT, "id": "a", "_birthDate": {"id": "x"}, "birthDate": "1971-02-03"})
    assert "1971-02-03" in (await full.get(OTHER, "Patient/a/_history/3")).body.decode()
    await full.put(PATIENT)
    for url in ("Patient/a/_history/3", "Patient/a/_history", "_history", "Patient/_history"):
        answer = await full.get(OTHER, url)
        assert answer.status == 200
        assert "1971-02-03" not in answer.body.decode()
    assert "1971-02-03" in (await full.get(HOUSE, "Patient/a/_history/3")).body.decode()


async def test_another_patients_consent_opens_nothing(full: Clinic) -> None:
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


async def test_a_label_on_the_resource_itself_or_on_its_id_closes_it(full: Clinic) -> None:
    for id_, more in (("r1", {"extension": [label()]}), ("r2", {"_id": {"extension": [label()]}})):
        await full.put({**bare(OBSERVATION), "id": id_, **more})
        assert (await full.get(OTHER, f"Observation/{id_}")).status == 404
    assert (await full.get(OTHER, "Observation?_id=r1,r2")).json["total"] == 0


async def test_labels_inside_a_labelled_element_add_up(full: Clinic) -> None:
    inner = {"coding": [labelled({"system": "urn:c", "code": "inner"})], "text": "outer"}
    await full.put({**bare(OBSERVATION), "id": "n", "valueCodeableConcept": labelled(inner, "HIV")})
    seen = (await full.get(OTHER, "Observation/n")).json
    assert "coding" not in seen["valueCodeableConcept"]
    assert seen["valueCodeableConcept"]["text"] == "outer"
