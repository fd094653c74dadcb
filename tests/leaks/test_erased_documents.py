"""What an erased patient's large documents leave: nothing that opens, and soon nothing at all; the others keep theirs."""

from __future__ import annotations

import pytest

from tests.fhir_server.clinic import HOUSE, OTHER, OVERSEER, Clinic, patient, plain, sharing
from tests.fhir_server.large_documents import PDF, fetch, pattern, send

CONTENT = pattern(400_000)


@pytest.fixture
async def erased(clinic: Clinic) -> Clinic:
    """Patient a, who let another hospital see her documents, is erased; b is not."""
    for id_ in "ab":
        await clinic.put(patient(id_))
        await clinic.put(sharing(id_))
        await send(clinic, CONTENT, f"Binary/of-{id_}", method="PUT", context=f"Patient/{id_}")
        await send(clinic, CONTENT[1:], f"Binary/of-{id_}", method="PUT", context=f"Patient/{id_}")
    both = {
        "resourceType": "DocumentReference",
        "id": "both",
        "status": "current",
        "subject": {"reference": "Patient/b"},
        "author": [{"reference": "Patient/a"}],
        "content": [{"attachment": {"contentType": PDF, "title": "of two"}}],
    }
    await clinic.put(both)
    await send(clinic, CONTENT, "Binary/both", method="PUT", context="DocumentReference/both")
    answer = await clinic.ask(HOUSE, "POST", "Patient/a/$erase")
    assert answer.status == 200, answer.body
    return clinic


@pytest.mark.parametrize("who", [HOUSE, OTHER, OVERSEER])
@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-9"}, {"if_none_match": '"2"'}])
async def test_nobody_gets_a_byte_of_it(erased: Clinic, who: str, headers: dict[str, str]) -> None:
    for url in ("Binary/{}", "Binary/{}/_history/1", "Binary/{}/_history/2"):
        gone = await fetch(erased, who, url.format("of-a"), **headers)
        missing = await fetch(erased, who, url.format("nowhere"), **headers)
        assert (gone[0].status, gone[1]) == (404, missing[1])


async def test_its_chunks_go_with_the_next_sweep(erased: Clinic) -> None:
    before = erased.sql("SELECT count(*) FROM chunk")[0][0]
    assert await erased.pipeline.tools.documents.sweep(1) == 2
    assert erased.sql("SELECT count(*) FROM chunk")[0][0] < before
    assert erased.sql("SELECT count(*) FROM document WHERE rid IS NULL") == [(0,)]


async def test_the_others_keep_theirs_also_what_was_of_both(erased: Clinic) -> None:
    await erased.pipeline.tools.documents.sweep(1)
    assert (await fetch(erased, OTHER, "Binary/of-b"))[1] == CONTENT[1:]
    assert (await fetch(erased, OTHER, "Binary/of-b/_history/1"))[1] == CONTENT
    assert (await fetch(erased, HOUSE, "Binary/both"))[1] == CONTENT


async def test_a_download_that_has_begun_ends_at_the_latest_with_the_sweep(clinic: Clinic) -> None:
    """What was permitted when it began may still go out; once the chunks are gone, nothing does."""
    from fhir_server.errors import IntegrityError

    await clinic.put(patient("a"))
    content = pattern(3_000_000)
    await send(clinic, content, "Binary/of-a", method="PUT", context="Patient/a")
    answer = await clinic.ask(HOUSE, "GET", "Binary/of-a", headers={"accept": PDF})
    _, parts = await clinic.pipeline.pour(answer.recorded)
    assert parts is not None
    came = await anext(parts)
    await clinic.ask(HOUSE, "POST", "Patient/a/$erase")
    await clinic.pipeline.tools.documents.sweep(1)
    with pytest.raises(IntegrityError):  # noqa: PT012
        async for part in parts:
            came += part
    assert len(came) < len(content)


async def test_a_new_document_under_the_same_id_is_another_one(erased: Clinic) -> None:
    await erased.put(patient("a"))
    answer = await send(erased, b"new", "Binary/of-a", method="PUT", context="Patient/a")
    assert (answer.status, answer.headers["ETag"]) == (201, 'W/"1"')
    assert (await fetch(erased, HOUSE, "Binary/of-a"))[1] == b"new"
    assert (await fetch(erased, HOUSE, "Binary/of-a/_history/2"))[0].status == 404


async def test_an_upload_that_was_on_its_way_finds_her_gone(clinic: Clinic) -> None:
    """It is written for the patient of that name as she is then: nobody, until she is created again."""
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    received = clinic.received(
        OTHER, "POST", "Binary", headers={"content-type": PDF, "x-security-context": "Patient/a"}
    )

    async def parts():  # noqa: ANN202
        yield bytes(600_000), received.at
        await clinic.ask(HOUSE, "POST", "Patient/a/$erase")
        yield b"rest", received.at

    before = await send(clinic, b"x", who=OTHER, context="Patient/never")
    recorded = await clinic.pipeline.answer(received, parts=parts())
    assert recorded.status == before.status == 404
    assert plain(before) == plain(type(before)(recorded))
    assert clinic.sql("SELECT count(*) FROM document") == [(0,)]
