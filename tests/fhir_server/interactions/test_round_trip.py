"""What is stored comes back as it was sent: the text of every member, but for ``id`` and ``meta``."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from fhir_server.interactions.labelling import RULE
from profiles.strict_json import members, read

from ..clinic import HOUSE, OVERSEER, Answer, Clinic, Json, entry, open_clinic, patient, transaction
from ..shared_data import folder_of, r4_examples

WHOLE = {"prefer": "return=representation"}
RESOLVED = "§resolved§"
OWN = ("id", "meta", "resourceType")


def texts(resource: str) -> dict[str, str]:
    """The raw text of each member."""
    return {m.name: resource[m.value_start : m.end] for m in members(resource) if m.name not in OWN}


async def test_every_r4_example_is_accepted_and_read_back_byte_for_byte(folder: Path) -> None:
    """Leniently: three of them break a rule of R4 themselves (``tests/profiles/test_validation.py`` names them)."""
    clinic = await open_clinic(folder, strict=False)
    count = 0
    for line in r4_examples():
        sent = line.decode()
        type_ = json.loads(sent)["resourceType"]
        made = await clinic.ask(HOUSE, "POST", type_, line)
        assert made.status == 201, (type_, made.body[:500])
        who = OVERSEER if type_ == "AuditEvent" else HOUSE
        stored = await clinic.get(who, f"{type_}/{made.id_}")
        assert stored.body == made.body
        assert texts(stored.body.decode()) == texts(sent)
        assert kept_meta(stored.json) == kept_meta(json.loads(sent))
        count += 1
    assert count == 372
    await clinic.close()


def kept_meta(resource: Json) -> Json:
    """What of ``meta`` is the sender's: not the labels that rules asked for."""
    meta = dict(resource.get("meta", {}))
    own = [one for one in meta.pop("security", []) if RULE not in str(one)]
    kept = {**meta, **({"security": own} if own else {})}
    return {k: v for k, v in kept.items() if k not in ("versionId", "lastUpdated")}


def normalised(value: object, place: Callable[[str], str]) -> object:
    """A resource without id and meta, each reference replaced by what it points at; decimals as written."""
    if isinstance(value, dict):
        return {
            k: place(str(v)) if k == "reference" else normalised(v, place) for k, v in value.items()
        }
    if isinstance(value, list):
        return [normalised(v, place) for v in value]
    return str(value) if isinstance(value, Decimal) else value


def without_own(resource: Json) -> Json:
    return {k: v for k, v in resource.items() if k not in OWN}


async def load(clinic: Clinic, content: bytes) -> tuple[list[Json], list[Json]]:
    """Post a Bundle and read every resource back: (sent, stored), in order."""
    bundle = read(content.decode())
    assert isinstance(bundle, dict)
    answer = await clinic.ask(HOUSE, "POST", "", content, WHOLE)
    assert answer.status == 200, answer.body[:500]
    refused = [e for e in answer.json["entry"] if not e["response"]["status"].startswith("20")]
    assert refused == []
    stored = []
    for one in answer.json["entry"]:
        location = one["response"].get("location", "").partition("/_history/")[0]
        target = (
            location.partition("/fhir/")[2]
            or f"{one['resource']['resourceType']}/{one['resource']['id']}"
        )
        found = read((await clinic.get(HOUSE, target)).body.decode())
        assert isinstance(found, dict)
        stored.append(found)
    return [e["resource"] for e in bundle["entry"]], stored


def compare(content: bytes, sent: list[Json], stored: list[Json]) -> None:
    bundle = json.loads(content)
    made = {
        e["fullUrl"]: f"{r['resourceType']}/{r['id']}"
        for e, r in zip(bundle["entry"], stored, strict=True)
    }
    for before, after in zip(sent, stored, strict=True):
        # a resolved reference stands where urn:uuid or a condition stood; everything else is equal
        resolved = normalised(
            without_own(before), lambda r: made.get(r, RESOLVED if "?" in r else r)
        )
        told = normalised(without_own(after), lambda r: r)
        if RESOLVED in str(resolved):
            told = _blank(told, resolved)
        assert told == resolved


