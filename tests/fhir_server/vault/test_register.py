"""The register of Consents: whoever writes to the database without a key cannot make a Consent disappear or come back."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.errors import TamperedRecordError
from fhir_server.interactions.entering import INDEX_KEY
from fhir_server.store.own_secrets import Secrets

from ..clinic import HOUSE, OTHER, Clinic, consent, key_provider, observation, open_clinic, patient

SEEN, HIDDEN = 200, 404


@pytest.fixture
async def deciding(clinic: Clinic) -> Clinic:
    """A patient who has shut out OTHER, by changing her mind, and one who lets it see everything."""
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"of-{id_}", id_))
    for rule in ("permit", "deny"):
        await clinic.put(consent("c-a", "a", rule, "Organization/other"))
    await clinic.put(consent("c-b", "b", "permit", "Organization/other"))
    assert await seen(clinic, "a") == HIDDEN
    assert await seen(clinic, "b") == SEEN
    return clinic


async def seen(clinic: Clinic, id_: str) -> int:
    return (await clinic.get(OTHER, f"Observation/of-{id_}")).status


async def again(clinic: Clinic) -> Clinic:
    """The server started anew: it remembers nothing."""
    await clinic.close()
    return await open_clinic(clinic.path.parent)


def notes(clinic: Clinic) -> dict[str, bytes]:
    return dict(clinic.sql("SELECT name, value FROM meta WHERE name LIKE 'consents%'"))


def put_back(clinic: Clinic, kept: dict[str, bytes]) -> None:
    for name, value in kept.items():
        clinic.sql("UPDATE meta SET value = ? WHERE name = ?", (value, name))


async def test_a_server_started_again_decides_by_the_register(deciding: Clinic) -> None:
    clinic = await again(deciding)
    assert await seen(clinic, "a") == HIDDEN
    assert await seen(clinic, "b") == SEEN
    await clinic.close()


async def test_a_revoked_consent_no_longer_decides(deciding: Clinic) -> None:
    revoked = await deciding.ask(HOUSE, "POST", "Consent/c-b/$revoke-consent")
    assert revoked.status == 200, revoked.body
    assert await seen(deciding, "b") == HIDDEN
    clinic = await again(deciding)
    assert await seen(clinic, "b") == HIDDEN
    await clinic.close()


async def test_a_consent_that_becomes_another_patients_leaves_the_first(deciding: Clinic) -> None:
    await deciding.put(consent("c-b", "a", "permit", "Organization/other"))
    assert await seen(deciding, "b") == HIDDEN


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_note_that_was_taken_away_is_noticed(deciding: Clinic, restarted: bool) -> None:
    clinic = deciding
    for name in notes(clinic):
        if name != "consents":
            clinic.sql("DELETE FROM meta WHERE name = ?", (name,))
    if restarted:
        with pytest.raises(TamperedRecordError, match="nobody is served"):
            await again(clinic)
    else:
        assert await seen(clinic, "a") == 500


async def test_a_note_put_back_is_noticed_by_a_server_that_has_seen_the_newer_one(
    deciding: Clinic,
) -> None:
    kept = notes(deciding)
    await deciding.put(consent("c-b", "b", "deny", "Organization/other"))
    assert await seen(deciding, "b") == HIDDEN
    put_back(deciding, kept)
    await asyncio.sleep(0.01)
    assert await seen(deciding, "b") == 500


async def test_a_note_put_back_while_no_server_runs_is_noticed_at_the_start(
    deciding: Clinic,
) -> None:
    kept = {name: value for name, value in notes(deciding).items() if name != "consents"}
    await deciding.put(consent("c-b", "b", "deny", "Organization/other"))
    await deciding.close()
    put_back(deciding, kept)
    with pytest.raises(TamperedRecordError, match="nobody is served"):
        await again(deciding)


@pytest.mark.parametrize("at", [0, 4, 12, 20, 40, -1])
async def test_an_altered_note_is_named(deciding: Clinic, at: int) -> None:
    for name, value in notes(deciding).items():
        changed = bytearray(value)
        changed[at if at < len(value) else 1] ^= 1
        deciding.sql("UPDATE meta SET value = ? WHERE name = ?", (bytes(changed), name))
    assert await seen(deciding, "a") == 500
    with pytest.raises(TamperedRecordError):
        await again(deciding)


async def test_the_note_of_one_patient_is_not_that_of_another(deciding: Clinic) -> None:
    (one, note), (other, _) = (item for item in notes(deciding).items() if item[0] != "consents")
    put_back(deciding, {other: note})
    assert 500 in (await seen(deciding, "a"), await seen(deciding, "b"))
    assert one != other


@pytest.mark.parametrize(
    "change",
    ["version = 1", "version = 1, at = (SELECT at FROM version v WHERE v.rid = record.rid)"],
)
async def test_a_revoked_consent_called_current_is_noticed(deciding: Clinic, change: str) -> None:
    """Even by somebody who makes the record agree with its older version."""
    [(rid,)] = deciding.sql(
        "SELECT rid FROM version WHERE type = 'Consent' GROUP BY rid HAVING count(*) = 2"
    )
    deciding.sql("DELETE FROM version WHERE rid = ? AND version = 2", (rid,))
    deciding.sql(f"UPDATE record SET {change} WHERE rid = ?", (rid,))
    clinic = await again(deciding)
    assert await seen(clinic, "a") == 500
    await clinic.close()


async def test_a_unit_that_was_undone_leaves_no_note(deciding: Clinic) -> None:
    before = notes(deciding)
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": consent("c-b", "b", "deny", "Organization/other"),
                "request": {"method": "PUT", "url": "Consent/c-b"},
            },
            {
                "resource": observation("x", "b", status="no such status"),
                "request": {"method": "PUT", "url": "Observation/x"},
            },
        ],
    }
    assert (await deciding.ask(HOUSE, "POST", "", bundle)).status == 422
    assert notes(deciding) == before
    assert await seen(deciding, "b") == SEEN


async def test_many_changes_at_once_never_raise_a_false_alarm(deciding: Clinic) -> None:
    async def change(number: int) -> None:
        rule = "deny" if number % 2 else "permit"
        await deciding.put(consent("c-b", "b", rule, "Organization/other"))

    async def look() -> None:
        assert await seen(deciding, "b") in (SEEN, HIDDEN)

    await asyncio.gather(*(change(n) if n % 4 == 0 else look() for n in range(200)))


async def test_a_database_without_a_register_gets_one_at_the_start_and_only_once(
    deciding: Clinic,
) -> None:
    clinic = deciding
    own = Secrets(clinic.database.secrets, key_provider(), "default")
    key = await own.get(INDEX_KEY, bytes)
    await own.change(INDEX_KEY, key[:32])
    clinic.sql("DELETE FROM meta WHERE name LIKE 'consents%'")
    clinic = await again(clinic)
    assert await seen(clinic, "a") == HIDDEN
    assert await seen(clinic, "b") == SEEN
    clinic.sql("DELETE FROM meta WHERE name LIKE 'consents%'")
    with pytest.raises(TamperedRecordError, match="nobody is served"):
        await again(clinic)
