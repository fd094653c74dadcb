"""What the server can do is told as R4 asks for it, generated from what is registered, and cheap to ask for again."""

from __future__ import annotations

import pytest

from fhir_server.interactions.registered import REGISTERED
from profiles.definitions import r4
from profiles.validation import r4_validator
from tests.fhir_server.clinic import HOUSE, Answer, Clinic
from tests.fhir_server.custom_parameters import parameter


async def metadata(clinic: Clinic, query: str = "", **headers: str) -> Answer:
    return await clinic.ask(None, "GET", f"metadata{query}", headers=headers)


@pytest.mark.parametrize("query", ["", "?mode=full", "?mode=normative", "?mode=terminology"])
async def test_each_mode_is_valid_r4(clinic: Clinic, query: str) -> None:
    answer = await metadata(clinic, query)
    assert answer.status == 200
    assert list(r4_validator().check(answer.json)) == []
    terminology = query.endswith("terminology")
    assert (answer.json["resourceType"] == "TerminologyCapabilities") == terminology


async def test_an_unknown_mode_is_refused(clinic: Clinic) -> None:
    assert (await metadata(clinic, "?mode=half")).status == 400


async def test_all_that_is_registered_is_named(clinic: Clinic) -> None:
    [rest] = (await metadata(clinic)).json["rest"]
    assert {r["type"] for r in rest["resource"]} == set(r4().resource_types)
    named = {o["name"] for r in (rest, *rest["resource"]) for o in r.get("operation", ())}
    assert named == {r.operation for r in REGISTERED if r.operation}
    assert "http://hl7.org/fhir/CompartmentDefinition/patient" in rest["compartment"]
    coding = rest["security"]["service"][0]["coding"][0]
    assert coding["code"] == "SMART-on-FHIR"
    uris = {e["url"] for e in rest["security"]["extension"][0]["extension"]}
    assert {"authorize", "token"} <= uris


async def test_a_summary_and_elements_leave_what_they_are_asked_for(clinic: Clinic) -> None:
    short = (await metadata(clinic, "?_summary=true")).json
    assert "resource" in short["rest"][0]
    assert "searchParam" not in short["rest"][0]["resource"][0]
    assert short["meta"]["tag"][0]["code"] == "SUBSETTED"
    some = (await metadata(clinic, "?_elements=fhirVersion")).json
    assert "rest" not in some
    assert some["fhirVersion"] == "4.0.1"
    assert (await metadata(clinic, "?_summary=half")).status == 400


async def test_what_has_not_changed_is_not_sent_again(clinic: Clinic) -> None:
    tag = (await metadata(clinic)).headers["ETag"]
    again = await metadata(clinic, **{"if-none-match": f'"other", {tag}'})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert (await metadata(clinic, "?_summary=true", **{"if-none-match": tag})).status == 200
    assert (await clinic.put(parameter(), HOUSE)).status == 201
    assert (await metadata(clinic, **{"if-none-match": tag})).status == 200


async def test_the_statement_is_made_once_for_all_who_ask(clinic: Clinic) -> None:
    capability = clinic.pipeline.tools.capability
    assert capability("CapabilityStatement", "") is capability("CapabilityStatement", "")
    before = capability("CapabilityStatement", "true")
    await clinic.put(parameter())
    assert capability("CapabilityStatement", "true") is not before
