"""Resealing: what is read is the same before, meanwhile and afterwards, and the former keys are gone."""

# ruff: noqa: ASYNC220  (child processes are the point here)

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from pathlib import Path

import pytest

from fhir_server.crypto.choosing import key_provider
from fhir_server.settings import Settings
from fhir_server.vault.resealing import Resealer

from ..clinic import HOUSE, Clinic, consent, observation, open_clinic, patient
from .test_rotation import consentry, ran

NOW = 2_000_000_000_000
URLS = (
    "Patient/a",
    "Patient/a/_history",
    "Observation/a-0/_history",
    "Observation/a-0/_history/1",
    "Observation?subject=Patient/a&_sort=_id",
    "Observation/both",
    "Observation/both/_history/1",
    "Observation/b-1",
    "Organization/o",
    "Consent?patient=Patient/a",
    "Patient/a/$everything",
)


async def fill(clinic: Clinic) -> None:
    await clinic.put({"resourceType": "Organization", "id": "o", "name": "Ours"})
    for id_ in ("a", "b"):
        await clinic.put(patient(id_, name=[{"family": f"Family-{id_}"}]))
        for number in range(6):
            await clinic.put(observation(f"{id_}-{number}", id_))
        await clinic.put(observation(f"{id_}-0", id_, note=[{"text": "v2"}]))
        await clinic.ask(HOUSE, "DELETE", f"Observation/{id_}-5")
    both = {"performer": [{"reference": "Patient/a"}]}
    await clinic.put(observation("both", "b", **both))
    await clinic.put(observation("both", "b", note=[{"text": "v2"}], **both))
    await clinic.put(consent("c", "a", "permit"))


async def answers(clinic: Clinic) -> list[tuple[int, bytes]]:
    found = []
    for url in URLS:
        answer = await clinic.get(HOUSE, url)
        body = answer.json
        for varying in ("id", "meta", "link") if body["resourceType"] == "Bundle" else ():
            body.pop(varying, None)
        found.append((answer.status, str(body).encode()))
    return found


def keys_of(clinic: Clinic, reference: str) -> list[int]:
    """Of each of the keys of an owner, oldest first, whether it is alive."""
    owner = clinic.vault.blind.patient(reference)
    query = "SELECT length(wrapped) > 17 FROM data_key WHERE owner = ? ORDER BY rowid"
    return [alive for (alive,) in clinic.sql(query, (owner,))]


async def reseal(clinic: Clinic, reference: str = "", now: int = NOW) -> int:
    resealer = Resealer(clinic.vault)
    owner = clinic.vault.blind.patient(reference) if reference else None
    return (await resealer.run(await resealer.begin(owner, now), lambda *_: None)).kept


@pytest.mark.parametrize("whom", ["Patient/a", ""])
async def test_everything_reads_the_same_and_the_former_key_is_destroyed(
    clinic: Clinic, whom: str
) -> None:
    await fill(clinic)
    size = clinic.log_size()
    before, told = await answers(clinic), (await clinic.audits())[:size]
    assert await reseal(clinic, whom) == 0
    assert await answers(clinic) == before
    assert (await clinic.audits())[:size] == told
    assert keys_of(clinic, "Patient/a") == [0, 1]
    assert keys_of(clinic, "Patient/b") == ([1] if whom else [0, 1])
    assert keys_of(clinic, "type:Organization") == ([1] if whom else [0, 1])
    started_anew = await open_clinic(clinic.path.parent)
    assert await answers(started_anew) == before
    await started_anew.close()


async def test_no_seal_of_the_former_key_stays(clinic: Clinic) -> None:
    await fill(clinic)
    owner = clinic.vault.blind.patient("Patient/a")
    [(former,)] = clinic.sql("SELECT id FROM data_key WHERE owner = ?", (owner,))
    await reseal(clinic, "Patient/a")
    left = clinic.sql("SELECT key_id, wraps FROM version")
    assert not [1 for key_id, wraps in left if key_id == former or former in wraps]


async def test_the_log_still_verifies_and_a_receipt_could_be_made(clinic: Clinic) -> None:
    from anchoring.log.commitment import check_commitment
    from fhir_server.evidence import stored_events

    await fill(clinic)
    await reseal(clinic)
    async with clinic.vault.reading() as reader:
        for event in await stored_events(reader, 0, clinic.log_size()):
            assert event.event is not None
            assert event.k is not None
            check_commitment(event.commitment, event.event, event.k)


async def test_who_reads_and_writes_meanwhile_sees_nothing_of_it(clinic: Clinic) -> None:
    await fill(clinic)
    for each in range(150):
        await clinic.put(observation(f"b-more-{each}", "b"))
    before = await answers(clinic)
    job = asyncio.create_task(reseal(clinic))
    number = 0
    while not job.done():
        assert await answers(clinic) == before
        await clinic.put({**observation(f"new-{number}", "b"), "status": "amended"})
        await clinic.put(patient(f"new-{number}"))
        number += 1
        await asyncio.sleep(0)
    assert await job == 0
    assert number >= 1
    assert await answers(clinic) == before
    for each in range(number):
        assert (await clinic.get(HOUSE, f"Observation/new-{each}")).status == 200
        assert (await clinic.get(HOUSE, f"Patient/new-{each}")).status == 200


