"""Rotation of the key-encryption key: stopped anywhere it goes on, and a key that is needed is missed by its name."""

# ruff: noqa: ASYNC240, ASYNC220, ASYNC221  (child processes and small files are the point here)

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fhir_server.__main__ import main
from fhir_server.archive import open_archive
from fhir_server.crypto.choosing import key_provider
from fhir_server.crypto.keychain import Keychain
from fhir_server.crypto.providers.local import retire_file, rotate_file
from fhir_server.errors import WrongKeyError
from fhir_server.settings import Settings
from fhir_server.vault.rotation import Rotation

from ..clinic import HOUSE, Clinic, observation, open_clinic, patient

PATIENTS = 60
KEY = "consentry.key"


async def filled(folder: Path, patients: int = PATIENTS) -> Keychain:
    keys = key_provider(Settings(data=folder), may_create=True)
    clinic = await open_clinic(folder, keys=keys)
    await rotation(clinic, keys).begin()
    for number in range(patients):
        await clinic.put(patient(f"p{number}"))
    await clinic.put(observation("o", "p1", performer=[{"reference": "Patient/p2"}]))
    await clinic.close()
    return keys


def rotation(clinic: Clinic, keys: Keychain) -> Rotation:
    return Rotation(clinic.database.store, clinic.database.secrets, keys, "default")


def consentry(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "fhir_server", *map(str, arguments)]


def ran(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a thread of this process."""
    told, refused = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(told),
        contextlib.redirect_stderr(refused),
        ThreadPoolExecutor(1) as pool,
    ):
        code = pool.submit(main, [str(argument) for argument in arguments]).result()
    return subprocess.CompletedProcess(arguments, code, told.getvalue(), refused.getvalue())


async def opens(folder: Path) -> None:
    """Everything opens with the key file as it is."""
    keys = key_provider(Settings(data=folder), may_create=False)
    clinic = await open_clinic(folder, keys=keys)
    found = await clinic.all_pages(HOUSE, "Patient?_count=1000")
    assert len(found) == PATIENTS
    assert (await clinic.get(HOUSE, "Observation/o")).status == 200
    await clinic.close()


async def test_after_a_rotation_the_former_key_is_not_needed(tmp_path: Path) -> None:
    former = await filled(tmp_path)
    done = ran("keys", "rotate", "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the database needs no other now" in done.stdout
    keys = key_provider(Settings(data=tmp_path), may_create=False)
    assert keys.names != former.names
    assert len(keys.names) == 1
    (kept,) = tmp_path.glob(f"{KEY}.former-*")
    kept.unlink()
    await opens(tmp_path)


async def test_the_former_key_alone_is_refused_and_the_new_one_named(tmp_path: Path) -> None:
    await filled(tmp_path, 3)
    assert ran("keys", "rotate", "--data", tmp_path).returncode == 0
    current = key_provider(Settings(data=tmp_path), may_create=False).name
    (kept,) = tmp_path.glob(f"{KEY}.former-*")
    kept.replace(tmp_path / KEY)
    refused = ran("keys", "list", "--data", tmp_path)
    assert refused.returncode == 2
    assert current in refused.stderr
    served = subprocess.run(
        consentry("serve", "--data", tmp_path, "--port", "0"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert served.returncode == 2
    assert current in served.stderr


async def test_in_the_middle_both_keys_are_needed_and_the_missing_one_is_named(
    tmp_path: Path,
) -> None:
    former = await filled(tmp_path)
    rotate_file(tmp_path / KEY)
    keys = key_provider(Settings(data=tmp_path), may_create=False)
    clinic = await open_clinic(tmp_path, keys=keys)
    pages = 0

    def stop(_: int) -> None:
        nonlocal pages
        pages += 1
        raise asyncio.CancelledError

    with contextlib.suppress(asyncio.CancelledError):
        await rotation(clinic, keys).run(stop)
    await clinic.close()
    assert pages == 1
    await opens(tmp_path)
    retire_file(tmp_path / KEY)
    with pytest.raises(WrongKeyError, match=former.name):
        async with open_archive(Settings(data=tmp_path)):
            pass


async def test_a_rotation_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    await filled(tmp_path)
    chance = random.Random(7)
    for _ in range(6):
        child = subprocess.Popen(
            consentry("keys", "rotate", "--data", tmp_path), stdout=subprocess.DEVNULL
        )
        await asyncio.sleep(chance.uniform(0.3, 1.4))
        child.send_signal(signal.SIGKILL)
        child.wait()
        await opens(tmp_path)
    assert ran("keys", "rotate", "--data", tmp_path).returncode == 0
    assert len(key_provider(Settings(data=tmp_path), may_create=False).names) == 1
    await opens(tmp_path)


async def test_a_server_that_runs_goes_on_and_wraps_by_the_new_key(tmp_path: Path) -> None:
    await filled(tmp_path)
    keys = key_provider(Settings(data=tmp_path), may_create=False)
    clinic = await open_clinic(tmp_path, keys=keys)
    child = await asyncio.create_subprocess_exec(
        *consentry("keys", "rotate", "--data", tmp_path), stdout=subprocess.DEVNULL
    )
    number = 0
    while child.returncode is None:
        await clinic.put(patient(f"new{number}"))
        assert (await clinic.get(HOUSE, f"Patient/p{number % PATIENTS}")).status == 200
        number += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), 0.02)
    assert child.returncode == 0
    await clinic.put(patient("after"))
    await clinic.close()
    anew = key_provider(Settings(data=tmp_path), may_create=False)
    assert len(anew.names) == 1
    again = await open_clinic(tmp_path, keys=anew)
    found = await again.all_pages(HOUSE, "Patient?_count=1000")
    assert len(found) == PATIENTS + number + 1
    await again.close()


async def test_a_server_without_the_new_key_makes_no_key_and_reads_what_it_has(
    tmp_path: Path,
) -> None:
    """The key was given in a variable: this server can not learn of another."""
    keys = await filled(tmp_path)
    (held,) = keys._providers
    clinic = await open_clinic(tmp_path, keys=held)
    await clinic.vault.prepare()
    await clinic.get(HOUSE, "Patient/p1")
    assert ran("keys", "rotate", "--data", tmp_path).returncode == 0
    assert (await clinic.ask(HOUSE, "PUT", "Patient/new", patient("new"))).status == 503
    assert (await clinic.get(HOUSE, "Patient/p1")).status == 200
    await clinic.close()


async def test_the_list_counts_keys_and_names_nobody(tmp_path: Path) -> None:
    keys = await filled(tmp_path)
    listed = ran("keys", "list", "--data", tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert keys.name in listed.stdout
    assert "current" in listed.stdout
    assert "p1" not in listed.stdout


async def test_a_key_that_is_not_in_a_file_is_rotated_to_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)
    (tmp_path / KEY).rename(tmp_path / "old.key")
    monkeypatch.setenv("CONSENTRY_KEY", (tmp_path / "old.key").read_text().strip())
    nothing = ran("keys", "rotate", "--data", tmp_path)
    assert nothing.returncode == 2
    assert "nothing to rotate" in nothing.stderr
    key_provider(Settings(data=tmp_path / "other", key_file=str(tmp_path / "new")), may_create=True)
    monkeypatch.setenv("CONSENTRY_KEY", (tmp_path / "new").read_text().strip())
    monkeypatch.setenv("CONSENTRY_KEY_FORMER", f"file:{tmp_path / 'old.key'}")
    done = ran("keys", "rotate", "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.delenv("CONSENTRY_KEY_FORMER")
    assert ran("keys", "list", "--data", tmp_path).returncode == 0
