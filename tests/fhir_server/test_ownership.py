"""Whose data a resource is."""

# ruff: noqa: E501  (one case a line)

from __future__ import annotations

import pytest

from fhir_server.ownership import administrative_types, patients_of
from profiles.definitions import r4

from .clinic import BASE, Json, observation, patient


def owners(value: Json) -> tuple[str, ...]:
    return patients_of(value, value["resourceType"], value.get("id", ""), BASE)


def test_what_speaks_of_nobody_belongs_to_nobody() -> None:
    assert owners({"resourceType": "Organization", "id": "o"}) == ()


def test_a_patient_belongs_to_herself_and_to_whom_she_is_linked() -> None:
    assert owners(patient("a")) == ("Patient/a",)
    link = [{"other": {"reference": "Patient/b"}, "type": "seealso"}]
    assert owners(patient("a", link=link)) == ("Patient/a", "Patient/b")


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/a",
        "Patient/a/_history/1",
        f"{BASE}/Patient/a",
        f"{BASE}/Patient/a/_history/9",
        "Patient/a?x=y",
    ],
)
def test_every_spelling_of_a_local_patient_is_the_same_patient(reference: str) -> None:
    assert owners({**observation("o", "x"), "subject": {"reference": reference}}) == ("Patient/a",)


@pytest.mark.parametrize("reference", ["Patient/a#name", "Patient/a/"])
def test_a_decorated_reference_is_still_the_same_patient(reference: str) -> None:
    assert owners({**observation("o", "x"), "subject": {"reference": reference}}) == ("Patient/a",)


@pytest.mark.parametrize(
    "reference", ["#a", "urn:uuid:1", "Practitioner/Patient", "Group/a", "", "Patient"]
)
def test_what_is_no_patient_adds_none(reference: str) -> None:
    assert owners({**observation("o", "x"), "subject": {"reference": reference}}) == ()


def test_a_patient_elsewhere_is_another_one() -> None:
    value = {**observation("o", "x"), "subject": {"reference": "https://elsewhere/Patient/a"}}
    assert owners(value) == ("https://elsewhere/Patient/a",)


def test_patients_are_found_anywhere_in_a_resource() -> None:
    deep = {
        "extension": [
            {"extension": [{"url": "x", "valueReference": {"reference": "Patient/z"}}], "url": "y"}
        ]
    }
    value = observation(
        "o", "a", contained=[{"resourceType": "Basic", **deep}], note=[{"text": "t", **deep}]
    )
    assert owners(value) == ("Patient/a", "Patient/z")


def test_a_bundle_belongs_to_the_patients_in_it() -> None:
    inner = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient("b")}]}
    outer = {
        "resourceType": "Bundle",
        "entry": [{"resource": inner}, {"resource": observation("o", "a")}],
    }
    assert owners(outer) == ("Patient/a", "Patient/b")


def test_no_type_that_may_speak_of_a_patient_counts_as_administrative() -> None:
    found = administrative_types(r4())
    assert found & set(r4().compartments["Patient"]) == set()
    for type_ in ("Patient", "Observation", "Binary", "Bundle", "Parameters", "Basic", "AuditEvent", "Provenance", "Task",
                  "Consent", "List", "Group", "DocumentReference", "Device", "Contract", "Linkage", "MessageHeader"):  # fmt: skip
        assert type_ not in found, type_
    assert {"Organization", "Practitioner", "Location", "ValueSet", "Medication"} <= found
