"""Batches and transactions as another server tests them (microsoft/fhir-server: ``ms-bundles``), and bad ones of ours."""

from __future__ import annotations

import json

import pytest

from fhir_server.pipeline.bundles import entries_of
from fhir_server.resource_text import read_resource

from ..clinic import HOUSE, Clinic, Json, entry, observation, patient, transaction
from ..shared_data import folder_of

# file: (status of the Bundle, statuses of its entries or what the refusal names)
CASES: dict[str, tuple[int, object]] = {
    # create, create, PUT, conditional update, PUT with another's id, DELETE of nothing, of a type, search of nothing ...
    "Normative__Bundle-BatchWithDuplicatedItems": (200, None),
    "Normative__Bundle-BinaryPatch": (200, ["201", "200"]),
    "Normative__Bundle-InvalidBundleType": (400, "Bundle.type"),
    "Normative__Bundle-TypeMissing": (400, "Bundle.type"),
    "Normative__Bundle-TransactionForRollBackWithDelete": (404, "Bundle.entry[0]"),
    # its ImagingStudy lacks uid, which R4 requires
    "Normative__Bundle-TransactionWithConditionalCreateAndReference": (422, "ImagingStudy.series"),
    # it deletes a Patient that is not there
    "Normative__Bundle-Transaction": (404, "Bundle.entry[5]"),
    "Normative__Bundle-TransactionWithConditionalReferenceReferringToSameResource": (
        400,
        "Bundle.entry[1]",
    ),
    "Normative__Bundle-TransactionWithForeignReferenceInResourceBody": (200, ["201"]),
    "Normative__Bundle-TransactionWithInvalidProcessingRecord": (400, "Bundle.entry[5]"),
    "Normative__Bundle-TransactionWithInvalidResourceType": (400, "Bundle.entry[0]"),
    "Normative__Bundle-TransactionWithMultipleEntriesModifyingSameResource": (400, "Bundle.entry"),
    "Normative__Bundle-TransactionWithPOSTFullUrlMatchesWithPUTRequestUrl": (200, ["201", "201"]),
    "R4__Bundle-TransactionWithReferenceInResourceBody": (
        412,
        "Bundle.entry[0]",
    ),  # nobody is there
}


@pytest.mark.parametrize("name", CASES)
async def test_a_bundle_of_the_microsoft_suite_is_answered_as_the_standard_says(
    clinic: Clinic, name: str
) -> None:
    status, told = CASES[name]
    body = (folder_of("ms-bundles") / f"{name}.json").read_bytes()
    answer = await clinic.ask(HOUSE, "POST", "", body)
    assert answer.status == status, answer.body
    if isinstance(told, list):
        assert [e["response"]["status"][:3] for e in answer.json["entry"]] == told
    if isinstance(told, str):
        assert told in answer.body.decode()
        assert clinic.sql("SELECT count(*) FROM record WHERE type != 'AuditEvent'") == [(0,)]


async def test_the_entries_of_a_batch_fail_alone(clinic: Clinic) -> None:
    body = (folder_of("ms-bundles") / "Normative__Bundle-Batch.json").read_bytes()
    answer = await clinic.ask(HOUSE, "POST", "", body)
    assert answer.status == 200
    statuses = [e["response"]["status"][:3] for e in answer.json["entry"]]
    assert len(statuses) == len(json.loads(body)["entry"])
    assert statuses[:3] == ["201", "201", "201"]
    assert statuses == ["201", "201", "201", "201", "412", "404", "204", "404", "200", "404"]


def _pair(one: Json, two: Json) -> Json:
    return transaction(one, two)


@pytest.mark.parametrize(
    "bundle",
    [
        _pair(entry("PUT", "Patient/p", patient("p")), entry("PUT", "Patient/p", patient("p"))),
        _pair(entry("PUT", "Patient/p", patient("p")), entry("DELETE", "Patient/p")),
        _pair(entry("DELETE", "Patient/p"), entry("DELETE", "Patient/p")),
    ],
)
async def test_the_same_resource_twice_is_refused(clinic: Clinic, bundle: Json) -> None:
    await clinic.put(patient("p"))
    answer = await clinic.ask(HOUSE, "POST", "", bundle)
    assert answer.status == 400
    assert "Bundle.entry[1]" in answer.body.decode()
    assert (await clinic.get(HOUSE, "Patient/p")).json["meta"]["versionId"] == "1"


