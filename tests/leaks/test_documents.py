"""Large documents: what somebody with a valid token for another patient tries, and what is told by errors."""

from __future__ import annotations

import json

import pytest

from tests.fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    OVERSEER,
    Answer,
    Clinic,
    Json,
    consent,
    entry,
    patient,
    plain,
    sharing,
    transaction,
)
from tests.fhir_server.large_documents import PDF, fetch, pattern, send, sent

CONTENT = pattern(300_000)
STRANGER = "stranger"


@pytest.fixture
async def ward(clinic: Clinic) -> Clinic:
    """Two patients; the other hospital may see a, not b; a caller whose token is for a alone."""
    for id_ in "ab":
        await clinic.put(patient(id_))
    await clinic.put(sharing("a"))
    clinic.caller(
        STRANGER,
        scope="patient/*.cruds",
        user="Patient/a",
        patient="Patient/a",
        organization="",
        purposes=("PATRQT",),
    )
    await send(clinic, CONTENT, "Binary/secret", method="PUT", context="Patient/b")
    return clinic


def reference(id_: str, subject: str, url: str, **members: object) -> Json:
    return {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "subject": {"reference": f"Patient/{subject}"},
        "content": [{"attachment": {"contentType": PDF, "url": url}}],
        **members,
    }


ASKED = (
    {},
    {"range": "bytes=0-0"},
    {"range": "bytes=999999999-"},
    {"range": "bytes=0-0", "if_range": '"1"'},
    {"if_none_match": '"1"'},
    {"if_none_match": "*"},
    {"if_modified_since": "Mon, 04 May 2099 12:00:00 GMT"},
    {"accept": "*/*"},
    {"accept": "application/fhir+json"},
)


@pytest.mark.parametrize("headers", ASKED)
@pytest.mark.parametrize("who", [OTHER, STRANGER])
async def test_a_document_of_another_patient_is_as_if_it_were_not_there(
    ward: Clinic, who: str, headers: dict[str, str]
) -> None:
    for url in ("Binary/{}", "Binary/{}/_history/1"):
        hidden = await fetch(ward, who, url.format("secret"), **headers)
        missing = await fetch(ward, who, url.format("nowhere"), **headers)
        assert hidden[0].status == missing[0].status == 404
        assert hidden[1] == missing[1]
        assert hidden[0].stream is None
        assert _names(hidden[0].headers) == _names(missing[0].headers)


def _names(headers: tuple[tuple[str, str], ...]) -> list[str]:
    return [name for name, _ in headers]


@pytest.mark.parametrize("who", [OTHER, STRANGER])
async def test_lists_do_not_tell_of_it(ward: Clinic, who: str) -> None:
    for url in ("Binary", "Binary?_id=secret", "Binary/_history", "Binary/secret/_history"):
        answer = await ward.get(who, url)
        assert answer.status == 404 or answer.json["total"] == 0


async def test_consent_opens_it_and_its_withdrawal_closes_it(ward: Clinic) -> None:
    await ward.put(sharing("b"))
    assert (await fetch(ward, OTHER, "Binary/secret"))[1] == CONTENT
    await ward.put({**sharing("b"), "status": "inactive"})
    assert (await fetch(ward, OTHER, "Binary/secret"))[0].status == 404


@pytest.mark.parametrize("who", [OTHER, STRANGER])
async def test_nobody_sends_a_document_into_the_record_of_another_patient(
    ward: Clinic, who: str
) -> None:
    """Nor learns by it who is a patient here: an unknown patient is refused in the same words."""
    before = ward.sql("SELECT count(*) FROM record WHERE type = 'Binary'")
    known = await send(ward, b"planted", who=who, context="Patient/b")
    unknown = await send(ward, b"planted", who=who, context="Patient/unknown")
    assert known.status in (403, 404)
    assert plain(known) == plain(unknown)
    assert ward.sql("SELECT count(*) FROM record WHERE type = 'Binary'") == before
    assert ward.sql("SELECT count(*) FROM document") == [(1,)]


@pytest.mark.parametrize("who", [OTHER, STRANGER])
async def test_a_hidden_document_can_not_be_overwritten_or_taken_over(
    ward: Clinic, who: str
) -> None:
    answer = await send(ward, b"mine", "Binary/secret", method="PUT", who=who, context="Patient/a")
    assert answer.status in (403, 404)
    assert (await fetch(ward, HOUSE, "Binary/secret"))[1] == CONTENT


@pytest.mark.parametrize("who", [OTHER, STRANGER])
@pytest.mark.parametrize(
    "url",
    [
        "Binary/{}",
        "http://localhost:8080/fhir/Binary/{}",
        "Binary/{}/_history/1",
        "Binary/{}?x=y",
        "Binary/{}#part",
    ],
)
async def test_a_reference_of_ones_own_is_no_way_to_a_document(
    ward: Clinic, who: str, url: str
) -> None:
    """Nor to learn of one: a url to what is hidden is as good as a url to nowhere."""
    there = await ward.ask(
        who, "PUT", "DocumentReference/d", reference("d", "a", url.format("secret"))
    )
    missing = await ward.ask(
        who, "PUT", "DocumentReference/e", reference("e", "a", url.format("nowhere"))
    )
    assert there.status == missing.status
    for reader in (OTHER, STRANGER):
        assert (await fetch(ward, reader, "Binary/secret"))[0].status == 404


async def test_who_may_see_both_is_told_that_they_are_of_two_patients(ward: Clinic) -> None:
    for url in ("Binary/secret", "http://localhost:8080/fhir/Binary/secret/_history/1"):
        made = reference("d", "a", url)
        assert (await ward.ask(HOUSE, "PUT", "DocumentReference/d", made)).status == 422


