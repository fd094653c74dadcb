"""After an erasure nobody learns anything of the patient: not by other tokens, old links, old ETags, nor from the file."""

from __future__ import annotations

import asyncio
import json

import pytest

from ..fhir_server.clinic import (
    HOUSE,
    ON_MONGO,
    OTHER,
    OVERSEER,
    Answer,
    Clinic,
    consent,
    observation,
    open_clinic,
    patient,
)

ERASE = "Patient/a/$erase"
NAME = "Zwetschgenbaum"


@pytest.fixture
async def filled(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a", name=[{"family": NAME}]))
    await clinic.put(patient("b", name=[{"family": "Other"}]))
    for number in range(12):
        await clinic.put(observation(f"a-{number}", "a", note=[{"text": "Rhabarber"}]))
        await clinic.put(observation(f"b-{number}", "b"))
    for id_ in ("a", "b"):
        clinic.caller(id_, "patient/*.cruds", "", user=f"Patient/{id_}", patient=f"Patient/{id_}")
    return clinic


async def erased(clinic: Clinic) -> None:
    answer = await clinic.ask(HOUSE, "POST", ERASE)
    assert answer.status == 200, answer.body


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers tell the same, but for ids of requests and what was asked for."""

    def told(answer: Answer) -> object:
        headers = {k: v for k, v in answer.headers.items() if k != "X-Request-Id"}
        value = answer.json if answer.body else {}
        for varying in ("id", "meta", "link"):
            value.pop(varying, None)
        return answer.status, headers, value

    return told(one) == told(other)


async def test_an_erased_patient_looks_to_everybody_like_one_who_never_was(filled: Clinic) -> None:
    await erased(filled)
    for who in (HOUSE, OTHER, OVERSEER, "b"):
        for url in (
            "Patient/{}", "Patient/{}/_history", "Patient/{}/_history/1", "Patient/{}/$everything", "Patient?_id={}",
            "Observation?subject=Patient/{}", "Observation?patient={}&_include=Observation:subject",
            "Patient/{}/Observation",
            "Observation/{}-1", "Observation?_id={}-1", "AuditEvent?patient={}",
        ):  # fmt: skip
            gone, never = [await filled.get(who, url.format(id_)) for id_ in ("a", "nobody")]
            assert same(gone, never), (who, url, gone.body, never.body)
        for method in ("DELETE", "PATCH"):
            gone, never = [
                await filled.ask(
                    who,
                    method,
                    f"Patient/{id_}",
                    [],
                    {"content-type": "application/json-patch+json"},
                )
                for id_ in ("a", "nobody")
            ]
            assert same(gone, never), (who, method)


async def test_her_own_token_reaches_nothing(filled: Clinic) -> None:
    await erased(filled)
    for url in ("Patient/a", "Observation/a-1", "Patient/a/$everything", "Patient/a/$summary"):
        assert (await filled.get("a", url)).status == 404, url
    for url in ("Observation", "AuditEvent", "Consent", "Patient"):
        assert (await filled.get("a", url)).json.get("total", 0) == 0, url
    created = await filled.ask("a", "POST", "Observation", observation("x", "a"))
    assert NAME.encode() not in created.body


@pytest.mark.parametrize(
    "url",
    [
        "Observation?subject=Patient/a&_count=3",
        "Observation?_count=3&_sort=code",
        "Observation?_count=5",
        "Observation/_history?_count=5",
        "Patient/a/$everything?_count=4",
        "AuditEvent?_count=3&patient=a",
    ],
)
async def test_a_link_from_before_shows_nothing_of_her(filled: Clinic, url: str) -> None:
    first = await filled.get(OVERSEER if "Audit" in url else HOUSE, url)
    assert first.next
    await erased(filled)
    link = first.next
    while link:
        page = await filled.get(OVERSEER if "Audit" in url else HOUSE, link)
        assert page.status in (200, 404, 410)
        assert b"Patient/a" not in page.body.replace(b"subject=Patient%2Fa", b"")
        assert b"Rhabarber" not in page.body
        link = page.next if page.status == 200 else ""


async def test_an_etag_from_before_matches_nothing(filled: Clinic) -> None:
    etag = (await filled.get(HOUSE, "Patient/a")).headers["ETag"]
    await erased(filled)
    assert (
        await filled.ask(HOUSE, "GET", "Patient/a", None, {"if-none-match": etag})
    ).status == 404
    put = await filled.ask(HOUSE, "PUT", "Patient/a", patient("a"), {"if-match": etag})
    assert put.status in (404, 412)
    assert (await filled.get(HOUSE, "Patient/a")).status == 404


async def test_totals_count_only_what_is_there(filled: Clinic) -> None:
    await erased(filled)
    for url in (
        "Observation?_summary=count",
        "Observation?_total=accurate",
        "Observation?code=8867-4",
    ):
        assert (await filled.get(HOUSE, url)).json["total"] == 12, url
    assert (await filled.get(HOUSE, "Patient?_summary=count")).json["total"] == 1


async def test_whoever_reads_while_she_is_erased_gets_all_of_a_record_or_nothing(
    filled: Clinic,
) -> None:
    """A request that has read and not yet recorded when the keys go gets no answer with her data."""
    reading = [
        asyncio.create_task(filled.get(HOUSE, url))
        for url in ("Patient/a", "Observation/a-1", "Observation?subject=Patient/a", "Patient/a/$everything") * 6
    ]  # fmt: skip
    erasing = asyncio.create_task(filled.ask(HOUSE, "POST", ERASE))
    statuses = {(await each).status for each in reading}
    assert statuses <= {200, 404}
    assert (await erasing).status == 200
    await asyncio.sleep(0)
    for each in await filled.audits():
        assert "Patient/a" not in json.dumps(each)
    owner = filled.vault.blind.patient("Patient/a")
    async with filled.vault.reading() as reader:
        assert not any(key.living for key in await reader.keys.of(owner))


async def test_a_request_that_was_under_way_does_not_bring_her_back(filled: Clinic) -> None:
    """Its snapshot is from before, its record would be written after: it is not found."""
    from fhir_server.errors import KeyDestroyedError
    from fhir_server.vault.vault import Draft

    await erased(filled)
    draft = Draft("AuditEvent", "late", 1, 1, '{"id":"late"}', ("Patient/a",), frozenset())
    with pytest.raises(KeyDestroyedError):
        async with filled.vault.writing() as writer:
            await writer.put(draft)
    assert (await filled.get(HOUSE, "Patient/a")).status == 404


async def test_another_process_forgets_her_with_its_next_request(filled: Clinic) -> None:
    other = await open_clinic(filled.path.parent)
    assert (await other.get(HOUSE, "Patient/a")).status == 200
    assert (await other.get(HOUSE, "Observation/a-1")).status == 200
    await erased(filled)
    for url in ("Patient/a", "Observation/a-1"):
        assert (await other.get(HOUSE, url)).status == 404
    assert (await other.get(HOUSE, "Observation")).json["total"] == 12
    assert (await other.get(HOUSE, "Observation/b-1")).status == 200
    await other.close()


async def test_her_consents_are_not_remembered(filled: Clinic) -> None:
    await filled.put(observation("both", "b", performer=[{"reference": "Patient/a"}]))
    await filled.put(consent("no", "a", "deny", actor="Organization/custodian"))
    assert (await filled.get(HOUSE, "Observation/both")).status == 404
    await erased(filled)
    assert (await filled.get(HOUSE, "Observation/both")).status == 200
    assert (await filled.get(HOUSE, "Consent/no")).status == 404
    await filled.put(patient("a"))
    assert (await filled.get(HOUSE, "Patient/a")).status == 200  # nothing of the old Consent holds


@pytest.mark.skipif(ON_MONGO, reason="asks the file")
async def test_the_wrapped_key_and_the_seals_are_nowhere_in_the_files(filled: Clinic) -> None:
    owner = filled.vault.blind.patient("Patient/a")
    await asyncio.sleep(0.5)
    wrapped = [w for (w,) in filled.sql("SELECT wrapped FROM data_key WHERE owner = ?", (owner,))]
    seals = [s for (s,) in filled.sql("SELECT sealed FROM version WHERE patients = ?", (owner,))]
    assert len(wrapped) == 1
    assert len(seals) > 20
    await erased(filled)
    await filled.close()
    left = b"".join(file.read_bytes() for file in filled.path.parent.iterdir() if file.is_file())
    for part in (*wrapped, *seals):
        assert part[20:60] not in left
        assert part[-40:] not in left


async def test_the_list_of_erasures_tells_nothing_of_whom(filled: Clinic) -> None:
    await erased(filled)
    content = (filled.path.parent / "consentry.key.erased").read_bytes()
    ids = [id_ for (id_,) in filled.sql("SELECT id FROM data_key")] if not ON_MONGO else []
    for id_ in ids:
        assert id_ not in content
        assert id_.hex().encode() not in content
    assert (filled.path.parent / "consentry.key.erased").stat().st_mode & 0o077 == 0
