"""Explanations, logs and accountings tell nobody of what is hidden from them."""

import pytest

from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    OVERSEER,
    Clinic,
    consent,
    observation,
    patient,
    plain,
    sharing,
)

OPERATIONS = ("$access-explain", "$access-log", "$accounting-of-disclosures")


@pytest.fixture
async def two(clinic: Clinic) -> Clinic:
    for id_ in ("a", "b"):
        await clinic.put(patient(id_))
        await clinic.put(observation(f"of-{id_}", id_))
    await clinic.put(observation("hidden", "a", meta=ETH))
    await clinic.put(sharing("a"))
    clinic.caller("anna", "patient/*.rs", "", ("PATRQT",), user="Patient/a", patient="Patient/a")
    return clinic


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_hidden_patient_is_as_an_unknown_one(two: Clinic, operation: str) -> None:
    for who in ("anna", OTHER):
        for query in ("", "?_format=text/csv", "?actor=Organization/other", "?start=x"):
            hidden = await two.get(who, f"Patient/b/{operation}{query}")
            unknown = await two.get(who, f"Patient/nobody/{operation}{query}")
            assert (hidden.status, hidden.body) == (unknown.status, unknown.body)
            assert hidden.status in (400, 404, 406)


async def test_a_requester_is_not_told_that_something_is_withheld(two: Clinic) -> None:
    url = "Patient/a/$access-explain?resource=Observation/"
    hidden, unknown = await two.get(OTHER, f"{url}hidden"), await two.get(OTHER, f"{url}nothing")
    assert (hidden.status, hidden.body) == (404, unknown.body)
    others = await two.get(OTHER, f"{url}of-b")
    assert (others.status, others.body) == (404, unknown.body)


async def test_the_explanation_for_a_requester_is_the_same_whatever_else_there_is(
    two: Clinic,
) -> None:
    """Consents about others, and exceptions that concern him, do not change what he is told."""
    before = plain(await two.get(OTHER, "Patient/a/$access-explain"))
    ending = consent("ending", "a", "deny", "Organization/insurer")
    ending["provision"]["period"] = {"end": "2026-06-30"}
    await two.put(ending)
    await two.put(consent("labels", "a", "deny", "Organization/other", labels=("HIV",)))
    assert plain(await two.get(OTHER, "Patient/a/$access-explain")) == before


@pytest.mark.parametrize(
    "query",
    [
        "actor=Organization/insurer",
        "actor=Organization/other,Organization/insurer",
        "actor=Patient/a",
        "purpose=HRESCH",
        "action=correct",
    ],
)
@pytest.mark.parametrize("who", [HOUSE, OTHER])
async def test_a_requester_can_not_ask_about_others(two: Clinic, who: str, query: str) -> None:
    assert (await two.get(who, f"Patient/a/$access-explain?{query}")).status == 403


async def test_a_record_of_two_patients_is_explained_by_the_one_who_is_asked_about(
    two: Clinic,
) -> None:
    await two.put(sharing("b"))
    twins = observation("twins", "a", focus=[{"reference": "Patient/b"}])
    await two.put(twins)
    answer = await two.get(OTHER, "Patient/a/$access-explain?resource=Observation/twins")
    assert answer.status == 200
    assert b"sharing-b" not in answer.body


async def test_a_log_holds_no_event_about_another_patient(two: Clinic) -> None:
    """Anna may read Berta's record; what she does there is told to Berta."""
    await two.put(consent("friend", "b", "permit", "Patient/a"))
    two.caller("friend", "user/*.rs", "", ("PATRQT",), user="Patient/a")
    assert (await two.get("friend", "Observation/of-b")).status == 200
    log = await two.all_pages("friend", "Patient/a/$access-log")
    assert log
    assert "of-b" not in str(log)
    assert (await two.get("friend", "Patient/b/$access-log")).status == 403


async def test_a_privacy_officer_whom_the_patient_denies_sees_nothing(two: Clinic) -> None:
    await two.put(consent("no", "b", "deny", "Organization/custodian"))
    for operation in OPERATIONS:
        assert (await two.get(OVERSEER, f"Patient/b/{operation}")).status == 404


def _asking(subject: str, *more: dict[str, object]) -> dict[str, object]:
    actor = {"name": "actor", "valueReference": {"reference": "Organization/other"}}
    named = {"name": "subject", "valueReference": {"reference": subject}}
    return {"resourceType": "Parameters", "parameter": [named, actor, *more]}


async def test_a_decision_does_not_probe_the_consents_of_others(two: Clinic) -> None:
    """Neither a hidden patient's, nor those of one whom the caller sees."""
    for who in ("anna", OTHER):
        answers = [
            await two.ask(who, "POST", "Consent/$decide", _asking(f"Patient/{id_}"))
            for id_ in ("b", "nobody")
        ]
        assert [a.status for a in answers] == [404, 404]
        assert answers[0].body == answers[1].body
    for who in (HOUSE, OTHER):
        answer = await two.ask(who, "POST", "Consent/$decide", _asking("Patient/a"))
        assert answer.status == 403
    both = _asking("Patient/a", _asking("Patient/b")["parameter"][0])  # type: ignore[index]
    assert (await two.ask("anna", "POST", "Consent/$decide", both)).status == 404


async def test_what_is_decided_by_sent_consents_is_the_same_whoever_is_stored(two: Clinic) -> None:
    sent = {"name": "consent", "resource": consent("own", "b", "permit")}
    for subject in ("Patient/b", "Patient/nobody"):
        sent = {"name": "consent", "resource": consent("own", subject[8:], "permit")}
        answer = await two.ask(OTHER, "POST", "Consent/$decide", _asking(subject, sent))
        assert answer.status == 200
        assert b'"permit"' in answer.body
    await two.put(consent("no", "b", "deny"))
    sent = {"name": "consent", "resource": consent("own", "b", "permit")}
    again = await two.ask(OTHER, "POST", "Consent/$decide", _asking("Patient/b", sent))
    assert b'"permit"' in again.body
