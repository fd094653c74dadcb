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


async def test_a_contained_labelled_resource_closes_its_container(shared: Clinic) -> None:
    holder = observation(
        "holder", "a", hasMember=[{"reference": "#inner"}], contained=[_labelled()]
    )
    await shared.put(holder)
    assert (await shared.get(OTHER, "Observation/holder")).status == 404
    assert (await shared.get(OTHER, "Observation?subject=a")).json["total"] == 0
    assert (await shared.get(HOUSE, "Observation/holder")).status == 200


@pytest.mark.parametrize("type_", ["collection", "document", "searchset", "history"])
async def test_a_labelled_resource_in_a_stored_bundle_closes_it(shared: Clinic, type_: str) -> None:
    bundle = {
        "resourceType": "Bundle",
        "id": "b",
        "type": type_,
        "entry": [{"resource": observation("plain", "a")}, {"resource": _labelled()}],
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
    assert (await shared.get(OTHER, "Parameters/p")).status == 404
    assert (await shared.get(HOUSE, "Parameters/p")).status == 200


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
