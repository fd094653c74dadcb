"""Large documents: in and out part by part, sealed in chunks; decided before they come, and again when they are there."""

# ruff: noqa: ASYNC221  (a file system is mounted)

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_server.errors import IntegrityError
from fhir_server.vault.resealing import Resealer
from tests.fhir_server.clinic import (
    ETH,
    HOUSE,
    Clinic,
    consent,
    entry,
    open_clinic,
    patient,
    transaction,
)
from tests.fhir_server.large_documents import CHUNK, PDF, fetch, pattern, send, sent

SIZES = (0, 1, 255, 256, CHUNK - 4, CHUNK, CHUNK + 1, 3 * CHUNK, 1_300_000)
CONTENT = pattern(700_000)


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_sent_comes_back(clinic: Clinic, size: int) -> None:
    content = pattern(size)
    id_ = await sent(clinic, content)
    recorded, body = await fetch(clinic, HOUSE, f"Binary/{id_}")
    assert (recorded.status, body) == (200, content)
    headers = dict(recorded.headers)
    assert (headers["Content-Type"], headers["ETag"]) == (PDF, '"1"')


async def test_a_put_makes_the_next_version_and_the_former_stays(clinic: Clinic) -> None:
    await send(clinic, b"first", "Binary/b", method="PUT")
    answer = await send(clinic, b"second", "Binary/b", method="PUT")
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"')
    assert (await fetch(clinic, HOUSE, "Binary/b"))[1] == b"second"
    assert (await fetch(clinic, HOUSE, "Binary/b/_history/1"))[1] == b"first"


async def test_the_same_content_makes_no_new_version(clinic: Clinic) -> None:
    await send(clinic, CONTENT, "Binary/b", method="PUT")
    answer = await send(clinic, CONTENT, "Binary/b", method="PUT")
    assert answer.headers["ETag"] == 'W/"1"'
    assert clinic.sql("SELECT count(*) FROM document") == [(1,)]


async def test_a_document_without_data_that_is_put_takes_the_content_away(clinic: Clinic) -> None:
    await send(clinic, CONTENT, "Binary/b", method="PUT")
    await clinic.put({"resourceType": "Binary", "id": "b", "contentType": PDF})
    assert (await clinic.get(HOUSE, "Binary/b")).json.get("data") is None
    assert (await fetch(clinic, HOUSE, "Binary/b/_history/1"))[1] == CONTENT


async def test_a_change_of_labels_keeps_the_content(clinic: Clinic) -> None:
    await send(clinic, CONTENT, "Binary/b", method="PUT")
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": ETH}]}
    answer = await clinic.ask(HOUSE, "POST", "Binary/b/$meta-add", meta)
    assert answer.status == 200, answer.body
    patch = [{"op": "replace", "path": "/contentType", "value": "image/png"}]
    headers = {"content-type": "application/json-patch+json"}
    assert (await clinic.ask(HOUSE, "PATCH", "Binary/b", patch, headers)).status == 200
    recorded, body = await fetch(clinic, HOUSE, "Binary/b")
    assert (dict(recorded.headers)["ETag"], body) == ('"3"', CONTENT)
    assert dict(recorded.headers)["Content-Type"] == "image/png"


async def test_as_a_resource_it_has_its_data(clinic: Clinic) -> None:
    id_ = await sent(clinic, CONTENT)
    answer = await clinic.get(HOUSE, f"Binary/{id_}")
    assert base64.b64decode(answer.json["data"]) == CONTENT
    assert list(answer.json) == ["resourceType", "id", "meta", "contentType", "data"]


async def test_as_a_resource_a_larger_one_is_refused_in_a_sentence(clinic: Clinic) -> None:
    id_ = await sent(clinic, CONTENT)
    clinic.pipeline = replace(
        clinic.pipeline, tools=replace(clinic.pipeline.tools, most_inline=1000)
    )
    answer = await clinic.get(HOUSE, f"Binary/{id_}")
    assert answer.status == 406
    assert "accept its own media type" in answer.json["issue"][0]["diagnostics"]


