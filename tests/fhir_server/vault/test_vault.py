"""Sealing as somebody with the disk, but without the key, meets it: nothing to read, nothing to change unseen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.providers.local import LocalKeyProvider, new_key_material
from fhir_server.errors import TamperedRecordError, WrongKeyError

from ..clinic import (
    HOUSE,
    OTHER,
    OVERSEER,
    Answer,
    Clinic,
    Json,
    observation,
    open_clinic,
    patient,
    sharing,
)

NAME, NOTE, DAY = "Zwetschgenbaum", "Rhabarberkuchen", "1971-02-13"


@pytest.fixture
async def planted(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a", name=[{"family": NAME}], birthDate=DAY))
    await clinic.put(patient("b", name=[{"family": "Other"}]))
    await clinic.put(observation("o", "a", note=[{"text": NOTE}]))
    await clinic.put(observation("o", "a", note=[{"text": NOTE + " 2"}]))
    await clinic.put(observation("of-b", "b"))
    await clinic.put(observation("both", "a", performer=[{"reference": "Patient/b"}]))
    return clinic


async def _again(clinic: Clinic) -> Clinic:
    """The same server started anew: nothing is remembered."""
    await clinic.close()
    return await open_clinic(clinic.path.parent)


def _rid(clinic: Clinic, type_: str, number: int = 0) -> int:
    rows = clinic.sql("SELECT rid FROM record WHERE type = ? ORDER BY rid", (type_,))
    return int(rows[number][0])


def _flipped(content: bytes, at: int) -> bytes:
    turned = bytearray(content)
    turned[at] ^= 0x01
    return bytes(turned)


def _refused(answer: Answer) -> None:
    assert answer.status == 500
    told: Json = answer.json
    assert told["resourceType"] == "OperationOutcome"
    assert "not what was sealed" in told["issue"][0]["diagnostics"]
    for secret in (NAME, NOTE, DAY):
        assert secret.encode() not in answer.body


@pytest.mark.parametrize("column", ["key_id", "patients", "sealed"])
@pytest.mark.parametrize("at", [0, 5, -1])
async def test_a_flipped_byte_in_a_version_is_named_audited_and_never_served(
    planted: Clinic, column: str, at: int
) -> None:
    rid = _rid(planted, "Observation")
    [(content,)] = planted.sql(
        f"SELECT {column} FROM version WHERE rid = ? AND version = 2", (rid,)
    )
    planted.sql(
        f"UPDATE version SET {column} = ? WHERE rid = ? AND version = 2",
        (_flipped(content, at), rid),
    )
    for url in ("Observation/o", "Observation/o/_history", "Observation?subject=a", "Observation"):
        start = planted.log_size()
        _refused(await planted.get(HOUSE, url))
        [event] = await planted.audits(start)
        assert event["outcome"] == "8"
    assert (await planted.get(HOUSE, "Observation/of-b")).status == 200


@pytest.mark.parametrize("change", ["version = 9", "at = at + 1", "deleted = 1"])
async def test_an_edited_column_of_a_version_does_not_open(planted: Clinic, change: str) -> None:
    rid = _rid(planted, "Observation")
    planted.sql(f"UPDATE version SET {change} WHERE rid = ? AND version = 2", (rid,))
    if change == "version = 9":
        planted.sql("UPDATE record SET version = 9 WHERE rid = ?", (rid,))
    _refused(await planted.get(HOUSE, "Observation/o"))


async def test_a_row_called_another_type_does_not_open(planted: Clinic) -> None:
    planted.sql(
        "UPDATE record SET type = 'Condition' WHERE rid = ?", (_rid(planted, "Observation"),)
    )
    _refused(await planted.get(HOUSE, "Condition"))


async def test_a_row_moved_to_another_place_does_not_open(planted: Clinic) -> None:
    one, two = _rid(planted, "Observation"), _rid(planted, "Observation", 1)
    for column in ("row",):
        [(first,)] = planted.sql(f"SELECT {column} FROM record WHERE rid = ?", (one,))
        [(second,)] = planted.sql(f"SELECT {column} FROM record WHERE rid = ?", (two,))
        planted.sql("UPDATE record SET row = x'00' WHERE rid = ?", (one,))
        planted.sql("UPDATE record SET row = ? WHERE rid = ?", (first, two))
        planted.sql("UPDATE record SET row = ? WHERE rid = ?", (second, one))
    _refused(await planted.get(HOUSE, "Observation/o"))
    _refused(await planted.get(HOUSE, "Observation/of-b"))


async def test_a_patients_ciphertext_in_anothers_row_does_not_open(planted: Clinic) -> None:
    one, two = _rid(planted, "Observation"), _rid(planted, "Observation", 1)
    columns = "key_id, patients, wraps, sealed"
    [content] = planted.sql(f"SELECT {columns} FROM version WHERE rid = ? AND version = 1", (one,))
    planted.sql(f"UPDATE version SET ({columns}) = (?, ?, ?, ?) WHERE rid = ?", (*content, two))
    _refused(await planted.get(HOUSE, "Observation/of-b"))


async def test_an_older_versions_ciphertext_in_the_current_row_does_not_open(
    planted: Clinic,
) -> None:
    rid = _rid(planted, "Observation")
    [(old,)] = planted.sql("SELECT sealed FROM version WHERE rid = ? AND version = 1", (rid,))
    planted.sql("UPDATE version SET sealed = ? WHERE rid = ? AND version = 2", (old, rid))
    _refused(await planted.get(HOUSE, "Observation/o"))


async def test_an_older_version_called_the_current_one_is_noticed(planted: Clinic) -> None:
    planted.sql("UPDATE record SET version = 1 WHERE rid = ?", (_rid(planted, "Observation"),))
    _refused(await planted.get(HOUSE, "Observation/o"))


@pytest.mark.parametrize(
    "change",
    [
        "version = 7",
        "version = -1",
        "at = at + 1",
        "deleted = 1",
    ],
)
async def test_a_record_that_does_not_agree_with_its_version_is_named(
    planted: Clinic, change: str
) -> None:
    planted.sql(f"UPDATE record SET {change} WHERE rid = ?", (_rid(planted, "Observation"),))
    _refused(await planted.get(HOUSE, "Observation/o"))


async def test_a_consent_cut_out_of_the_index_decides_all_the_same(planted: Clinic) -> None:
    await planted.put({**sharing("a", "Organization/custodian")})
    deny: Json = {**sharing("b", "Organization/custodian"), "id": "no"}
    deny["provision"] = {"type": "deny"}
    await planted.put(deny)
    assert (await planted.get(HOUSE, "Observation/of-b")).status == 404
    rid = _rid(planted, "Consent", 1)
    planted.sql("DELETE FROM token WHERE rid = ?", (rid,))
    assert (await planted.get(HOUSE, "Observation/of-b")).status == 404
    again = await _again(planted)
    assert (await again.get(HOUSE, "Observation/of-b")).status == 404
    await again.close()


@pytest.mark.parametrize("at", [0, 40, -1])
async def test_a_flipped_byte_in_a_data_key_is_named_audited_and_touches_its_patient_only(
    planted: Clinic, at: int
) -> None:
    start = planted.log_size()
    [(key,)] = planted.sql(
        "SELECT key_id FROM version WHERE rid = ? AND version = 1", (_rid(planted, "Patient"),)
    )
    [(wrapped,)] = planted.sql("SELECT wrapped FROM data_key WHERE id = ?", (key,))
    planted.sql("UPDATE data_key SET wrapped = ? WHERE id = ?", (_flipped(wrapped, at), key))
    clinic = await _again(planted)
    for url in ("Patient/a", "Observation/o", "Patient?name=zwetschgenbaum"):
        _refused(await clinic.get(HOUSE, url))
        assert clinic.log_size() == start + 1
        start += 1
    assert (await clinic.get(HOUSE, "Patient/b")).status == 200
    await clinic.close()


async def test_the_data_keys_of_two_patients_exchanged_open_nothing(planted: Clinic) -> None:
    rows = planted.sql("SELECT id, owner, wrapped FROM data_key WHERE wrapped IS NOT NULL")
    for (id_, _, _), (_, _, wrapped) in zip(rows, [*rows[1:], rows[0]], strict=True):
        planted.sql("UPDATE data_key SET wrapped = ? WHERE id = ?", (wrapped, id_))
    clinic = await _again(planted)
    for url in ("Patient/a", "Patient/b", "Observation/of-b"):
        try:  # if not even the audit log's own key opens, there is no answer at all
            _refused(await clinic.get(HOUSE, url))
        except WrongKeyError:
            continue
    await clinic.close()


@pytest.mark.parametrize("column", ["commitment", "opening"])
async def test_a_flipped_byte_in_the_audit_table_is_named_when_it_is_to_be_proved(
    planted: Clinic, column: str
) -> None:
    """The commitment is checked by whoever proves or verifies; the opening is sealed."""
    start = planted.log_size()
    await planted.get(HOUSE, "Patient/a")
    [event] = await planted.audits(start)
    [(content,)] = planted.sql(f"SELECT {column} FROM audit WHERE n = ?", (start,))
    planted.sql(f"UPDATE audit SET {column} = ? WHERE n = ?", (_flipped(content, 20), start))
    answer = await planted.get(OVERSEER, f"AuditEvent/{event['id']}/$receipt")
    assert answer.status == (500 if column == "opening" else 409)


@pytest.mark.parametrize("at", [0, 100, -1])
async def test_a_flipped_byte_in_a_secret_stops_the_start_in_one_sentence(
    planted: Clinic, at: int
) -> None:
    await planted.close()
    for name, wrapped in planted.sql("SELECT name, wrapped FROM secret"):
        planted.sql("UPDATE secret SET wrapped = ? WHERE name = ?", (_flipped(wrapped, at), name))
    with pytest.raises(WrongKeyError):
        await open_clinic(planted.path.parent)


async def test_another_key_or_another_tenant_does_not_open_the_store(planted: Clinic) -> None:
    await planted.close()
    with pytest.raises(WrongKeyError, match="give back the key"):
        await open_clinic(planted.path.parent, keys=LocalKeyProvider(new_key_material()))
    with pytest.raises(WrongKeyError):
        await open_clinic(planted.path.parent, tenant="another")


async def test_a_record_of_two_patients_opens_while_one_of_their_keys_is_left(
    planted: Clinic,
) -> None:
    [(wraps,)] = planted.sql(
        "SELECT wraps FROM version WHERE rid = ?", (_rid(planted, "Observation", 2),)
    )
    assert len(wraps) == 2 * (16 + 16 + 1 + 12 + 256 + 16)
    for turn in (0, 1):
        at = turn * len(wraps) // 2
        await planted.destroy_keys(wraps[at : at + 16])
        clinic = await _again(planted)
        async with clinic.vault.reading() as reader:
            version = await reader.find("Observation", "both")
            assert version is not None
            if turn == 0:
                assert b'"both"' in await reader.open(version)
                assert sorted(await reader.patients(version))[0] == ""
        _expected = (404,) if turn else (200, 404)
        assert (await clinic.get(HOUSE, "Observation/both")).status in _expected
        planted = clinic
    assert (await planted.get(HOUSE, "Observation/both")).status == 404


async def test_a_patient_whose_key_was_deleted_is_not_left_out(planted: Clinic) -> None:
    """The record opens by the other one's key; whoever reads it would not be on record for this one."""
    [(patients,)] = planted.sql(
        "SELECT patients FROM version WHERE rid = ?", (_rid(planted, "Observation", 2),)
    )
    planted.sql("DELETE FROM data_key WHERE owner = ?", (patients[16:],))
    clinic = await _again(planted)
    async with clinic.vault.reading() as reader:
        version = await reader.find("Observation", "both")
        assert version is not None
        assert b'"both"' in await reader.open(version)
        with pytest.raises(TamperedRecordError):
            await reader.patients(version)
    await clinic.close()


