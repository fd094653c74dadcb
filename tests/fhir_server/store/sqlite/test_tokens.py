"""The index of AuditEvents runs a moment behind: whoever pulls the plug in that moment loses nothing of it."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_server.app import House, close_house, open_house
from fhir_server.settings import Settings
from fhir_server.store.opening import DATABASE_FILE

from ...clinic import HOUSE, OVERSEER, Clinic, patient


async def _clinic(settings: Settings) -> tuple[House, Clinic]:
    house = await open_house(settings)
    clinic = Clinic(house.database, house.vault, house.pipeline, settings.data / DATABASE_FILE)
    clinic.pipeline = replace(house.pipeline, smart=clinic)  # type: ignore[arg-type]
    clinic.caller(HOUSE)
    clinic.caller(OVERSEER, purposes=("HOPERAT",))
    return house, clinic


@pytest.mark.parametrize("requests", [1, 40, 300])
async def test_every_audit_record_is_found_after_the_plug_was_pulled(
    folder: Path, requests: int
) -> None:
    settings = Settings(data=folder / "before")
    house, clinic = await _clinic(settings)
    await clinic.put(patient("a"))
    await asyncio.gather(*(clinic.get(HOUSE, "Patient/a") for _ in range(requests)))
    shutil.copytree(settings.data, folder / "after")  # as the disk is at this instant
    await close_house(house)
    house, clinic = await _clinic(replace(settings, data=folder / "after"))
    written = clinic.log_size()
    assert written >= requests + 1
    answer = await clinic.get(OVERSEER, "AuditEvent?patient=Patient/a&_count=0")
    assert answer.json["total"] == written
    await close_house(house)