def _blank(told: object, resolved: object) -> object:
    """``told`` with ``resolved`` wherever a condition stood; what it was resolved to must be a reference."""
    if resolved == RESOLVED:
        assert re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64}", str(told))
        return RESOLVED
    if isinstance(told, dict) and isinstance(resolved, dict):
        return {k: _blank(v, resolved.get(k)) for k, v in told.items()}
    if isinstance(told, list) and isinstance(resolved, list):
        return [_blank(t, r) for t, r in zip(told, resolved, strict=True)]
    return told


def _smallest(folder: Path, count: int) -> list[Path]:
    return sorted(folder.glob("*.json.gz"), key=lambda p: p.stat().st_size)[:count]


async def test_synthea_2019_transactions_load_without_a_refusal_and_read_back(
    clinic: Clinic,
) -> None:
    for file in _smallest(folder_of("synthea-2019"), 3):
        content = gzip.decompress(file.read_bytes())
        compare(content, *await load(clinic, content))


async def test_synthea_2021_loads_behind_its_hospitals_and_reads_back(clinic: Clinic) -> None:
    folder = folder_of("synthea-2021")
    for name in ("hospitalInformation.json.gz", "practitionerInformation.json.gz"):
        content = gzip.decompress((folder / name).read_bytes())
        sent, stored = await load(clinic, content)
        for before, after in zip(sent, stored, strict=True):
            assert len(after) >= len(before)
        again = await clinic.ask(HOUSE, "POST", "", content)
        for asked, told in zip(json.loads(content)["entry"], again.json["entry"], strict=True):
            conditional = "ifNoneExist" in asked["request"]
            assert told["response"]["status"] == ("200 OK" if conditional else "201 Created")
    for file in _smallest(folder / "patients", 2):
        content = gzip.decompress(file.read_bytes())
        compare(content, *await load(clinic, content))


async def test_a_synthea_transaction_without_its_hospitals_is_refused_whole(clinic: Clinic) -> None:
    [file] = _smallest(folder_of("synthea-2021") / "patients", 1)
    answer = await clinic.ask(HOUSE, "POST", "", gzip.decompress(file.read_bytes()))
    assert answer.status == 412
    assert clinic.sql("SELECT count(*) FROM record WHERE type != 'AuditEvent'") == [(0,)]


@pytest.mark.parametrize(
    "number",
    ["1.00", "1.50e0", "1E5", "0.000", "-0.0", "123456789012345678.90", "1e-30", "3", "0.1e+1"],
)
async def test_a_decimal_keeps_its_spelling(clinic: Clinic, number: str) -> None:
    body = (
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        f'"valueQuantity":{{"value":{number}}}}}'
    ).encode()
    made = await clinic.ask(HOUSE, "POST", "Observation", body)
    assert made.status == 201
    for url in (f"Observation/{made.id_}", f"Observation?_id={made.id_}"):
        assert (
            f'"valueQuantity":{{"value":{number}}}'.encode() in (await clinic.get(HOUSE, url)).body
        )


@pytest.mark.parametrize("number", ["1e400", "-1e999", "1e99999999", "9" * 400, "9" * 400 + ".5"])
async def test_a_number_that_is_too_large_to_compare_is_stored_or_refused_but_never_poisons(
    clinic: Clinic, number: str
) -> None:
    body = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},'
        f'"valueQuantity":{{"value":{number}}}}}'
    ).encode()
    made = await clinic.ask(HOUSE, "PUT", "Observation/o", body)
    assert made.status in (201, 400, 422)
    expected = 200 if made.status == 201 else 404
    assert (await clinic.get(HOUSE, "Observation/o")).status == expected
    assert (await clinic.get(HOUSE, "Observation")).status == 200
    assert (await clinic.ask(HOUSE, "PUT", "Observation/o", body)).status in (200, 400, 422)


