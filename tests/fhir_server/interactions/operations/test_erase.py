"""``Patient/[id]/$erase``: afterwards nothing of the patient opens, and the others have all that is theirs."""

from __future__ import annotations

import json
import sqlite3

import pytest

from ...clinic import (
    HOUSE,
    OTHER,
    OVERSEER,
    Clinic,
    Json,
    consent,
    observation,
    open_clinic,
    patient,
)

ERASE = "Patient/a/$erase"


@pytest.fixture
async def filled(clinic: Clinic) -> Clinic:
    """Two patients with a chart, and records that belong to both."""
    for id_ in ("a", "b"):
        await clinic.put(patient(id_, name=[{"family": f"Family-{id_}"}]))
        for number in range(3):
            await clinic.put(observation(f"{id_}-{number}", id_, note=[{"text": f"v1 of {id_}"}]))
        await clinic.put(observation(f"{id_}-0", id_, note=[{"text": f"v2 of {id_}"}]))
        await clinic.ask(HOUSE, "DELETE", f"Observation/{id_}-2")
    await clinic.put(observation("both", "b", performer=[{"reference": "Patient/a"}]))
    await clinic.put(
        observation("both", "b", performer=[{"reference": "Patient/a"}], note=[{"text": "v2"}])
    )
    await clinic.put(observation("was-both", "b", performer=[{"reference": "Patient/a"}]))
    await clinic.put(observation("was-both", "b"))
    await clinic.get(HOUSE, "Patient/a")
    return clinic


async def erase(clinic: Clinic, who: str = HOUSE, url: str = ERASE) -> Json:
    answer = await clinic.ask(who, "POST", url)
    assert answer.status == 200, answer.body
    found: Json = {}
    for parameter in answer.json["parameter"]:
        value = next(v for name, v in parameter.items() if name != "name")
        found[parameter["name"]] = value
    return found


async def again(clinic: Clinic) -> Clinic:
    """The same server started anew."""
    await clinic.close()
    return await open_clinic(clinic.path.parent)


async def is_gone(clinic: Clinic) -> None:
    """Nobody finds anything of patient a, by any way."""
    for who in (HOUSE, OVERSEER):
        for url in (
            "Patient/a",
            "Observation/a-0",
            "Observation/a-2",
            "Observation/a-0/_history/1",
        ):
            assert (await clinic.get(who, url)).status == 404, url
        for url in ("Patient/a/_history", "Observation/a-1/_history", "Patient/a/$everything"):
            assert (await clinic.get(who, url)).status == 404, url
        for url in (
            "Patient?_id=a", "Patient?family=Family-a", "Observation?subject=Patient/a",
            "Observation?subject:Patient.family=Family-a", "Patient?_has:Observation:subject:_id=a-0",
        ):  # fmt: skip
            answer = await clinic.get(who, url)
            assert (answer.status, answer.json.get("total", 0)) == (200, 0), url
        # what belongs to others names her still
        assert set((await clinic.get(who, "Patient/a/Observation")).references) <= {
            "Observation/both"
        }
        for url in (
            "Observation/_history?_count=1000",
            "Patient/_history",
            "Observation?_count=1000",
        ):
            found = json.dumps((await clinic.get(who, url)).json["entry"])
            assert "of a" not in found
            assert "Family-a" not in found
    events = await clinic.all_pages(OVERSEER, "AuditEvent?_count=1000")
    before = [e for e in events if e["type"]["code"] != "destroy" and "Patient/a" in json.dumps(e)]
    assert before == []


async def others_are_there(clinic: Clinic) -> None:
    assert (await clinic.get(HOUSE, "Patient/b")).json["name"] == [{"family": "Family-b"}]
    assert (await clinic.get(HOUSE, "Observation/b-0/_history")).json["total"] == 2
    found = await clinic.get(HOUSE, "Observation?subject=Patient/b&_sort=_id")
    assert [r.partition("/")[2] for r in found.references] == ["b-0", "b-1", "both", "was-both"]
    assert (await clinic.get(HOUSE, "Observation/both/_history")).json["total"] == 2
    assert (await clinic.get(HOUSE, "Observation/both/_history/1")).status == 200
    assert (await clinic.get(HOUSE, "Observation/was-both/_history/1")).status == 200


