"""An erasure that is stopped anywhere, by an error or by SIGKILL, is finished before anybody is served."""

# ruff: noqa: ASYNC220  (child processes are the point here)

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from pathlib import Path

import pytest

from fhir_server.__main__ import main
from fhir_server.crypto.choosing import key_provider
from fhir_server.crypto.provider import KeyProvider
from fhir_server.errors import KeyProviderUnavailableError, SettingsError
from fhir_server.settings import Settings
from fhir_server.vault.ledger import Ledger

from ..clinic import HOUSE, Clinic, observation, open_clinic, patient
from ..vault.test_keyring import Wavering
from ..vault.test_rotation import consentry, ran


class CrashError(Exception):
    """What stops an erasure in these tests."""


async def fill(clinic: Clinic, records: int = 70) -> None:
    for id_ in ("a", "b"):
        await clinic.put(patient(id_, name=[{"family": f"Family-{id_}"}]))
        for number in range(records):
            await clinic.put(observation(f"{id_}-{number}", id_))
        await clinic.ask(HOUSE, "DELETE", f"Observation/{id_}-1")
    await clinic.put(observation("both", "b", performer=[{"reference": "Patient/a"}]))
    await clinic.put(observation("both", "b"))


async def is_erased(clinic: Clinic, records: int = 70) -> None:
    owner = clinic.vault.blind.patient("Patient/a")
    async with clinic.vault.reading() as reader:
        assert not any(key.living for key in await reader.keys.of(owner))
        assert await reader.notes.load("erasing|") == {}
    for url in ("Patient/a", "Observation/a-0", "Observation/a-1"):
        assert (await clinic.get(HOUSE, url)).status == 404, url
    assert (await clinic.get(HOUSE, "Observation?subject=Patient/a")).json["total"] == 0
    found = await clinic.get(HOUSE, "Observation?subject=Patient/b&_summary=count")
    assert found.json["total"] == records
    assert (await clinic.get(HOUSE, "Observation/both/_history")).json["total"] == 2
    told = [e for e in await clinic.audits() if e["type"]["code"] == "destroy"]
    assert len(told) == 1
    again = await clinic.ask(HOUSE, "POST", "Patient/a/$erase")
    assert again.status == 200
    assert (await clinic.put(patient("a"))).status == 201


class Crashing:
    """A store whose n-th unit of work fails, when it begins or instead of being committed."""

    def __init__(self, clinic: Clinic, number: int, *, late: bool) -> None:
        self._writing = clinic.vault._store.writing
        self._left = number
        self._late = late

    def writing(self) -> object:
        return self

    async def __aenter__(self) -> object:
        self._left -= 1
        if self._left < 0 and not self._late:
            raise CrashError
        self._inner = self._writing()
        return await self._inner.__aenter__()

    async def __aexit__(self, *error: object) -> object:
        if self._left < 0 and error[0] is None:
            await self._inner.__aexit__(CrashError, CrashError(), None)
            raise CrashError
        return await self._inner.__aexit__(*error)  # type: ignore[arg-type]


@pytest.mark.parametrize("late", [False, True])
async def test_stopped_at_any_unit_of_work_it_is_finished_at_the_next_start(
    folder: Path, late: bool
) -> None:
    number, told = 0, set[tuple[int, int]]()
    while True:
        here = folder / str(number)
        here.mkdir()
        clinic = await open_clinic(here)
        await fill(clinic, 34)
        crashing = Crashing(clinic, number, late=late)
        clinic.vault._store = _with(clinic, crashing)
        try:
            done = await clinic.pipeline.tools.erasures.erase("Patient/a", "test", 1)
            break
        except CrashError:
            pass
        finally:
            await clinic.close()
        again = await open_clinic(here)
        if number == 0:  # not even the demand was durable
            assert (await again.get(HOUSE, "Patient/a")).status == 200
        else:
            (noted,) = await again.pipeline.tools.erasures.done()
            told.add((noted.buried, noted.shared))
            await is_erased(again, 34)
        await again.close()
        number += 1
    assert number > 8
    assert told == {(done.buried, done.shared)}  # whatever was done before it was stopped


def _with(clinic: Clinic, crashing: Crashing) -> object:
    store = clinic.database.store

    class Patched:
        reading = store.reading
        writing = crashing.writing

    return Patched()


