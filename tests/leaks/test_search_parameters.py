"""Parameters that hold for everybody are not for everybody to define; their jobs tell nobody how many records there are."""

from __future__ import annotations

import pytest

from tests.fhir_server.clinic import CUSTODIAN, HOUSE, OTHER, Clinic, Json, entry, transaction

PARAMETER: Json = {
    "resourceType": "SearchParameter",
    "id": "notes",
    "url": "http://example.org/SearchParameter/notes",
    "name": "Notes",
    "status": "active",
    "description": "Words of notes",
    "code": "note-text",
    "base": ["Observation"],
    "type": "string",
    "expression": "Observation.note.text",
}


@pytest.fixture
def outsiders(clinic: Clinic) -> list[str]:
    """Callers whose scopes cover everything, none of whom is a system of the custodian."""
    own = {"user": "Patient/p", "patient": "Patient/p", "organization": ""}
    return [
        OTHER,
        clinic.caller("app", "patient/*.cruds", **own),  # type: ignore[arg-type]
        clinic.caller("clinician", "user/*.cruds", CUSTODIAN, user="Practitioner/p"),
    ]


async def test_no_outsider_defines_changes_or_withdraws_a_search_parameter(
    clinic: Clinic, outsiders: list[str]
) -> None:
    await clinic.put(PARAMETER)
    patch = [{"op": "replace", "path": "/status", "value": "retired"}]
    kind = {"content-type": "application/json-patch+json"}
    other = {**PARAMETER, "id": "x", "url": "http://example.org/x", "code": "x"}
    for who in outsiders:
        answers = [
            await clinic.ask(who, "POST", "SearchParameter", other),
            await clinic.ask(who, "PUT", "SearchParameter/x", {**other, "status": "draft"}),
            await clinic.ask(who, "PUT", "SearchParameter/notes", {**PARAMETER, "status": "draft"}),
            await clinic.ask(who, "PUT", f"SearchParameter?url={PARAMETER['url']}", PARAMETER),
            await clinic.ask(who, "PATCH", "SearchParameter/notes", patch, kind),
            await clinic.ask(who, "DELETE", "SearchParameter/notes"),
            await clinic.ask(who, "DELETE", f"SearchParameter?url={PARAMETER['url']}"),
            await clinic.ask(who, "POST", "", transaction(entry("POST", "SearchParameter", other))),
        ]
        assert [answer.status for answer in answers] == [403] * len(answers)
        batch = transaction(entry("DELETE", "SearchParameter/notes"), type_="batch")
        answer = await clinic.ask(who, "POST", "", batch)
        assert answer.json["entry"][0]["response"]["status"].startswith("403")
    [used] = clinic.pipeline.tools.parameters.in_use.values()
    assert used.reference == "SearchParameter/notes"


async def test_a_system_of_the_custodian_needs_the_scope_all_the_same(clinic: Clinic) -> None:
    clinic.caller("reader", "system/SearchParameter.rs system/Observation.cruds")
    answer = await clinic.ask("reader", "POST", "SearchParameter", PARAMETER)
    assert answer.status == 403
    assert (await clinic.put(PARAMETER, HOUSE)).status == 201