async def test_in_bundles_it_comes_without_its_data_and_without_our_own_member(
    clinic: Clinic,
) -> None:
    id_ = await sent(clinic, CONTENT)
    for url in ("Binary", f"Binary/{id_}/_history", "_history"):
        answer = await clinic.get(HOUSE, url)
        (found,) = (r for r in answer.resources if r["resourceType"] == "Binary")
        assert set(found) == {"resourceType", "id", "meta", "contentType"}
        assert b"_document" not in answer.body


async def test_an_entry_of_a_batch_is_a_resource_whatever_is_accepted(clinic: Clinic) -> None:
    id_ = await sent(clinic, b"content")
    bundle = transaction(entry("GET", f"Binary/{id_}?_format={PDF}"), type_="batch")
    headers = {"accept": "*/*", "range": "bytes=0-1"}
    answer = await clinic.ask(HOUSE, "POST", "", bundle, headers)
    (found,) = answer.json["entry"]
    assert base64.b64decode(found["resource"]["data"]) == b"content"


@pytest.mark.parametrize("accept", ["*/*", PDF, "image/png, */*;q=0.1", "text/html"])
async def test_whoever_takes_anything_gets_the_content(clinic: Clinic, accept: str) -> None:
    id_ = await sent(clinic, CONTENT)
    assert (await fetch(clinic, HOUSE, f"Binary/{id_}", accept=accept))[1] == CONTENT
    small = {"resourceType": "Binary", "id": "s", "contentType": PDF, "data": "c21hbGw="}
    await clinic.put(small)
    assert (await fetch(clinic, HOUSE, "Binary/s", accept=accept))[1] == b"small"


async def test_no_client_can_send_the_member_that_is_ours(clinic: Clinic) -> None:
    text = '{"resourceType":"Binary","id":"b","contentType":"a/b","_document":"AAAA"}'
    answer = await clinic.ask(HOUSE, "PUT", "Binary/b", text)
    assert answer.status == 422


# What is broken, stopped or too much


async def test_a_damaged_chunk_at_the_beginning_is_a_refusal(clinic: Clinic) -> None:
    id_ = await sent(clinic, CONTENT)
    clinic.sql("UPDATE chunk SET sealed = zeroblob(length(sealed)) WHERE n = 0")
    before = clinic.log_size()
    recorded, body = await fetch(clinic, HOUSE, f"Binary/{id_}")
    assert (recorded.status, recorded.stream) == (500, None)
    assert CONTENT[:100] not in body
    assert clinic.log_size() == before + 2  # what was permitted, and that it broke


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chunk SET sealed = zeroblob(length(sealed)) WHERE n = 9",
        "UPDATE chunk SET sealed = substr(sealed, 1, 65000) WHERE n = 9",
        "UPDATE chunk SET sealed = (SELECT sealed FROM chunk WHERE n = 8) WHERE n = 9",
        "DELETE FROM chunk WHERE n = 9",
        "DELETE FROM chunk WHERE n >= 9",
    ],
)
async def test_nothing_of_a_damaged_chunk_goes_out_and_it_is_on_record(
    clinic: Clinic, damage: str
) -> None:
    id_ = await sent(clinic, CONTENT)
    clinic.sql(damage)
    answer = await clinic.ask(HOUSE, "GET", f"Binary/{id_}", headers={"accept": PDF})
    _, parts = await clinic.pipeline.pour(answer.recorded)
    assert parts is not None
    before, came = clinic.log_size(), b""
    with pytest.raises(IntegrityError):  # noqa: PT012
        async for part in parts:
            came += part
    assert CONTENT.startswith(came)
    assert len(came) <= 9 * CHUNK
    (event,) = await clinic.audits(before)
    assert event["outcome"] == "8"
    assert "not what was sealed" in event["outcomeDesc"]


async def test_a_part_beside_the_damage_is_given(clinic: Clinic) -> None:
    id_ = await sent(clinic, CONTENT)
    clinic.sql("DELETE FROM chunk WHERE n = 3")
    _, body = await fetch(clinic, HOUSE, f"Binary/{id_}", range=f"bytes={4 * CHUNK}-")
    assert body == CONTENT[4 * CHUNK :]