async def test_stopped_between_the_list_and_the_keys_it_is_finished(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(clinic)
    add = Ledger.add

    def crash(ledger: Ledger, entries: tuple[str, ...]) -> frozenset[str]:
        add(ledger, entries)
        raise CrashError

    monkeypatch.setattr(Ledger, "add", crash)
    with pytest.raises(CrashError):
        await clinic.pipeline.tools.erasures.erase("Patient/a", "test", 1)
    monkeypatch.undo()
    await clinic.close()
    again = await open_clinic(clinic.path.parent)
    await is_erased(again)
    await again.close()


async def test_two_processes_that_erase_at_once_do_it_once(clinic: Clinic) -> None:
    await fill(clinic)
    other = await open_clinic(clinic.path.parent)
    one, two = await asyncio.gather(
        *(each.pipeline.tools.erasures.erase("Patient/a", "test", 1) for each in (clinic, other))
    )
    assert one == two
    await other.close()
    await is_erased(clinic)


async def test_a_list_that_can_not_be_written_leaves_the_keys_until_it_can(clinic: Clinic) -> None:
    await fill(clinic)
    ledger = clinic.path.parent / "consentry.key.erased"
    ledger.rename(ledger.with_name("away"))
    answer = await clinic.ask(HOUSE, "POST", "Patient/a/$erase")
    assert answer.status == 500
    owner = clinic.vault.blind.patient("Patient/a")
    async with clinic.vault.reading() as reader:
        assert any(key.living for key in await reader.keys.of(owner))
    await clinic.close()
    with pytest.raises(SettingsError, match="missing"):
        await open_clinic(clinic.path.parent)
    ledger.with_name("away").rename(ledger)
    again = await open_clinic(clinic.path.parent)
    await is_erased(again)
    await again.close()


async def test_without_the_key_provider_an_erasure_waits(clinic: Clinic) -> None:
    await fill(clinic)
    await clinic.close()
    keys = Wavering()
    again = await open_clinic(clinic.path.parent, keys=_typed(keys))
    await again.vault.prepare()
    keys.down = True
    assert (await again.ask(HOUSE, "POST", "Patient/a/$erase")).status == 503
    await again.close()
    with pytest.raises(KeyProviderUnavailableError):
        await open_clinic(clinic.path.parent, keys=_typed(keys))
    keys.down = False
    last = await open_clinic(clinic.path.parent, keys=_typed(keys))
    await is_erased(last)
    await last.close()


def _typed(keys: KeyProvider) -> KeyProvider:
    return keys


async def test_killed_anywhere_it_is_finished_at_the_next_start(tmp_path: Path) -> None:
    keys = key_provider(Settings(data=tmp_path), may_create=True)
    clinic = await open_clinic(tmp_path, keys=keys)
    await fill(clinic, 400)
    await clinic.close()
    chance = random.Random(5)
    for _ in range(4):
        child = subprocess.Popen(
            consentry("erase", "Patient/a", "--yes", "--data", tmp_path), stdout=subprocess.DEVNULL
        )
        await asyncio.sleep(chance.uniform(1.2, 2.6))
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = ran("erase", "Patient/a", "--yes", "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    checked = ran("check", "--data", tmp_path)
    assert checked.returncode == 0, checked.stdout
    again = await open_clinic(tmp_path, keys=keys)
    await is_erased(again, 400)
    await again.close()


def test_the_command_says_what_it_did_and_refuses_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opened() -> Clinic:
        return await open_clinic(
            tmp_path, keys=key_provider(Settings(data=tmp_path), may_create=True)
        )

    async def filled() -> None:
        clinic = await opened()
        await fill(clinic, 3)
        await clinic.close()

    async def erased() -> None:
        clinic = await opened()
        await is_erased(clinic, 3)
        await clinic.close()

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(["erase", *arguments, "--data", str(tmp_path)])
        return (code, *capsys.readouterr())

    asyncio.run(filled())
    for wrong in ("Patient/nobody", "Observation/a-0", "a", "Patient/a/_history"):
        code, _, said = command(wrong, "--yes")
        assert (code, len(said.splitlines())) == (2, 1), wrong
    monkeypatch.setattr("builtins.input", lambda _: "no")
    assert "nothing was erased" in command("Patient/a")[2]
    assert "not anchored" in command("Patient/a", "--yes", "--receipt", str(tmp_path / "r"))[2]
    code, told, _ = command("Patient/a", "--yes")
    assert (code, "AuditEvent/" in told) == (0, True)
    asyncio.run(erased())
