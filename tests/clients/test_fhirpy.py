"""fhirpy (PyPI), which patches with application/json and creates on condition by POST with a query."""

from __future__ import annotations

import pytest
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

from fhir_server.commands.story.play import Play


@pytest.fixture
def client(clinic: Play, token: str) -> SyncFHIRClient:
    return SyncFHIRClient(clinic.server.fhir, authorization=f"Bearer {token}")


def identified(mark: str, **more: object) -> dict[str, object]:
    return {"identifier": [{"system": "urn:test", "value": mark}], **more}


def test_a_resource_is_made_read_changed_and_deleted(client: SyncFHIRClient, mark: str) -> None:
    patient = client.resource(
        "Patient", **identified(mark, name=[{"family": "Fhirpy", "given": ["Ann"]}])
    )
    patient.save()
    assert patient.id
    patient["birthDate"] = "1970-01-01"
    patient.save()
    again = client.reference("Patient", patient.id).to_resource()
    assert (again["birthDate"], again["meta"]["versionId"]) == ("1970-01-01", "2")
    again.refresh()
    again.patch(active=True)
    assert client.reference("Patient", patient.id).to_resource()["active"] is True
    patient.delete()
    with pytest.raises((ResourceNotFound, OperationOutcome)):
        client.reference("Patient", patient.id).to_resource()


def test_searches_follow_their_pages_and_count(client: SyncFHIRClient, mark: str) -> None:
    made = [client.resource("Organization", **identified(mark, name=f"Org {n}")) for n in range(7)]
    for each in made:
        each.save()
    found = client.resources("Organization").search(identifier=f"urn:test|{mark}").limit(3)
    assert len(found.fetch()) == 3
    assert {r.id for r in found.fetch_all()} == {r.id for r in made}
    assert found.count() == 7
    assert found.sort("-name").first()["name"] == "Org 6"
    with pytest.raises(MultipleResourcesFound):
        found.get()


def test_includes_come_with_their_matches(client: SyncFHIRClient, mark: str) -> None:
    parent = client.resource("Organization", name="Parent")
    parent.save()
    client.resource("Organization", **identified(mark, partOf=parent.to_reference())).save()
    found = (
        client.resources("Organization")
        .search(identifier=mark)
        .include("Organization", "partof")
        .fetch_raw()
    )
    assert {entry.search.mode for entry in found.entry} == {"match", "include"}


def test_conditional_create_update_and_patch(client: SyncFHIRClient, mark: str) -> None:
    condition = client.resources("Organization").search(identifier=f"urn:test|{mark}")
    first, made = condition.get_or_create(
        client.resource("Organization", **identified(mark, name="A"))
    )
    second, again = condition.get_or_create(
        client.resource("Organization", **identified(mark, name="B"))
    )
    assert (first.id, made, again) == (second.id, True, False)
    changed, _ = condition.update(client.resource("Organization", **identified(mark, name="C")))
    assert (changed.id, changed["name"]) == (first.id, "C")
    assert condition.patch(name="D")["name"] == "D"
    condition.delete()
    assert condition.count() == 0


@pytest.mark.parametrize(("birth", "valid"), [("1970-01-01", True), ("1.1.1970", False)])
def test_validation_answers_with_an_outcome(
    client: SyncFHIRClient, birth: str, valid: bool
) -> None:
    assert client.resource("Patient", birthDate=birth).is_valid() is valid


def test_a_bad_resource_is_refused_with_an_outcome(client: SyncFHIRClient) -> None:
    with pytest.raises(OperationOutcome):
        client.resource("Patient", nonsense=True).save()