async def test_another_process_reads_and_writes_rightly_at_once(clinic: Clinic) -> None:
    """It keeps the former keys in memory, and must not seal by them."""
    await fill(clinic)
    other = await open_clinic(clinic.path.parent)
    before = await answers(other)
    await reseal(clinic)
    assert await answers(other) == before
    await other.put(observation("of-other", "a"))
    assert (await clinic.get(HOUSE, "Observation/of-other")).status == 200
    await reseal(clinic, now=NOW + 1)
    assert (await other.get(HOUSE, "Observation/of-other")).status == 200
    await other.close()


async def test_a_version_that_does_not_open_keeps_the_former_keys(clinic: Clinic) -> None:
    await fill(clinic)
    await clinic.close()
    newest = "(SELECT max(rid) FROM record WHERE type = 'Observation')"
    clinic.sql(f"UPDATE version SET sealed = randomblob(300) WHERE rid = {newest}")
    again = await open_clinic(clinic.path.parent)
    assert await reseal(again) >= 1
    assert keys_of(again, "Patient/a") == [1, 1]
    assert (await again.get(HOUSE, "Observation/a-1")).status == 200
    await again.close()


async def test_a_damaged_key_stays_and_keeps_nobody_from_a_new_one(clinic: Clinic) -> None:
    await fill(clinic)
    owner = clinic.vault.blind.patient("Patient/a")
    await clinic.close()
    clinic.sql("UPDATE data_key SET wrapped = randomblob(1184) WHERE owner = ?", (owner,))
    again = await open_clinic(clinic.path.parent)
    await reseal(again)
    assert keys_of(again, "Patient/a") == [1]
    assert (await again.get(HOUSE, "Patient/b")).status == 200
    assert (await again.get(HOUSE, "Observation/b-0/_history")).json["total"] == 2
    await again.close()


async def test_an_erasure_in_the_middle_erases_and_the_rest_goes_on(clinic: Clinic) -> None:
    await fill(clinic)
    resealer = Resealer(clinic.vault)
    job = await resealer.begin(None, NOW)
    await resealer._make_keys(job)
    assert (await clinic.ask(HOUSE, "POST", "Patient/a/$erase")).status == 200
    assert (await resealer.run(job, lambda *_: None)).kept == 0
    assert not any(keys_of(clinic, "Patient/a"))
    assert (await clinic.get(HOUSE, "Patient/a")).status == 404
    assert keys_of(clinic, "Patient/b") == [0, 1]
    assert (await clinic.get(HOUSE, "Observation/both/_history")).json["total"] == 2


async def test_a_backup_from_before_resealing_is_erased_with_the_patient(clinic: Clinic) -> None:
    """The list of erasures names former keys, too."""
    await fill(clinic)
    owner = clinic.vault.blind.patient("Patient/a")
    await reseal(clinic)
    keys = clinic.sql("SELECT id FROM data_key WHERE owner = ?", (owner,))
    await clinic.ask(HOUSE, "POST", "Patient/a/$erase")
    listed = (clinic.path.parent / "consentry.key.erased").read_text()
    assert len(keys) == 2
    assert all(clinic.vault.blind.erased(id_) in listed for (id_,) in keys)


async def test_a_job_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    keys = key_provider(Settings(data=tmp_path), may_create=True)
    clinic = await open_clinic(tmp_path, keys=keys)
    await fill(clinic)
    for number in range(300):
        await clinic.put(observation(f"more-{number}", "a"))
    before = await answers(clinic)
    await clinic.close()
    chance = random.Random(11)
    for _ in range(5):
        child = subprocess.Popen(
            consentry("keys", "reseal", "--all", "--data", tmp_path), stdout=subprocess.DEVNULL
        )
        await asyncio.sleep(chance.uniform(0.9, 1.9))
        child.send_signal(signal.SIGKILL)
        child.wait()
        again = await open_clinic(tmp_path, keys=keys)
        assert await answers(again) == before
        await again.close()
    done = ran("keys", "reseal", "--patient", "Patient/a", "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    again = await open_clinic(tmp_path, keys=keys)
    assert await answers(again) == before
    assert keys_of(again, "Patient/a").count(1) == 1
    await again.close()
    checked = ran("check", "--data", tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_a_patient_who_is_not_there_is_refused(tmp_path: Path) -> None:
    async def make() -> None:
        keys = key_provider(Settings(data=tmp_path), may_create=True)
        await (await open_clinic(tmp_path, keys=keys)).close()

    asyncio.run(make())
    refused = ran("keys", "reseal", "--patient", "Patient/nobody", "--data", tmp_path)
    assert (refused.returncode, "no such patient" in refused.stderr) == (2, True)
