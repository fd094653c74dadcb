"""A resource inside another is decided like one of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    Clinic,
    consent,
    observation,
    open_clinic,
    patient,
    sharing,
)


@pytest.fixture
async def shared(folder: Path) -> AsyncIterator[Clinic]:
    """A lenient clinic: it stores contained resources with labels, which dom-5 does not allow."""
    clinic = await open_clinic(folder, strict=False)
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    yield clinic
    await clinic.close()


def _labelled(id_: str = "inner") -> dict[str, object]:
    return observation(id_, "a", meta=ETH)


async def test_a_contained_labelled_resource_is_taken_out_with_what_refers_to_it(
    shared: Clinic,
) -> None:
    holder = observation(
        "holder",
        "a",
        hasMember=[{"reference": "#inner"}, {"reference": "Observation/x"}],
        contained=[_labelled()],
        text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">it</div>'},
    )
    await shared.put(holder)
    seen = (await shared.get(OTHER, "Observation/holder")).json
    assert "contained" not in seen
    assert "text" not in seen  # words may tell what elements told
    assert seen["hasMember"] == [{"reference": "Observation/x"}]
    assert (await shared.get(OTHER, "Observation?subject=a")).json["total"] == 1
    assert (await shared.get(OTHER, "Observation?_contained=true&_id=inner")).json["total"] == 0
    assert "contained" in (await shared.get(HOUSE, "Observation/holder")).json


@pytest.mark.parametrize("type_", ["collection", "document", "searchset", "history"])
async def test_a_labelled_resource_in_a_stored_bundle_is_taken_out(
    shared: Clinic, type_: str
) -> None:
    bundle = {
        "resourceType": "Bundle",
        "id": "b",
        "type": type_,
        "total": 2,
        "entry": [
            {"fullUrl": "urn:uuid:1", "resource": observation("plain", "a")},
            {"fullUrl": "urn:uuid:2", "resource": _labelled()},
        ],
    }
    answer = await shared.ask(HOUSE, "PUT", "Bundle/b", bundle)
    assert answer.status == 201, answer.body
    seen = await shared.get(OTHER, "Bundle/b")
    assert [e["fullUrl"] for e in seen.json["entry"]] == ["urn:uuid:1"]
    assert "total" not in seen.json
    assert "inner" not in seen.body.decode()
    assert len((await shared.get(HOUSE, "Bundle/b")).json["entry"]) == 2


@pytest.mark.parametrize("type_", ["document", "message"])
async def test_without_its_first_entry_a_document_or_message_is_nothing(
    shared: Clinic, type_: str
) -> None:
    bundle = {
        "resourceType": "Bundle",
        "id": "b",
        "type": type_,
        "entry": [{"resource": _labelled()}, {"resource": observation("plain", "a")}],
    }
    answer = await shared.ask(HOUSE, "PUT", "Bundle/b", bundle)
    assert answer.status == 201, answer.body
    assert (await shared.get(OTHER, "Bundle/b")).status == 404
    assert (await shared.get(OTHER, "Bundle")).json["total"] == 0


async def test_a_bundle_in_a_bundle_in_parameters_is_looked_through(shared: Clinic) -> None:
    inner = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": _labelled()}]}
    outer = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inner}]}
    parameters = {
        "resourceType": "Parameters",
        "id": "p",
        "parameter": [{"name": "x", "part": [{"name": "y", "resource": outer}]}],
    }
    await shared.put(parameters)
    assert "inner" not in (await shared.get(OTHER, "Parameters/p")).body.decode()
    assert "inner" in (await shared.get(HOUSE, "Parameters/p")).body.decode()


async def test_who_may_not_see_an_entry_does_not_write_it_away(shared: Clinic) -> None:
    bundle = {"resourceType": "Bundle", "id": "b", "type": "collection"}
    await shared.put(
        {**bundle, "entry": [{"resource": observation("x", "a")}, {"resource": _labelled()}]}
    )
    left = {**bundle, "entry": [{"resource": observation("x", "a")}]}
    assert (await shared.ask(OTHER, "PUT", "Bundle/b", left)).status == 404
    assert (await shared.ask(OTHER, "DELETE", "Bundle/b")).status == 404


async def test_a_bundle_belongs_to_the_patient_in_it_although_nothing_refers_to_her(
    shared: Clinic,
) -> None:
    await shared.put(consent("no", "b", "deny", actor="Organization/custodian"))
    bundle = {
        "resourceType": "Bundle",
        "id": "document",
        "type": "collection",
        "entry": [{"resource": patient("b", name=[{"family": "Geheim"}])}],
    }
    answer = await shared.ask(HOUSE, "PUT", "Bundle/document", bundle)
    assert answer.status == 404  # she denies the house
    shared.caller("app", "patient/*.rs", user="Practitioner/1", patient="Patient/a")
    assert (await shared.get("app", "Bundle/document")).status == 404


async def test_a_label_on_the_bundle_itself_closes_it(shared: Clinic) -> None:
    bundle = {
        "resourceType": "Bundle",
        "id": "b",
        "meta": ETH,
        "type": "collection",
        "entry": [{"resource": observation("plain", "a")}],
    }
    await shared.put(bundle)
    assert (await shared.get(OTHER, "Bundle/b")).status == 404


async def test_a_binary_belongs_to_whom_its_security_context_names(shared: Clinic) -> None:
    await shared.put(
        {
            "resourceType": "Binary",
            "id": "pdf",
            "contentType": "application/pdf",
            "securityContext": {"reference": "Patient/b"},
            "data": "JVBERi0=",
        }
    )
    assert (await shared.get(OTHER, "Binary/pdf")).status == 404
    await shared.put(sharing("b"))
    assert (await shared.get(OTHER, "Binary/pdf")).status == 200


async def test_a_binary_that_says_nothing_of_anyone_is_not_public(shared: Clinic) -> None:
    await shared.put(
        {"resourceType": "Binary", "id": "x", "contentType": "text/plain", "data": "eA=="}
    )
    assert (await shared.get(OTHER, "Binary/x")).status == 404
    assert (await shared.get(OTHER, "Binary")).json["total"] == 0