async def test_a_flipped_byte_in_the_first_wrap_does_not_open(planted: Clinic) -> None:
    rid = _rid(planted, "Observation", 2)
    [(wraps,)] = planted.sql("SELECT wraps FROM version WHERE rid = ?", (rid,))
    planted.sql("UPDATE version SET wraps = ? WHERE rid = ?", (_flipped(wraps, 60), rid))
    _refused(await planted.get(HOUSE, "Observation/both"))


async def test_one_broken_record_never_shows_another_patients_data(planted: Clinic) -> None:
    rid = _rid(planted, "Observation")
    planted.sql("UPDATE version SET sealed = zeroblob(300) WHERE rid = ?", (rid,))
    await planted.put(sharing("b"))
    answer = await planted.get(OTHER, "Observation?subject=b")
    assert answer.references == ["Observation/of-b"]


def _words(content: bytes) -> list[bytes]:
    needles = [NAME, NOTE, DAY, "of-b", "Patient/a", "8867-4", "loinc", "Organization/other"]
    return [
        n.encode() for n in needles if n.encode() in content or n.encode("utf-16-le") in content
    ]


async def test_no_file_of_the_store_holds_a_name_a_date_a_note_an_id_or_a_code(
    planted: Clinic,
) -> None:
    await planted.get(HOUSE, f"Patient?name={NAME}&birthdate={DAY}")
    await planted.get(OTHER, "Patient/a")
    for moment in ("open", "closed"):
        if moment == "closed":
            await planted.close()
        for file in filter(Path.is_file, planted.path.parent.rglob("*")):
            assert _words(file.read_bytes()) == [], (moment, file.name)