async def test_the_order_is_delete_post_put_get_whatever_the_bundle_says(clinic: Clinic) -> None:
    await clinic.put(patient("gone"))
    answer = await clinic.ask(
        HOUSE,
        "POST",
        "",
        transaction(
            entry("GET", "Patient?_total=accurate"),
            entry("PUT", "Patient/kept", patient("kept")),
            entry("POST", "Patient", {"resourceType": "Patient"}),
            entry("DELETE", "Patient/gone"),
        ),
    )
    assert answer.status == 200
    assert answer.json["entry"][0]["resource"]["total"] == 2
    assert [e["response"]["status"][:3] for e in answer.json["entry"]] == [
        "200",
        "201",
        "201",
        "204",
    ]


async def test_two_conditional_creates_on_one_condition_make_one_resource_or_none(
    clinic: Clinic,
) -> None:
    """HL7: the conditions of one transaction must not overlap; two resources would be the race inside one Bundle."""
    made = patient("x", identifier=[{"system": "urn:mrn", "value": "5"}])
    one = entry("POST", "Patient", made, ifNoneExist="identifier=urn:mrn|5")
    await clinic.ask(HOUSE, "POST", "", transaction(one, one))
    assert (await clinic.get(HOUSE, "Patient?identifier=urn:mrn|5")).json["total"] <= 1


async def test_if_match_in_an_entry_is_heeded(clinic: Clinic) -> None:
    await clinic.put(patient("p"))
    await clinic.put(patient("p", active=True))
    old = transaction(entry("PUT", "Patient/p", patient("p"), ifMatch='W/"1"'))
    assert (await clinic.ask(HOUSE, "POST", "", old)).status == 412
    good = transaction(entry("PUT", "Patient/p", patient("p"), ifMatch='W/"2"'))
    assert (await clinic.ask(HOUSE, "POST", "", good)).status == 200


async def test_a_transaction_of_a_thousand_entries_goes_in_one_go(clinic: Clinic) -> None:
    one = "urn:uuid:11111111-1111-1111-1111-111111111111"
    entries = [entry("POST", "Patient", {"resourceType": "Patient"}, full_url=one)]
    made = observation("x", "y")
    for _ in range(999):
        entries.append(entry("POST", "Observation", {**made, "subject": {"reference": one}}))
    answer = await clinic.ask(HOUSE, "POST", "", transaction(*entries))
    assert answer.status == 200
    id_ = answer.json["entry"][0]["response"]["location"].split("/Patient/")[1].split("/")[0]
    assert (await clinic.get(HOUSE, f"Observation?patient={id_}&_count=0")).json["total"] == 999


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_a_conditional_create_that_finds_says_what_it_found(
    clinic: Clinic, kind: str
) -> None:
    await clinic.put(patient("p", identifier=[{"system": "urn:mrn", "value": "5"}]))
    made = entry("POST", "Patient", {"resourceType": "Patient"}, ifNoneExist="identifier=urn:mrn|5")
    answer = await clinic.ask(HOUSE, "POST", "", transaction(made, type_=kind))
    [told] = answer.json["entry"]
    assert told["response"]["status"].startswith("200")
    assert "Patient/p" in told["response"].get("location", "") or told["resource"]["id"] == "p"


def test_entries_are_taken_out_of_the_bundle_so_that_each_can_be_let_go() -> None:
    sent = transaction(entry("PUT", "Patient/a", patient("a")), entry("GET", "Patient/b"))
    bundle = read_resource(json.dumps(sent).encode())
    one, other = entries_of(bundle, "http://x/fhir/")
    assert one.content is not None
    assert one.content.value["id"] == "a"
    assert other.content is None
    assert bundle.value["entry"] == []