async def test_after_an_erasure_nothing_of_the_patient_is_found_and_the_others_have_theirs(
    filled: Clinic,
) -> None:
    told = await erase(filled)
    assert told["records"] >= 10
    assert told["sharedVersions"] == 3
    await is_gone(filled)
    await others_are_there(filled)
    started_anew = await again(filled)
    await is_gone(started_anew)
    await others_are_there(started_anew)
    await started_anew.close()


async def test_no_token_of_the_patient_and_no_seal_stays(filled: Clinic) -> None:
    await filled.get(HOUSE, "AuditEvent?_count=1")
    owner = filled.vault.blind.patient("Patient/a")
    ids = {id_ for (id_,) in filled.sql("SELECT id FROM data_key WHERE owner = ?", (owner,))}
    hers = {
        rid
        for rid, key_id, patients in filled.sql("SELECT rid, key_id, patients FROM version")
        if key_id in ids or patients == owner
    }
    await erase(filled)
    left = filled.sql("SELECT rid, key_id, patients, wraps, sealed FROM version")
    assert not [rid for rid, _, patients, wraps, _ in left if owner in patients or owner in wraps]
    assert {len(sealed) for rid, key_id, _, _, sealed in left if key_id in ids} == {17}
    assert filled.sql(
        "SELECT count(*) FROM data_key WHERE owner = ? AND length(wrapped) > 17", (owner,)
    ) == [(0,)]
    of_hers = filled.sql(
        "SELECT token FROM token WHERE rid IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(hers)),),
    )
    assert of_hers == []
    events = {rid for (rid,) in filled.sql("SELECT rid FROM record WHERE type = 'AuditEvent'")}
    shared = [json.loads(found) for (found,) in filled.sql("SELECT rids FROM event_token")]
    assert not [rids for rids in shared if set(rids) & hers & events]


async def test_the_leaves_stay_and_the_log_still_verifies(filled: Clinic) -> None:
    before = filled.sql("SELECT n, commitment FROM audit ORDER BY n")
    await erase(filled)
    after = filled.sql("SELECT n, commitment FROM audit ORDER BY n")
    assert after[: len(before)] == before
    assert [n for n, _ in after] == list(range(len(after)))
    from fhir_server.evidence import stored_events

    async with filled.vault.reading() as reader:
        events = await stored_events(reader, 0, len(after))
    assert sum(1 for e in events if e.event is None) >= 10
    assert sum(1 for e in events if e.event is not None) >= 5


async def test_it_is_told_by_an_event_that_does_not_name_the_patient(filled: Clinic) -> None:
    told = await erase(filled)
    event = (await filled.get(OVERSEER, told["auditEvent"]["reference"])).json
    assert event["type"]["code"] == "destroy"
    [entity] = event["entity"]
    owner = filled.vault.blind.patient("Patient/a").hex()
    assert entity["what"]["identifier"]["value"] == f"patient-token:{owner}"
    assert entity["lifecycle"]["code"] == "15"
    text = json.dumps(await filled.audits())
    assert "Patient/a" not in text
    import base64

    for each in await filled.audits():
        for part in each["entity"]:
            assert b"Patient/a" not in base64.b64decode(part.get("query", ""))


async def test_asked_again_it_answers_the_same(filled: Clinic) -> None:
    assert await erase(filled) == await erase(filled)
    started_anew = await again(filled)
    size = len([e for e in await started_anew.audits() if e["type"]["code"] == "destroy"])
    await erase(started_anew)
    assert (
        len([e for e in await started_anew.audits() if e["type"]["code"] == "destroy"]) == size == 1
    )
    await started_anew.close()


async def test_a_patient_nobody_has_heard_of_is_not_found(filled: Clinic) -> None:
    answer = await filled.ask(HOUSE, "POST", "Patient/nobody/$erase")
    assert answer.status == 404
    assert (await filled.get(HOUSE, "Patient/a")).status == 200


async def test_only_systems_of_the_custodian_with_a_scope_to_delete_may_ask(filled: Clinic) -> None:
    callers = [
        OTHER,
        filled.caller("person", user="Practitioner/1"),
        filled.caller("herself", "patient/*.cruds", user="Patient/a", patient="Patient/a"),
        filled.caller("reader", "system/Patient.rs"),
        filled.caller("elsewhere", "system/Observation.cruds"),
    ]
    for who in callers:
        for id_ in ("a", "nobody"):
            answer = await filled.ask(who, "POST", f"Patient/{id_}/$erase")
            assert answer.status == 403, who
    assert (await filled.ask(HOUSE, "GET", ERASE)).status == 405
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "request": {"method": "POST", "url": ERASE},
                "resource": {"resourceType": "Parameters"},
            }
        ],
    }
    assert (await filled.ask(HOUSE, "POST", "", bundle)).status in (400, 404, 422)
    assert (await filled.get(HOUSE, "Patient/a")).status == 200