async def test_what_is_read_back_is_what_was_sealed(planted: Clinic) -> None:
    clinic = await _again(planted)
    assert NOTE.encode() in (await clinic.get(HOUSE, "Observation/o/_history/1")).body
    assert (await clinic.get(HOUSE, f"Patient?name={NAME[:5]}")).json["total"] == 1
    await clinic.close()


async def test_equal_resources_leave_unequal_rows(clinic: Clinic) -> None:
    for number in range(3):
        await clinic.ask(HOUSE, "POST", "Observation", observation("x", "a"))
        assert len(clinic.sql("SELECT DISTINCT sealed FROM version")) >= number + 1
    lengths = {
        len(s)
        for (s,) in clinic.sql(
            "SELECT v.sealed FROM version v JOIN record r USING (rid) WHERE r.type = 'Observation'"
        )
    }
    assert len(lengths) == 1


async def test_a_new_resource_has_a_multiple_of_eight_tokens(clinic: Clinic) -> None:
    for id_, family in (("1", "A"), ("2", "Longername with several words")):
        await clinic.put(patient(id_, name=[{"family": family}]))
    await clinic.close()
    for (count,) in clinic.sql(
        "SELECT count(*) FROM token t JOIN record r USING (rid) WHERE r.type = 'Patient' GROUP BY t.rid"
    ):
        assert count % 8 == 0


