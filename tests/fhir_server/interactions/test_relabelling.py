"""Relabelling brings what was written under other rules under those that hold, and may be stopped anywhere."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from consent_engine import LabelRules, builtin_rules
from fhir_server.interactions import relabelling
from fhir_server.interactions.labelling import Labelling
from fhir_server.interactions.relabelling import Maker, Relabelled, Relabeller
from profiles.definitions import r4

from ..clinic import (
    BASE,
    CUSTODIAN,
    HOUSE,
    OTHER,
    OVERSEER,
    SECURITY,
    Clinic,
    Json,
    observation,
    open_clinic,
    patient,
    sharing,
)
from .test_labelling import AUDIT_C, HIV_LOAD, labels


def rules(*texts: str) -> LabelRules:
    made = LabelRules()
    for text in texts:
        made.add(text, str)
    return made


def labelling(clinic: Clinic, *texts: str) -> Labelling:
    return Labelling(rules(*texts), CUSTODIAN, clinic.pipeline.tools.administrative)


def relabeller(clinic: Clinic, *texts: str) -> Relabeller:
    def now() -> int:
        return int(clinic.now.timestamp() * 1000)

    maker = Maker(BASE, CUSTODIAN, lambda: str(uuid.uuid4()), secrets.token_bytes, now)
    made = labelling(clinic, *texts)
    return Relabeller(clinic.vault, made, clinic.pipeline.tools.tokenizer, maker)


async def run(clinic: Clinic, *texts: str) -> Relabelled:
    return await relabeller(clinic, *texts).run(sorted(r4().resource_types), lambda _: None)


@pytest.fixture
async def unlabelled(folder: Path) -> AsyncIterator[Clinic]:
    """Written under no rule; OTHER may see what is not about substance use."""
    clinic = await open_clinic(folder)
    plain = labelling(clinic)
    clinic.pipeline = replace(
        clinic.pipeline, tools=replace(clinic.pipeline.tools, labelling=plain)
    )
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("drink", "a", AUDIT_C))
    await clinic.put(observation("hiv", "a", HIV_LOAD))
    await clinic.put(observation("pulse", "a"))
    own = {"security": [{"system": SECURITY, "code": "MH"}]}
    await clinic.put(observation("own", "a", AUDIT_C, meta=own))
    yield clinic
    await clinic.close()


async def observations(clinic: Clinic) -> dict[str, Json]:
    return {r["id"]: r for r in await clinic.all_pages(HOUSE, "Observation?_count=2")}


async def test_records_get_the_labels_of_the_rules_each_as_a_version_of_its_own(
    unlabelled: Clinic,
) -> None:
    done = await run(unlabelled, builtin_rules())
    assert (done.looked_at, done.changed, done.closed) == (5, 3, 0)
    found = await observations(unlabelled)
    assert {id_: labels(each) for id_, each in found.items()} == {
        "drink": [("ETHUD", True), ("R", True)],
        "hiv": [("HIV", True), ("R", True)],
        "pulse": [],
        "own": [("MH", False), ("ETHUD", True), ("R", True)],
    }
    versions = {id_: each["meta"]["versionId"] for id_, each in found.items()}
    assert versions == {"drink": "2", "hiv": "2", "pulse": "1", "own": "2"}
    older = await unlabelled.get(HOUSE, "Observation/drink/_history/1")
    assert labels(older.json) == []


async def test_consent_decides_by_them_for_the_next_request(unlabelled: Clinic) -> None:
    assert (await unlabelled.get(OTHER, "Observation/drink")).status == 200
    await run(unlabelled, builtin_rules())
    assert (await unlabelled.get(OTHER, "Observation/drink")).status == 404
    assert (await unlabelled.get(OTHER, "Observation/drink/_history/1")).status == 404
    assert (await unlabelled.get(OTHER, "Observation/hiv")).status == 200


async def test_they_can_be_searched_for_and_what_has_gone_can_not(unlabelled: Clinic) -> None:
    await run(unlabelled, builtin_rules())
    found = await unlabelled.get(HOUSE, "Observation?_security=ETHUD")
    assert {r["id"] for r in found.resources} == {"drink", "own"}
    await run(unlabelled)
    found = await unlabelled.get(HOUSE, "Observation?_security=ETHUD")
    assert found.resources == []
    assert labels((await observations(unlabelled))["own"]) == [("MH", False)]


async def test_a_second_time_nothing_changes(unlabelled: Clinic) -> None:
    await run(unlabelled, builtin_rules())
    before = unlabelled.log_size()
    assert (await run(unlabelled, builtin_rules())).changed == 0
    assert unlabelled.log_size() == before


async def test_the_patient_can_read_of_each_change_and_it_has_a_place_in_the_log(
    unlabelled: Clinic,
) -> None:
    before = unlabelled.log_size()
    await run(unlabelled, builtin_rules())
    events = await unlabelled.audits(before)
    assert [event["outcomeDesc"] for event in events] == [relabelling._STATEMENT] * 3
    found = await unlabelled.get(OVERSEER, "AuditEvent?patient=Patient/a&action=U&_count=0")
    assert found.json["total"] >= 3
    assert "Observation/drink/_history/2" in str(events)


async def test_a_job_that_was_stopped_goes_on_and_one_of_other_rules_begins_anew(
    unlabelled: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relabelling, "_UNIT", 1)
    types = sorted(r4().resource_types)
    seen: list[Relabelled] = []

    def stop(job: Relabelled) -> None:
        seen.append(job)
        if job.changed == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await relabeller(unlabelled, builtin_rules()).run(types, stop)
    other = '{"version": 1, "rules": []}'
    again: list[Relabelled] = []
    done = await relabeller(unlabelled, builtin_rules()).run(types, again.append)
    assert again[0].looked_at > seen[-1].looked_at - 1
    assert (done.looked_at, done.changed) == (5, 3)
    assert (await run(unlabelled, builtin_rules(), other)).looked_at == 5


async def test_what_does_not_open_is_counted_and_left(unlabelled: Clinic) -> None:
    unlabelled.sql(
        "UPDATE version SET sealed = zeroblob(length(sealed)) WHERE rid ="
        " (SELECT max(rid) FROM version WHERE type = 'Observation')"
    )
    done = await run(unlabelled, builtin_rules())
    assert (done.changed, done.closed) == (2, 1)
