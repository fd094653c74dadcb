"""Observations as Synthea writes them, made up for the vault alone."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from fhir_server.app import House
from fhir_server.vault.vault import Draft


def draft(house: House, resource: dict[str, Any]) -> Draft:
    """One of them, ready to be written."""
    patient = (resource["subject"]["reference"],)
    tokens = house.pipeline.tools.tokenizer.tokens("Observation", resource, patient)
    text = orjson.dumps(resource).decode()
    return Draft("Observation", resource["id"], 1, 1, text, patient, tokens)


def observation(number: int, chance: random.Random) -> dict[str, Any]:
    """Some hundred of a patient in a row, those of an encounter on one day."""
    code = str(chance.randrange(250))
    visit = random.Random(number // 8)
    day = f"20{visit.randrange(26):02}-{1 + visit.randrange(12):02}-{1 + visit.randrange(28):02}"
    return {
        "resourceType": "Observation",
        "id": f"o-{number}",
        "meta": {"versionId": "1", "lastUpdated": f"{day}T08:00:00Z"},
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "laboratory",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": code}], "text": f"test {code}"},
        "subject": {"reference": f"Patient/p-{number // 400}"},
        "encounter": {"reference": f"Encounter/e-{number // 8}"},
        "effectiveDateTime": f"{day}T08:00:00Z",
        "issued": f"{day}T08:00:00.123Z",
        "valueQuantity": {
            "value": round(chance.uniform(1, 200), 2),
            "unit": "mg/dL",
            "system": "http://unitsofmeasure.org",
            "code": "mg/dL",
        },
    }


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder for a store, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="consentry-bench-store-") as name:
        yield Path(name)