def test_the_same_value_has_unrelated_tokens_elsewhere() -> None:
    one, two = BlindIndex(bytes(32), "t1"), BlindIndex(bytes(32), "t2")
    tokens = [
        blind.token(type_, parameter, kind, value)
        for blind in (one, two, BlindIndex(os.urandom(32), "t1"))
        for type_ in ("Patient", "Person")
        for parameter, kind in (("name", "prefix"), ("name", "code"), ("family", "prefix"))
        for value in ("a", "b", "ab")
    ]
    assert len(set(tokens)) == len(tokens)
    assert {len(t) for t in tokens} == {12}
    assert one.token("Patient", "name", "prefix", "a") == one.token(
        "Patient", "name", "prefix", "a"
    )
    assert one.token("A", "BC", "k", "v") != one.token("AB", "C", "k", "v")
    assert one.row("A", "b") != one.patient("A/b") != two.patient("A/b")


async def test_a_flipped_second_wrap_is_noticed_once_the_first_is_destroyed(
    planted: Clinic,
) -> None:
    rid = _rid(planted, "Observation", 2)
    [(wraps,)] = planted.sql("SELECT wraps FROM version WHERE rid = ?", (rid,))
    half = len(wraps) // 2
    await planted.destroy_keys(wraps[:16])
    for at in (half + 16, half + 31, half + 32, half + 40, len(wraps) - 1):
        planted.sql("UPDATE version SET wraps = ? WHERE rid = ?", (_flipped(wraps, at), rid))
        clinic = await _again(planted)
        async with clinic.vault.reading() as reader:
            version = await reader.find("Observation", "both")
            assert version is not None
            with pytest.raises(TamperedRecordError):
                await reader.open(version)
        planted = clinic