@pytest.mark.parametrize("large", [True, False])
async def test_new_content_without_a_context_stays_whose_it_was(ward: Clinic, large: bool) -> None:
    """Otherwise a forgotten header would take a document out of the reach of its patient's consent."""
    if large:
        answer = await send(ward, b"new", "Binary/secret", method="PUT")
    else:
        answer = await ward.ask(HOUSE, "PUT", "Binary/secret", b"new", {"content-type": PDF})
    assert answer.status == 200
    assert (await ward.get(HOUSE, "Binary/secret")).json["securityContext"] == {
        "reference": "Patient/b"
    }
    await ward.put(consent("closed", "b", "deny", "Organization/custodian"))
    for who in (HOUSE, OTHER, STRANGER):
        assert (await fetch(ward, who, "Binary/secret"))[0].status == 404


async def test_a_document_of_nobody_is_not_taken_by_a_reference(ward: Clinic) -> None:
    await send(ward, CONTENT, "Binary/loose", method="PUT")
    answer = await ward.ask(
        HOUSE, "PUT", "DocumentReference/d", reference("d", "a", "Binary/loose")
    )
    assert answer.status == 422
    assert (await fetch(ward, STRANGER, "Binary/loose"))[0].status == 404


async def test_a_reference_to_a_document_of_the_same_patient_is_kept(ward: Clinic) -> None:
    await ward.put(reference("d", "b", "Binary/secret"))
    await ward.put(reference("e", "b", "https://elsewhere.example.org/fhir/Binary/x"))
    assert (await fetch(ward, OTHER, "Binary/secret"))[0].status == 404
    await ward.put(sharing("b"))
    assert (await fetch(ward, OTHER, "Binary/secret"))[1] == CONTENT


async def test_a_transaction_may_hold_a_document_and_what_names_it(ward: Clinic) -> None:
    binary = {
        "resourceType": "Binary",
        "contentType": PDF,
        "securityContext": {"reference": "Patient/a"},
        "data": "JVBERi0=",
    }
    named = "urn:uuid:0a4f0a3c-6f3b-4c4e-9a8e-1f4d1f9a7a01"
    made = reference("d", "a", named)
    for context, status in (("Patient/a", 200), ("Patient/b", 422)):
        binary["securityContext"] = {"reference": context}
        bundle = transaction(
            entry("PUT", "DocumentReference/d", made),
            entry("POST", "Binary", binary, full_url=named),
        )
        answer = await ward.ask(HOUSE, "POST", "", bundle)
        assert answer.status == status, answer.body


async def test_a_labelled_context_hides_what_stands_behind_it(ward: Clinic) -> None:
    """The DocumentReference that is a Binary's security context stands for it, labels and all."""
    await ward.put(reference("d", "a", "https://elsewhere.example.org/x"))
    id_ = await sent(ward, CONTENT, context="DocumentReference/d")
    assert (await fetch(ward, OTHER, f"Binary/{id_}"))[1] == CONTENT
    assert (await fetch(ward, STRANGER, f"Binary/{id_}"))[1] == CONTENT  # it is hers
    await ward.put(reference("d", "a", "https://elsewhere.example.org/x", meta=ETH))
    hidden, told = await fetch(ward, OTHER, f"Binary/{id_}")
    missing = await fetch(ward, OTHER, "Binary/nowhere")
    assert (hidden.status, told) == (404, missing[1])
    assert (await ward.get(OTHER, "Binary")).json["total"] == 0
    await ward.ask(HOUSE, "DELETE", "DocumentReference/d")  # its labels hold for what is left
    assert (await fetch(ward, OTHER, f"Binary/{id_}"))[0].status == 404


async def test_a_hidden_context_can_not_be_told_from_a_missing_one(ward: Clinic) -> None:
    await ward.put(reference("hidden", "b", "https://elsewhere.example.org/x"))
    answers: list[Answer] = [
        await send(ward, b"x", who=OTHER, context=f"DocumentReference/{id_}")
        for id_ in ("hidden", "nowhere")
    ]
    assert plain(answers[0]) == plain(answers[1])
    assert ward.sql("SELECT count(*) FROM document") == [(1,)]


async def test_a_context_that_comes_later_decides_who_sees_what_is_behind_it(
    ward: Clinic,
) -> None:
    await ward.put(sharing("b"))
    id_ = await sent(ward, CONTENT, context="DocumentReference/later")
    assert (await fetch(ward, HOUSE, f"Binary/{id_}"))[0].status == 200
    await ward.put(reference("later", "b", "https://elsewhere.example.org/x"))
    await ward.put(consent("closed", "b", "deny", "Organization/custodian"))
    assert (await fetch(ward, HOUSE, f"Binary/{id_}"))[0].status == 404


async def test_errors_say_nothing_of_what_was_sent(ward: Clinic) -> None:
    phrase = b"Ulrike Meissner HbA1c 9.1"
    for context in ("Patient/b", "DocumentReference/Ulrike", "Ulrike"):
        answer = await send(ward, phrase * 9, who=OTHER, context=context)
        assert b"Ulrike" not in answer.body


async def test_the_patient_sees_who_has_had_the_document(ward: Clinic) -> None:
    await fetch(ward, OTHER, "Binary/secret")
    await fetch(ward, HOUSE, "Binary/secret", range="bytes=0-1")
    events = (await ward.get(OVERSEER, "AuditEvent?entity=Binary/secret&_count=50")).resources
    outcomes = [(e["outcome"], e["subtype"][0]["code"]) for e in events]
    assert ("0", "read") in outcomes
    assert ("4", "read") in outcomes
    assert "Binary/secret" not in json.dumps(
        (await ward.get(STRANGER, "AuditEvent?_count=50")).json
    )
