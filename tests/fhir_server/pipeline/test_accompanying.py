"""What accompanies a disclosure: the notice of 42 CFR 2.32, the Consent behind it, refrain codes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.pipeline.accompanying import NOTICE
from tests.fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    SECURITY,
    Clinic,
    consent,
    entry,
    observation,
    open_clinic,
    patient,
    sharing,
    transaction,
)

NORDSCLCD = {"security": [{"system": SECURITY, "code": "NORDSCLCD"}]}


@pytest.fixture
async def clinic(folder: Path) -> AsyncIterator[Clinic]:
    """OTHER may see all of a, and of b what is not labelled substance use."""
    clinic = await open_clinic(folder)
    await clinic.put(patient("a"))
    await clinic.put(patient("b"))
    await clinic.put(consent("all", "a", "permit", "Organization/other"))
    await clinic.put(sharing("b"))
    await clinic.put(observation("sud", "a", meta=ETH))
    await clinic.put(observation("plain", "a"))
    await clinic.put(observation("hidden", "b", meta=ETH))
    await clinic.put(observation("refrain", "b", meta=NORDSCLCD))
    yield clinic
    await clinic.close()


async def test_step_10_a_substance_use_record_carries_the_notice_and_names_the_consent(
    clinic: Clinic,
) -> None:
    headers = (await clinic.get(OTHER, "Observation/sud")).headers
    assert headers["Disclosure-Notice"] == NOTICE
    assert headers["Link"].endswith('/fhir/Consent/all/_history/1>; rel="describedby"')


@pytest.mark.parametrize("url", ["Observation/plain", "Observation/hidden", "Patient/b"])
async def test_other_answers_carry_none(clinic: Clinic, url: str) -> None:
    assert "Disclosure-Notice" not in (await clinic.get(OTHER, url)).headers
    assert "Disclosure-Refrain" not in (await clinic.get(OTHER, url)).headers


async def test_neither_the_patient_nor_the_custodians_own_staff_gets_it(clinic: Clinic) -> None:
    clinic.caller("self", "patient/*.rs", "", user="Patient/a", patient="Patient/a")
    for who in ("self", HOUSE):
        answer = await clinic.get(who, "Observation/sud")
        assert answer.status == 200
        assert "Disclosure-Notice" not in answer.headers


async def test_a_search_says_it_in_the_bundle_and_counts_it_in_no_total(clinic: Clinic) -> None:
    answer = await clinic.get(OTHER, "Observation?patient=a")
    *_, last = answer.json["entry"]
    assert answer.json["total"] == 2
    assert last["search"] == {"mode": "outcome"}
    [issue] = last["resource"]["issue"]
    assert issue["severity"] == "information"
    assert issue["diagnostics"] == f"{NOTICE} Disclosed under Consent/all/_history/1."
    assert answer.headers["Disclosure-Notice"] == NOTICE


async def test_a_search_whose_notices_are_all_hidden_says_nothing(clinic: Clinic) -> None:
    answer = await clinic.get(OTHER, "Observation?patient=b")
    assert "prohibits" not in answer.body.decode()
    assert "Disclosure-Notice" not in answer.headers


async def test_an_entry_of_a_batch_carries_its_notice(clinic: Clinic) -> None:
    sent = transaction(
        entry("GET", "Observation/sud"), entry("GET", "Observation/plain"), type_="batch"
    )
    first, second = (await clinic.ask(OTHER, "POST", "", sent)).json["entry"]
    assert NOTICE in first["response"]["outcome"]["issue"][0]["diagnostics"]
    assert "Consent/all/_history/1" in first["response"]["outcome"]["issue"][0]["diagnostics"]
    assert "outcome" not in second["response"]


@pytest.mark.parametrize("url", ["Observation/sud/_history", "Patient/a/$everything"])
async def test_histories_and_operations_carry_it_too(clinic: Clinic, url: str) -> None:
    assert (await clinic.get(OTHER, url)).headers["Disclosure-Notice"] == NOTICE


async def test_a_count_without_records_carries_none(clinic: Clinic) -> None:
    answer = await clinic.get(OTHER, "Observation?patient=a&_summary=count")
    assert "Disclosure-Notice" not in answer.headers


async def test_step_10_refrain_codes_are_passed_on(clinic: Clinic) -> None:
    answer = await clinic.get(OTHER, "Observation/refrain")
    assert answer.headers["Disclosure-Refrain"] == "NORDSCLCD"
    assert answer.json["meta"]["security"][0]["code"] == "NORDSCLCD"


async def test_a_document_that_goes_out_as_its_bytes_carries_them_in_headers(
    clinic: Clinic,
) -> None:
    pdf = {
        "resourceType": "Binary",
        "id": "x",
        "contentType": "text/plain",
        "securityContext": {"reference": "Patient/a"},
        "data": base64.b64encode(b"letter").decode(),
        "meta": ETH,
    }
    await clinic.put(pdf)
    answer = await clinic.ask(OTHER, "GET", "Binary/x", headers={"accept": "text/plain"})
    assert (answer.body, answer.headers["Disclosure-Notice"]) == (b"letter", NOTICE)


async def test_the_audit_names_the_obligations_and_what_was_redacted(clinic: Clinic) -> None:
    await clinic.get(OTHER, "Observation/sud")
    details = [
        (d["type"], d["valueString"])
        for e in (await clinic.audits())[-1]["entity"]
        for d in e.get("detail", ())
    ]
    assert ("obligation", "notice:42-CFR-2.32") in details
    assert ("obligation", "copy-of-consent:42-CFR-2.32") in details