@pytest.mark.parametrize(
    "text",
    [
        '{"resourceType":"Patient","birthDate":"1970-01"}',
        '{ "resourceType" : "Patient" ,\n\t"active":true }',
        '{"active":true,"resourceType":"Patient","_birthDate":{"extension":[{"url":"urn:x","valueCode":"u"}]}}',
        '{"resourceType":"Patient","name":[{"family":"M\\u00fcller \\ud83d\\ude00"}]}',
        '{"resourceType":"Patient","name":[{"given":[null,"B"],"_given":[{"extension":[{"url":"urn:x","valueCode":"u"}]},null]}]}',
        '{"resourceType":"Patient","name":[{"given":["A","B"],"_given":[{"id":"x"},null]}]}',
        '{"resourceType":"Patient","deceasedDateTime":"2020-01-01T00:30:00.7000+01:00"}',
        '\ufeff{"resourceType":"Patient","gender":"other"}',
        '{"\\u0069d":"mine","resourceType":"Patient","gender":"other"}',
    ],
)
async def test_every_spelling_is_kept(clinic: Clinic, text: str) -> None:
    made = await clinic.ask(HOUSE, "POST", "Patient", text.encode())
    assert made.status == 201, made.body
    stored = (await clinic.get(HOUSE, f"Patient/{made.id_}")).body.decode()
    assert texts(stored) == texts(text.removeprefix("\ufeff"))
    assert json.loads(stored)["id"] == made.id_ != "mine"


async def test_what_a_client_says_of_version_and_time_does_not_count(clinic: Clinic) -> None:
    sent = patient(
        "p", meta={"versionId": "77", "lastUpdated": "1999-01-01T00:00:00Z", "source": "urn:s"}
    )
    stored = (await clinic.put(sent)).json
    assert stored["meta"]["versionId"] == "1"
    assert stored["meta"]["lastUpdated"].startswith("2026-05-04T12:00")
    assert stored["meta"]["source"] == "urn:s"


async def test_versions_rise_by_one_and_times_never_fall(clinic: Clinic) -> None:
    await clinic.put(patient("p"))
    clinic.now = clinic.now.replace(year=2020)  # a clock that went backwards
    await clinic.put(patient("p", active=True))
    history = await clinic.get(HOUSE, "Patient/p/_history")
    metas = [r["meta"] for r in history.resources]
    assert [m["versionId"] for m in metas] == ["2", "1"]
    assert metas[0]["lastUpdated"] > metas[1]["lastUpdated"]


async def test_eight_parallel_updates_of_one_version_leave_one_winner(clinic: Clinic) -> None:
    await clinic.put(patient("p"))
    answers: list[Answer] = await asyncio.gather(
        *(
            clinic.ask(
                HOUSE, "PUT", "Patient/p", patient("p", gender="other"), {"if-match": 'W/"1"'}
            )
            for _ in range(8)
        )
    )
    assert sorted(a.status for a in answers) == [200] + [412] * 7
    assert (await clinic.get(HOUSE, "Patient/p")).json["meta"]["versionId"] == "2"


async def test_references_between_entries_resolve_in_any_order(clinic: Clinic) -> None:
    one, two = (
        "urn:uuid:11111111-1111-1111-1111-111111111111",
        "urn:uuid:22222222-2222-2222-2222-222222222222",
    )
    bundle = transaction(
        entry("POST", "Encounter", {"resourceType": "Encounter", "status": "finished",
              "class": {"code": "AMB"}, "subject": {"reference": two}}, full_url=one),
        entry("PUT", "Patient/p", patient("p"), full_url=two),
    )  # fmt: skip
    answer = await clinic.ask(HOUSE, "POST", "", bundle, WHOLE)
    assert answer.status == 200
    assert answer.json["entry"][0]["resource"]["subject"] == {"reference": "Patient/p"}
    assert (await clinic.get(HOUSE, "Encounter?patient=p")).json["total"] == 1