async def test_a_new_patient_of_the_same_id_sees_nothing_of_the_old(filled: Clinic) -> None:
    owner = filled.vault.blind.patient("Patient/a")
    await erase(filled)
    answer = await filled.put(patient("a", name=[{"family": "New"}]))
    assert answer.status == 201
    assert answer.headers["ETag"] == 'W/"1"'
    await filled.put(observation("a-0", "a"))
    assert (await filled.get(HOUSE, "Patient/a/_history")).json["total"] == 1
    assert (await filled.get(HOUSE, "Observation?subject=Patient/a")).json["total"] == 1
    filled.caller("a", "patient/*.rs", organization="", user="Patient/a", patient="Patient/a")
    everything = await filled.get("a", "Patient/a/$everything")
    assert sorted(everything.references) == ["Observation/a-0", "Patient/a"]
    keys = filled.sql("SELECT length(wrapped) > 17 FROM data_key WHERE owner = ?", (owner,))
    assert keys == [(0,), (1,)]
    second = await erase(filled)
    assert second["records"] >= 2
    assert (await filled.get(HOUSE, "Patient/a")).status == 404


async def test_records_of_several_patients_are_decided_by_those_who_are_left(
    clinic: Clinic,
) -> None:
    await clinic.put(patient("a"))
    await clinic.put(patient("b"))
    await clinic.put(observation("both", "b", performer=[{"reference": "Patient/a"}]))
    await clinic.put(consent("no", "a", "deny", actor="Organization/custodian"))
    assert (await clinic.get(HOUSE, "Observation/both")).status == 404
    await erase(clinic)
    assert (await clinic.get(HOUSE, "Observation/both")).status == 200


async def test_a_backup_put_back_is_erased_again_before_anybody_is_served(filled: Clinic) -> None:
    folder = filled.path.parent
    await filled.get(HOUSE, "AuditEvent?_count=1")
    backup = folder / "backup.sqlite"
    with sqlite3.connect(filled.path) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    await erase(filled)
    await filled.close()
    for name in ("consentry.sqlite", "consentry.sqlite-wal", "consentry.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    backup.rename(folder / "consentry.sqlite")
    restored = await open_clinic(folder)
    await is_gone(restored)
    await others_are_there(restored)
    assert [e["type"]["code"] for e in await restored.audits()].count("destroy") == 1
    await restored.close()


async def test_without_the_list_of_erasures_nothing_starts(filled: Clinic) -> None:
    from fhir_server.errors import SettingsError

    await filled.close()
    ledger = filled.path.parent / "consentry.key.erased"
    content = ledger.read_bytes()
    ledger.unlink()
    with pytest.raises(SettingsError, match=r"list of erasures .* is missing"):
        await open_clinic(filled.path.parent)
    ledger.write_bytes(b"something else\n")
    with pytest.raises(SettingsError, match="not what this program wrote"):
        await open_clinic(filled.path.parent)
    ledger.write_bytes(content)
    await (await open_clinic(filled.path.parent)).close()


async def test_a_list_that_has_lost_entries_gets_them_back(filled: Clinic) -> None:
    ledger = filled.path.parent / "consentry.key.erased"
    before = ledger.read_bytes()
    await erase(filled)
    after = ledger.read_bytes()
    assert len(after) > len(before)
    await filled.close()
    ledger.write_bytes(before)
    await (await open_clinic(filled.path.parent)).close()
    assert ledger.read_bytes() == after


async def test_a_patient_whose_key_or_record_was_damaged_can_be_erased(filled: Clinic) -> None:
    owner = filled.vault.blind.patient("Patient/a")
    await filled.close()
    filled.sql("UPDATE data_key SET wrapped = randomblob(1184) WHERE owner = ?", (owner,))
    damaged = await open_clinic(filled.path.parent)
    assert (await damaged.get(HOUSE, "Patient/a")).status == 500
    await erase(damaged)
    assert (await damaged.get(HOUSE, "Patient/a")).status == 404
    assert (await damaged.get(HOUSE, "Observation?subject=Patient/a")).json["total"] == 0
    assert (await damaged.get(HOUSE, "Observation/b-0")).status == 200
    await (await again(damaged)).close()