async def test_new_keys_move_a_document_without_touching_a_chunk(clinic: Clinic) -> None:
    await clinic.put(patient("p"))
    await send(clinic, b"first" * 9000, "Binary/b", method="PUT", context="Patient/p")
    await send(clinic, CONTENT, "Binary/b", method="PUT", context="Patient/p")
    before = clinic.sql("SELECT * FROM chunk ORDER BY rowid")
    resealer = Resealer(clinic.vault)
    job = await resealer.begin(None, 1)
    await resealer.run(job, lambda *_: None)
    assert clinic.sql("SELECT * FROM chunk ORDER BY rowid") == before
    assert (await fetch(clinic, HOUSE, "Binary/b"))[1] == CONTENT
    assert (await fetch(clinic, HOUSE, "Binary/b/_history/1"))[1] == b"first" * 9000


async def test_a_document_of_another_record_does_not_open(clinic: Clinic) -> None:
    await send(clinic, CONTENT, "Binary/a", method="PUT")
    await send(clinic, bytes(len(CONTENT)), "Binary/b", method="PUT")
    (a,), (b,) = clinic.sql("SELECT id FROM document ORDER BY rid")
    clinic.sql("DELETE FROM chunk WHERE document = ?", (b,))
    clinic.sql("UPDATE chunk SET document = ? WHERE document = ?", (b, a))
    recorded, _ = await fetch(clinic, HOUSE, "Binary/b")
    assert recorded.status == 500


async def test_an_upload_that_ends_early_leaves_nothing(clinic: Clinic) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(1_000_000)
        raise ConnectionResetError

    answer = await send(clinic, pieces(), "Binary/b", method="PUT")
    assert answer.status == 500
    assert clinic.sql("SELECT count(*) FROM chunk") == [(0,)]
    assert clinic.sql("SELECT count(*) FROM document") == [(0,)]
    assert (await clinic.get(HOUSE, "Binary/b")).status == 404


