"""A data folder with records, a document and anchors, and a backup of it."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fhir_server.commands.backup import back_up
from fhir_server.crypto.providers.local import LocalKeyProvider, new_key_material
from fhir_server.settings import Settings
from tests.fhir_server.clinic import observation, open_clinic, patient
from tests.fhir_server.commands.folders import DOCUMENT, NAME, QUIET, anchor
from tests.fhir_server.large_documents import sent


@pytest.fixture(scope="module")
def material() -> bytes:
    return new_key_material()


@pytest.fixture(scope="module")
def original(material: bytes, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data folder with records, a document and anchors."""
    data = tmp_path_factory.mktemp("original") / "data"
    settings = Settings(data=data, key=b64encode(material).decode(), anchor_interval=timedelta())
    data.mkdir()
    asyncio.run(_fill(data, material))
    asyncio.run(anchor(settings))
    return settings


async def _fill(data: Path, material: bytes) -> None:
    clinic = await open_clinic(data, keys=LocalKeyProvider(material))
    await clinic.put(patient("p", name=[{"family": NAME}]))
    for number in range(20):
        await clinic.put(observation(f"o{number}", "p"))
    await sent(clinic, DOCUMENT, url="Binary/d", method="PUT", context="Patient/p")
    await clinic.close()


@pytest.fixture(scope="module")
def made(original: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("backups") / "monday.backup"
    back_up(original, target, QUIET)
    return target


@pytest.fixture
def empty(original: Settings, tmp_path: Path) -> Settings:
    """Settings for a folder to restore into."""
    return replace(original, data=tmp_path / "restored")
