"""fhirclient (PyPI), with its R4 models: finds the authorization endpoints in the CapabilityStatement only."""

from __future__ import annotations

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException

from fhir_server.commands.story.play import Play


@pytest.fixture
def smart(clinic: Play, token: str) -> FHIRClient:
    client = FHIRClient(settings={"app_id": "test", "api_base": clinic.server.fhir})
    client.prepare()
    client.server.session.headers["Authorization"] = f"Bearer {token}"
    client.server.auth = None
    return client


def test_it_finds_where_to_authorize(clinic: Play) -> None:
    client = FHIRClient(
        settings={
            "app_id": "test",
            "api_base": clinic.server.fhir,
            "redirect_uri": "http://localhost/cb",
        }
    )
    client.prepare()
    assert "/authorize" in str(client.authorize_url)
    assert "code_challenge" in str(client.authorize_url)


def test_a_patient_is_made_read_changed_and_deleted(smart: FHIRClient, mark: str) -> None:
    patient = Patient({"name": [{"family": mark}]})
    made = patient.create(smart.server)
    patient = Patient.read(made["id"], smart.server)
    patient.name.append(HumanName({"family": "Second"}))
    changed = patient.update(smart.server)
    assert (len(changed["name"]), changed["meta"]["versionId"]) == (2, "2")
    assert Patient.read(made["id"], smart.server).delete() is None
    with pytest.raises((FHIRNotFoundException, Exception), match=r"410|404|Gone|Not Found|^$"):
        Patient.read(made["id"], smart.server)


def test_its_searches_find_with_includes(smart: FHIRClient, mark: str) -> None:
    patient = Patient({"name": [{"family": mark}]}).create(smart.server)
    Observation(
        {
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
            "subject": {"reference": f"Patient/{patient['id']}"},
            "valueQuantity": {
                "value": 70.5,
                "unit": "kg",
                "system": "http://unitsofmeasure.org",
                "code": "kg",
            },
        }
    ).create(smart.server)
    search = Observation.where({"subject.family": mark, "value-quantity": "gt70"}).include(
        "subject"
    )
    found = search.perform(smart.server)
    assert isinstance(found, Bundle)
    assert [entry.search.mode for entry in found.entry] == ["match", "include"]
    assert [
        r.code.coding[0].code
        for r in Observation.where({"patient": patient["id"]}).perform_resources(smart.server)
    ] == ["29463-7"]


def test_a_transaction_goes_in_whole(smart: FHIRClient, mark: str) -> None:
    sent = Bundle(
        {
            "type": "transaction",
            "entry": [
                {
                    "fullUrl": "urn:uuid:0b2a4e40-0000-4000-8000-000000000001",
                    "resource": {"resourceType": "Patient", "name": [{"family": mark}]},
                    "request": {"method": "POST", "url": "Patient"},
                },
                {
                    "resource": {
                        "resourceType": "Observation",
                        "status": "final",
                        "code": {"text": mark},
                        "subject": {"reference": "urn:uuid:0b2a4e40-0000-4000-8000-000000000001"},
                    },
                    "request": {"method": "POST", "url": "Observation"},
                },
            ],
        }
    )
    answer = smart.server.post_json("", sent.as_json()).json()
    assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["201", "201"]
    assert len(Observation.where({"subject.family": mark}).perform_resources(smart.server)) == 1
