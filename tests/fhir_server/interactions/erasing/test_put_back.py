"""A database that was put back from before an erasure, and then used by commands before a server starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fhir_server.crypto.choosing import key_provider
from fhir_server.settings import Settings

from ...clinic import HOUSE, ON_MONGO, Clinic, observation, open_clinic, patient
from ...vault.test_rotation import ran

FILES = ("consentry.sqlite", "consentry.sqlite-wal", "consentry.sqlite-shm")
pytestmark = pytest.mark.skipif(ON_MONGO, reason="files of SQLite are put back")


async def opened(folder: Path) -> Clinic:
    return await open_clinic(folder, keys=key_provider(Settings(data=folder), may_create=True))


@pytest.fixture
async def restored(tmp_path: Path) -> Path:
    """A folder with patients a, b and c; a was erased, then the database was put back from before."""
    clinic = await opened(tmp_path)
    for id_ in "abc":
        await clinic.put(patient(id_))
        await clinic.put(observation(f"{id_}-1", id_))
    await clinic.close()
    for name in FILES:
        if (tmp_path / name).exists():
            shutil.copy(tmp_path / name, tmp_path / f"{name}.before")
    clinic = await opened(tmp_path)
    assert (await clinic.ask(HOUSE, "POST", "Patient/a/$erase")).status == 200
    await clinic.close()
    for name in FILES:
        (tmp_path / name).unlink(missing_ok=True)
        if (tmp_path / f"{name}.before").exists():
            (tmp_path / f"{name}.before").rename(tmp_path / name)
    return tmp_path


async def shown(folder: Path) -> list[str]:
    """Which of the patients a server shows that starts now."""
    clinic = await opened(folder)
    found = await clinic.get(HOUSE, "Patient?_sort=_id")
    for id_ in "abc":
        status = (await clinic.get(HOUSE, f"Observation/{id_}-1")).status
        assert (status == 200) is (f"Patient/{id_}" in found.references)
    await clinic.close()
    return found.references


async def test_it_is_erased_again(restored: Path) -> None:
    assert await shown(restored) == ["Patient/b", "Patient/c"]


async def test_it_is_erased_again_after_another_is_erased_first(restored: Path) -> None:
    done = ran("erase", "Patient/b", "--yes", "--data", restored)
    assert done.returncode == 0, done.stderr
    assert await shown(restored) == ["Patient/c"]


async def test_it_is_erased_again_after_all_was_sealed_anew_first(restored: Path) -> None:
    done = ran("keys", "reseal", "--all", "--data", restored)
    assert done.returncode == 0, done.stderr
    assert await shown(restored) == ["Patient/b", "Patient/c"]


async def test_who_was_erased_and_came_back_stays_when_another_list_is_read(restored: Path) -> None:
    clinic = await opened(restored)
    await clinic.put(patient("a"))
    await clinic.put(observation("a-1", "a"))
    await clinic.close()
    lists = restored / "consentry.key.erased"
    entry = "0" * 32
    assert len(lists.read_text().splitlines()[-1]) == len(entry)
    with lists.open("a") as file:  # as another server of this database would add
        file.write(entry + "\n")
    assert await shown(restored) == ["Patient/a", "Patient/b", "Patient/c"]
