"""``consentry check`` on MongoDB: the same walk, a snapshot for each step."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from fhir_server.__main__ import main
from fhir_server.crypto.providers.local import LocalKeyProvider, new_key_material
from tests import mongo_server
from tests.fhir_server import clinic as clinics
from tests.fhir_server.clinic import HOUSE, observation, open_clinic, patient
from tests.fhir_server.large_documents import pattern, sent

pytestmark = mongo_server.needs_mongo
Check = Callable[[], tuple[int, str]]


async def _fill(folder: Path, material: bytes) -> None:
    clinic = await open_clinic(folder, keys=LocalKeyProvider(material))
    for id_ in "pq":
        await clinic.put(patient(id_))
    for number in range(12):
        await clinic.put(observation(f"o{number}", "p"))
    await clinic.put(observation("o1", "p", code="1-1"))
    await clinic.ask(HOUSE, "DELETE", "Observation/o2")
    await clinic.put(observation("both", "p", performer=[{"reference": "Patient/q"}]))
    await sent(clinic, pattern(500_000), context="Patient/q")
    await clinic.ask(HOUSE, "POST", "Patient/q/$erase")
    await clinic.close()


@pytest.fixture
def check(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """A filled MongoDB, to be checked: the exit code and what was said."""
    monkeypatch.setattr(clinics, "ON_MONGO", True)
    monkeypatch.setattr("fhir_server.commands.check._STEP", 7)
    material = new_key_material()
    asyncio.run(_fill(folder, material))
    monkeypatch.setenv("CONSENTRY_STORE", mongo_server.url(folder))
    monkeypatch.setenv("CONSENTRY_KEY", b64encode(material).decode())
    monkeypatch.setenv("COLUMNS", "300")

    def checked() -> tuple[int, str]:
        code = main(["check", "--data", str(folder)])
        return code, capsys.readouterr().out

    return checked


def test_nothing_is_found_where_nothing_is_wrong(check: Check) -> None:
    code, said = check()
    assert code == 0, said
    assert "0 findings" in said


def test_what_was_changed_is_found(check: Check, folder: Path) -> None:
    url = mongo_server.url(folder)
    with MongoClient[dict[str, object]](url) as client:
        database = client[urlsplit(url).path.strip("/")]
        living = [
            each["_id"]
            for each in database["record"].find({"type": "Observation", "live": True}).sort("rid")
        ]
        changes = (
            {"sealed": b"\x01" + bytes(300)},
            {"tokens": []},
            {"version": 7},
        )
        for id_, change in zip(living, changes, strict=False):
            database["record"].update_one({"_id": id_}, {"$set": change})
    code, said = check()
    assert code == 1
    for words in ("version 1: authentication tag", "tokens are not in the index", "have a gap"):
        assert words in said
    assert "Patient/p" not in said
