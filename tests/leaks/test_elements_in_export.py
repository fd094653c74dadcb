"""Bulk export and its search parameters: withheld elements are in no line, and find nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..fhir_server.clinic import HOUSE, OTHER, Clinic
from ..fhir_server.interactions.operations.exporting import fetch, kick_off, manifest_of
from .elements import OBSERVATION, SECRET, bare, two_clinics


async def _lines(clinic: Clinic, who: str, url: str) -> list[dict[str, object]]:
    manifest = await manifest_of(clinic, who, await kick_off(clinic, who, url))
    found = [line for file in manifest["output"] for line in await fetch(clinic, who, file["url"])]
    return [{k: v for k, v in line.items() if k != "meta"} for line in found]


@pytest.mark.parametrize(
    "url",
    [
        "$export?_type=Patient,Observation",
        "Patient/$export?_type=Patient,Observation",
        "$export?_type=Patient&_typeFilter=Patient%3Fbirthdate%3D1970-01-01",
        "$export?_type=Observation&_typeFilter=Observation%3Fvalue-quantity%3D2.5",
        "$export?_type=Patient,Observation&_elements=Patient.birthDate,Observation.note",
    ],
)
async def test_an_export_is_that_of_a_server_without_the_elements(folder: Path, url: str) -> None:
    full, without = await two_clinics(folder)
    lines = await _lines(full, OTHER, url)
    assert SECRET not in str(lines)
    assert lines == await _lines(without, OTHER, url)
    await full.close()
    await without.close()


async def test_an_element_labelled_after_the_search_is_not_in_the_file(folder: Path) -> None:
    full, without = await two_clinics(folder)
    shown = {**bare(OBSERVATION), "note": [{"text": SECRET}]}
    await full.put(shown)
    job = await kick_off(full, OTHER, "$export?_type=Observation")
    [file] = (await manifest_of(full, OTHER, job))["output"]
    await full.put(OBSERVATION)
    assert SECRET not in str(await fetch(full, OTHER, file["url"]))
    assert SECRET in str(await _lines(full, HOUSE, "$export?_type=Observation"))
    await full.close()
    await without.close()
