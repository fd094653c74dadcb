"""Who can write to the database can take keys and seals away, but not make that look like an erasure: it is an alarm."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from anchoring.errors import AuditFailure
from fhir_server.errors import TamperedRecordError
from fhir_server.evidence import stored_events

from ..fhir_server.clinic import HOUSE, OTHER, Clinic, consent, observation, open_clinic, patient

TAKE = "UPDATE data_key SET wrapped = {} WHERE owner = ?"
OF_ANOTHER = "(SELECT wrapped FROM data_key WHERE length(wrapped) = 17)"
MARK = "INSERT INTO meta VALUES ('destroyed-unproved', x'')"  # as the schema's step 12 leaves it
OF_C = "(SELECT id FROM data_key WHERE length(wrapped) = 17)"
KEY_OF_C = f"(SELECT max(key_id) FROM version WHERE key_id IN {OF_C})"
PROOF_OF_C = f"(SELECT max(sealed) FROM version WHERE key_id IN {OF_C})"
ASKED = ("Patient/a", "Observation/of-a", "Observation?patient=a", "Patient/a/$everything")


@pytest.fixture
async def filled(folder: Path) -> Clinic:
    """A clinic that has just been started; ``c`` was erased before, ``both`` is of a and b, and a denies it to OTHER."""
    clinic = await open_clinic(folder)
    for id_ in ("a", "b", "c"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"of-{id_}", id_))
        rule = "deny" if id_ == "a" else "permit"
        await clinic.put(consent(f"c-{id_}", id_, rule, "Organization/other"))
    await clinic.put(observation("both", "b", performer=[{"reference": "Patient/a"}]))
    assert (await clinic.ask(HOUSE, "POST", "Patient/c/$erase")).status == 200
    return await again(clinic)


async def again(clinic: Clinic) -> Clinic:
    """The same after a restart: no key is in memory."""
    await clinic.close()
    return await open_clinic(clinic.path.parent)


def owner(clinic: Clinic, id_: str) -> bytes:
    return clinic.vault.blind.patient(f"Patient/{id_}")


@pytest.mark.parametrize("left", ["x''", "x'00'", OF_ANOTHER])
async def test_a_key_that_was_taken_away_is_an_alarm(
    filled: Clinic, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    filled.sql(TAKE.format(left), (owner(filled, "a"),))
    [(before,)] = filled.sql("SELECT count(*) FROM audit")
    for url in ASKED:
        caplog.clear()
        answer = await filled.get(HOUSE, url)
        assert (answer.status, "not what was sealed" in answer.body.decode()) == (500, True), url
        assert [r.message for r in caplog.records if r.levelno == logging.ERROR] == ["integrity"]
    assert filled.sql("SELECT count(*) FROM audit") == [(before + len(ASKED),)]
    assert (await filled.get(HOUSE, "Observation/of-b")).status == 200
    await filled.close()


@pytest.mark.parametrize("left", ["x''", "x'00'", OF_ANOTHER])
async def test_nothing_new_is_sealed_for_her_by_another_key(filled: Clinic, left: str) -> None:
    filled.sql(TAKE.format(left), (owner(filled, "a"),))
    for answer in (
        await filled.ask(HOUSE, "PUT", "Observation/new", observation("new", "a")),
        await filled.ask(HOUSE, "PUT", "Observation/of-a", observation("of-a", "a")),
        await filled.ask(HOUSE, "DELETE", "Observation/of-a"),
    ):
        assert answer.status == 500, answer.body
    assert filled.sql("SELECT count(*) FROM data_key WHERE owner = ?", (owner(filled, "a"),)) == [
        (1,)
    ]
    await filled.close()


@pytest.mark.parametrize(
    "taken",
    [
        TAKE.format("x''"),
        "DELETE FROM data_key WHERE owner = ?",
        "UPDATE data_key SET owner = zeroblob(16) WHERE owner = ?",
    ],
)
async def test_a_record_of_several_patients_does_not_become_the_others(
    filled: Clinic, taken: str
) -> None:
    filled.sql(taken, (owner(filled, "a"),))
    filled.caller("b", "patient/*.rs", organization="", user="Patient/b", patient="Patient/b")
    for who in (OTHER, HOUSE, "b"):
        for url in ("Observation/both", "Observation?_id=both", "Observation?patient=b"):
            answer = await filled.get(who, url)
            assert answer.status in (404, 500), (who, url, answer.body)
    await filled.close()


async def test_the_destroyed_key_of_another_is_no_proof_either(filled: Clinic) -> None:
    filled.sql(
        "UPDATE data_key SET owner = ? WHERE owner = ?", (owner(filled, "a"), owner(filled, "c"))
    )
    filled.sql("UPDATE data_key SET rowid = rowid + 1000 WHERE length(wrapped) = 17")
    async with filled.vault.reading() as reader:
        with pytest.raises(TamperedRecordError):
            await reader.name(owner(filled, "a"))
    put = await filled.ask(HOUSE, "PUT", "Observation/new", observation("new", "a"))
    assert put.status == 500
    await filled.close()


async def test_a_forged_note_makes_no_erasure_of_it(
    filled: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    """The note of an erasure lies open; what it says is believed as far as its AuditEvent says it."""
    [(id_,)] = filled.sql("SELECT id FROM data_key WHERE owner = ?", (owner(filled, "a"),))
    forged = filled.vault.blind.erased(id_)  # more than he could know
    [(note,)] = filled.sql("SELECT value FROM meta WHERE name LIKE 'erased|%'")
    own = filled.vault.blind.erased(
        filled.sql("SELECT id FROM data_key WHERE owner = ?", (owner(filled, "c"),))[0][0]
    )
    filled.sql(TAKE.format("x''"), (owner(filled, "a"),))
    filled.sql(MARK)
    filled.sql(
        "INSERT INTO meta VALUES (?, ?)",
        (f"erased|{owner(filled, 'a').hex()}", note.replace(own.encode(), forged.encode())),
    )
    filled = await again(filled)
    assert "altered in the database" in caplog.text
    assert forged not in (filled.path.parent / "consentry.key.erased").read_text()
    assert (await filled.get(HOUSE, "Patient/a")).status == 500
    assert (await filled.get(HOUSE, "Patient/c")).status == 404
    await filled.close()


async def test_what_a_former_program_destroyed_is_proved_at_the_start(filled: Clinic) -> None:
    """It left the key empty; the list of erasures tells that this is how it should be."""
    filled.sql(TAKE.format("x''"), (owner(filled, "c"),))
    with pytest.raises(TamperedRecordError):
        async with filled.vault.reading() as reader:
            await reader.name(owner(filled, "c"))
    [(buried,)] = filled.sql("SELECT count(*) FROM version WHERE length(sealed) = 17")
    assert buried > 3
    filled.sql("UPDATE version SET sealed = x'' WHERE length(sealed) = 17")
    filled.sql(MARK)
    filled = await again(filled)
    assert filled.sql("SELECT count(*) FROM data_key WHERE length(wrapped) = 17") == [(1,)]
    assert filled.sql("SELECT count(*) FROM version WHERE length(sealed) = 17") == [(buried,)]
    async with filled.vault.reading() as reader:
        assert [e for e in await stored_events(reader, 0, 99) if e.event is None]
    for url in ("Patient/c", "Observation/of-c", "Patient/c/$everything"):
        assert (await filled.get(HOUSE, url)).status == 404, url
    assert (await filled.put(patient("c"))).status == 201
    await filled.close()


@pytest.mark.parametrize(
    "change",
    [
        f"sealed = x'', key_id = {KEY_OF_C}",
        f"sealed = {PROOF_OF_C}, key_id = {KEY_OF_C}",
        f"sealed = {PROOF_OF_C}",
        f"key_id = {KEY_OF_C}",
    ],
)
async def test_an_audit_event_does_not_pass_for_one_of_somebody_erased(
    filled: Clinic, change: str
) -> None:
    await filled.get(HOUSE, "Observation/of-a")
    [(rid, number)] = filled.sql("SELECT rid, n FROM audit ORDER BY n DESC LIMIT 1")
    filled.sql(f"UPDATE version SET deleted = 1, patients = x'', {change} WHERE rid = ?", (rid,))
    filled.sql("UPDATE audit SET opening = x'' WHERE rid = ?", (rid,))
    async with filled.vault.reading() as reader:
        assert len(await stored_events(reader, 0, number)) == number
        with pytest.raises(AuditFailure, match=f"event {number}"):
            await stored_events(reader, number, number + 1)
    await filled.close()


async def test_an_erasure_of_hers_is_made_whatever_a_note_says(filled: Clinic) -> None:
    """Who has put the key aside could bring it back: the server says what it has done itself only."""
    [(note,)] = filled.sql("SELECT value FROM meta WHERE name LIKE 'erased|%'")
    filled.sql("INSERT INTO meta VALUES (?, ?)", (f"erased|{owner(filled, 'a').hex()}", note))
    filled.sql(TAKE.format("x''"), (owner(filled, "a"),))
    answer = await filled.ask(HOUSE, "POST", "Patient/a/$erase")
    assert answer.status == 200, answer.body
    left = filled.sql("SELECT length(wrapped) FROM data_key WHERE owner = ?", (owner(filled, "a"),))
    assert left == [(17,)]
    assert (await filled.get(HOUSE, "Patient/a")).status == 404
    ledger = (filled.path.parent / "consentry.key.erased").read_text()
    assert len(ledger.splitlines()) == 3
    await filled.close()
