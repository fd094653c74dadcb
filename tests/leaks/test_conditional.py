"""A condition finds only what its caller may see, and gives no more than the caller may read."""

import asyncio

import pytest

from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    Clinic,
    consent,
    entry,
    observation,
    patient,
    sharing,
    transaction,
)

IDENTIFIER = [{"system": "urn:mrn", "value": "77"}]
CONDITION = "identifier=urn:mrn|77"


@pytest.fixture
async def closed(clinic: Clinic) -> Clinic:
    """Two records with one identifier, both hidden from the other hospital, which may write for ``a``."""
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("hidden", "a", identifier=IDENTIFIER, meta=ETH))
    return clinic


def _new() -> dict[str, object]:
    made = observation("x", "a", identifier=IDENTIFIER)
    del made["id"]
    return made


async def test_a_conditional_create_does_not_reveal_a_hidden_match(closed: Clinic) -> None:
    answer = await closed.ask(OTHER, "POST", "Observation", _new(), {"if-none-exist": CONDITION})
    assert answer.status == 201
    assert answer.id_ != "hidden"


async def test_a_conditional_create_with_several_hidden_matches_is_no_412(closed: Clinic) -> None:
    await closed.put(observation("hidden-2", "a", identifier=IDENTIFIER, meta=ETH))
    headers = {"if-none-exist": CONDITION}
    assert (await closed.ask(HOUSE, "POST", "Observation", _new(), headers)).status == 412
    assert (await closed.ask(OTHER, "POST", "Observation", _new(), headers)).status == 201


async def test_whoever_may_only_create_does_not_read_through_a_condition(closed: Clinic) -> None:
    closed.caller("writer", "system/Observation.c")
    answer = await closed.ask("writer", "POST", "Observation", _new(), {"if-none-exist": CONDITION})
    assert answer.status == 403
    assert b"hidden" not in answer.body


async def test_a_granular_search_scope_limits_what_a_condition_finds(closed: Clinic) -> None:
    closed.caller("narrow", "system/Observation.c system/Observation.rs?status=amended")
    answer = await closed.ask("narrow", "POST", "Observation", _new(), {"if-none-exist": CONDITION})
    assert answer.status == 201


async def test_a_conditional_create_in_a_transaction_does_not_reveal_a_hidden_match(
    closed: Clinic,
) -> None:
    bundle = transaction(entry("POST", "Observation", _new(), ifNoneExist=CONDITION))
    answer = await closed.ask(OTHER, "POST", "", bundle)
    assert answer.json["entry"][0]["response"]["status"].startswith("201")
    assert b"Observation/hidden" not in answer.body


async def test_a_conditional_reference_to_a_hidden_record_equals_one_to_none(
    closed: Clinic,
) -> None:
    def bundle(condition: str) -> dict[str, object]:
        made = observation("x", "a", derivedFrom=[{"reference": f"Observation?{condition}"}])
        return transaction(entry("POST", "Observation", made))

    hidden = await closed.ask(OTHER, "POST", "", bundle(CONDITION))
    missing = await closed.ask(OTHER, "POST", "", bundle("identifier=urn:mrn|nobody"))
    assert hidden.status == missing.status == 412
    assert hidden.body == missing.body
    assert (await closed.ask(HOUSE, "POST", "", bundle(CONDITION))).status == 200


async def test_a_conditional_reference_needs_a_scope_for_what_it_looks_for(closed: Clinic) -> None:
    closed.caller("writer", "system/Observation.c")
    made = observation("x", "a", derivedFrom=[{"reference": f"Observation?{CONDITION}"}])
    answer = await closed.ask("writer", "POST", "", transaction(entry("POST", "Observation", made)))
    assert answer.status == 403


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "?",
        "_format=json",
        "nope=1",
        "identifier",
        "identifier=",
        "_count=1",
        "&",
        "_sort=nope",
        "date=x",
    ],
)
async def test_a_condition_that_says_nothing_is_refused(closed: Clinic, condition: str) -> None:
    headers = {"if-none-exist": condition}
    answer = await closed.ask(HOUSE, "POST", "Observation", _new(), headers)
    assert answer.status == 400
    bundle = transaction(entry("POST", "Observation", _new(), ifNoneExist=condition))
    assert (await closed.ask(HOUSE, "POST", "", bundle)).status in (400, 422)


async def test_sixteen_parallel_conditional_creates_make_one(closed: Clinic) -> None:
    condition = {"if-none-exist": "identifier=urn:mrn|new"}
    made = observation("x", "a", identifier=[{"system": "urn:mrn", "value": "new"}])
    answers = await asyncio.gather(
        *(closed.ask(HOUSE, "POST", "Observation", made, condition) for _ in range(16))
    )
    assert sorted(a.status for a in answers) == [200] * 15 + [201]
    assert len({a.id_ for a in answers}) == 1


async def test_a_denied_action_to_collect_hides_even_that_the_patient_exists(
    closed: Clinic,
) -> None:
    await closed.put(consent("no", "a", "deny", actor="Organization/other"))
    known = await closed.ask(OTHER, "POST", "Observation", observation("x", "a"))
    unknown = await closed.ask(OTHER, "POST", "Observation", observation("x", "nobody"))
    assert (known.status, known.body) == (unknown.status, unknown.body)
