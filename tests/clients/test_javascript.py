"""Clients in JavaScript (npm): fhir-kit-client and @medplum/core."""

from __future__ import annotations

from .conftest import Run


def test_fhir_kit_client(run: Run, mark: str) -> None:
    told = run("fhir_kit_client.mjs")
    assert told.pop("tokenUrl").endswith("/token")
    assert told == {
        "fhirVersion": "4.0.1", "read": mark, "updated": "2", "patched": "male", "vread": "none", "firstPage": 2,
        "nextPage": 1, "posted": 1, "compartment": 3,
        "history": 3, "typeHistory": "history", "batch": ["200", "200", "404"],
        "transaction": ["204", "201"], "gone": 410,
    }  # fmt: skip


def test_medplum(run: Run, mark: str) -> None:
    told = run("medplum.mjs")
    assert told.pop("everything") is True
    assert told.pop("validated") == "OperationOutcome"
    assert told == {
        "read": mark, "same": True, "updated": "2", "upserted": "male", "patched": True, "found": 1, "one": True,
        "history": 4, "batch": "200", "binary": "plain text", "gone": "deleted",
    }  # fmt: skip