async def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents leave room for what comes after them: otherwise no answer could go on record any more."""
    monkeypatch.setattr("fhir_server.store.sqlite.chunks._RESERVE", 60_000_000)
    monkeypatch.setattr("fhir_server.store.sqlite.chunks._SHARE", 1)
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system here")
    try:
        clinic = await open_clinic(tmp_path)
        before = clinic.sql("SELECT count(*) FROM record WHERE type <> 'AuditEvent'")
        answer = await send(clinic, bytes(90_000_000), "Binary/b", method="PUT")
        assert answer.status == 507
        await clinic.pipeline.tools.documents.sweep(2**60)
        assert clinic.sql("SELECT count(*) FROM chunk") == [(0,)]
        assert clinic.sql("SELECT count(*) FROM record WHERE type <> 'AuditEvent'") == before
        assert (await send(clinic, CONTENT, "Binary/b", method="PUT")).status == 201
        assert (await fetch(clinic, HOUSE, "Binary/b"))[1] == CONTENT
        await clinic.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


async def test_what_a_killed_server_left_is_swept(clinic: Clinic) -> None:
    documents = clinic.pipeline.tools.documents
    incoming = documents.begin(b"r" * 16, 0)
    await incoming.add(bytes(1_000_000), 1_000)
    assert await documents.sweep(1_000) == 0
    assert await documents.sweep(1_001) == 1
    assert clinic.sql("SELECT count(*) FROM chunk") == [(0,)]


async def test_an_upload_that_was_swept_meanwhile_is_refused_as_a_conflict(clinic: Clinic) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(1_000_000)
        clinic.sql("DELETE FROM chunk")
        clinic.sql("DELETE FROM document")
        yield b"rest"

    answer = await send(clinic, pieces(), "Binary/b", method="PUT")
    assert answer.status == 409
    assert (await clinic.get(HOUSE, "Binary/b")).status == 404
    assert clinic.sql("SELECT count(*) FROM chunk") == [(0,)]


async def test_who_may_not_write_sends_nothing(clinic: Clinic) -> None:
    """Consent and scopes are decided before the body is read."""
    clinic.caller("reader", scope="system/Binary.rs")
    await clinic.put(patient("p"))
    await clinic.put(consent("c", "p", "deny", "Organization/custodian"))
    taken = []

    def pieces() -> Iterator[bytes]:
        taken.append(1)
        yield b"x"

    assert (await send(clinic, pieces(), who="reader")).status == 403
    assert (await send(clinic, pieces(), who="nobody")).status == 401
    answer = await send(clinic, pieces(), context="Patient/p")
    assert (answer.status, taken) == (404, [])
    await send(clinic, b"there", "Binary/b", method="PUT")
    answer = await send(clinic, pieces(), "Binary/b", method="PUT", if_match='W/"7"')
    assert (answer.status, taken) == (412, [])
    answer = await send(clinic, pieces(), if_none_exist="_id=b")
    assert (answer.status, taken) == (400, [])


async def test_consent_that_is_withdrawn_while_it_comes_in_holds(clinic: Clinic) -> None:
    await clinic.put(patient("p"))

    async def withdraw() -> None:
        await clinic.put(consent("c", "p", "deny", "Organization/custodian"))

    received = clinic.received(
        HOUSE, "POST", "Binary", headers={"content-type": PDF, "x-security-context": "Patient/p"}
    )

    async def parts():  # noqa: ANN202
        yield bytes(600_000), received.at
        await withdraw()
        yield b"rest", received.at

    recorded = await clinic.pipeline.answer(received, parts=parts())
    assert recorded.status == 404
    assert clinic.sql("SELECT count(*) FROM chunk") == [(0,)]


async def test_another_version_that_was_written_meanwhile_is_followed(clinic: Clinic) -> None:
    await send(clinic, b"one", "Binary/b", method="PUT")
    received = clinic.received(HOUSE, "PUT", "Binary/b", headers={"content-type": PDF})

    async def parts():  # noqa: ANN202
        yield b"three", received.at
        await send(clinic, b"two", "Binary/b", method="PUT")

    assert (await clinic.pipeline.answer(received, parts=parts())).status == 200
    found = [(await fetch(clinic, HOUSE, f"Binary/b/_history/{n}"))[1] for n in (1, 2, 3)]
    assert found == [b"one", b"two", b"three"]


async def test_each_answer_is_on_record_before_its_first_byte(clinic: Clinic) -> None:
    await clinic.put(patient("p"))
    id_ = await sent(clinic, CONTENT, context="Patient/p")
    before = clinic.log_size()
    answer = await clinic.ask(
        HOUSE, "GET", f"Binary/{id_}", headers={"accept": PDF, "range": "bytes=1-2"}
    )
    assert answer.recorded.stream is not None
    (event,) = await clinic.audits(before)
    named = [e["what"].get("reference") for e in event["entity"] if "what" in e]
    assert named[:2] == ["Patient/p", f"Binary/{id_}/_history/1"]
    assert event["outcome"] == "0"


async def test_others_are_let_in_while_a_document_goes_out(clinic: Clinic) -> None:
    """A reader as fast as we are never makes us wait, and would keep all others from being answered."""
    id_ = await sent(clinic, pattern(3_000_000))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    before = turns
    await fetch(clinic, HOUSE, f"Binary/{id_}")
    beside.cancel()
    assert turns - before > 3_000_000 // CHUNK


async def test_the_store_holds_nothing_in_clear(clinic: Clinic) -> None:
    phrase = b"Ulrike Meissner, born 1951, HbA1c 9.1 "
    await clinic.put(patient("p"))
    await sent(clinic, phrase * 9000, context="Patient/p")
    content = b"".join(f.read_bytes() for f in clinic.path.parent.rglob("*") if f.is_file())
    assert phrase[:15] not in content
    assert hashlib.sha256(phrase * 9000).digest() not in content
