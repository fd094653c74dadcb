"""A condition finds only what its caller may see, and gives no more than the caller may read."""

import asyncio
from dataclasses import replace

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
from .pairs import Pair

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


# --- update, patch and delete by a condition; patches as questions

MERGE = {"content-type": "application/merge-patch+json"}
WRITES = [("PUT", {}), ("PATCH", MERGE), ("DELETE", {})]


def _body(method: str) -> object:
    return {"PUT": _new(), "PATCH": b'{"status":"amended"}', "DELETE": None}[method]


@pytest.mark.parametrize(("method", "headers"), WRITES)
async def test_a_hidden_match_is_as_if_there_were_none(
    closed: Clinic, method: str, headers: dict[str, str]
) -> None:
    url = f"Observation?{CONDITION}"
    none = "Observation?identifier=urn:mrn|nobody"
    hidden = await closed.ask(OTHER, method, url, _body(method), headers)
    missing = await closed.ask(OTHER, method, none, _body(method), headers)
    assert hidden.status == missing.status == {"PUT": 201, "PATCH": 404, "DELETE": 204}[method]
    if method != "PUT":
        assert hidden.body == missing.body
    kept = await closed.get(HOUSE, "Observation/hidden")
    assert (kept.status, kept.headers["ETag"]) == (200, 'W/"1"')


@pytest.mark.parametrize(("method", "headers"), WRITES)
async def test_of_two_matches_only_the_visible_one_counts(
    closed: Clinic, method: str, headers: dict[str, str]
) -> None:
    """Two patients' records with the same identifier: the hidden one makes no 412."""
    await closed.put(observation("open", "a", identifier=IDENTIFIER))
    answer = await closed.ask(OTHER, method, f"Observation?{CONDITION}", _body(method), headers)
    assert answer.status in (200, 204)
    assert (await closed.get(HOUSE, "Observation/hidden")).headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize(("method", "headers"), WRITES)
@pytest.mark.parametrize("kind", ["alone", "transaction"])
async def test_whoever_may_only_write_asks_nothing_by_a_condition(
    closed: Clinic, method: str, headers: dict[str, str], kind: str
) -> None:
    closed.caller("writer", "system/Observation.cud")
    for value in ("77", "nobody"):
        url = f"Observation?identifier=urn:mrn|{value}"
        if kind == "alone":
            answer = await closed.ask("writer", method, url, _body(method), headers)
        else:
            binary = {
                "resourceType": "Binary",
                "contentType": MERGE["content-type"],
                "data": "e30=",
            }
            body = {"PUT": _new(), "PATCH": binary, "DELETE": None}[method]
            bundle = transaction(entry(method, url, body))  # type: ignore[arg-type]
            answer = await closed.ask("writer", "POST", "", bundle)
        assert answer.status == 403
        assert b"hidden" not in answer.body


async def test_whoever_may_not_read_learns_nothing_by_a_patch(closed: Clinic) -> None:
    """A test operation asks what is in a record, and the answer shows all of it."""
    closed.caller("writer", "system/Observation.cud")
    for status in (b"final", b"amended"):
        test = b'[{"op":"test","path":"/status","value":"' + status + b'"}]'
        kind = {"content-type": "application/json-patch+json"}
        answer = await closed.ask("writer", "PATCH", "Observation/hidden", test, kind)
        assert answer.status == 403


async def test_a_patch_needs_the_record_to_be_in_reach_of_the_scope_to_read(closed: Clinic) -> None:
    closed.caller("narrow", "system/Observation.u system/Observation.r?status=amended")
    answer = await closed.ask("narrow", "PATCH", "Observation/hidden", b"{}", MERGE)
    missing = await closed.ask("narrow", "PATCH", "Observation/nobody", b"{}", MERGE)
    assert (answer.status, answer.body) == (404, missing.body)


@pytest.mark.parametrize("body", [b"{}", b'{"status":"amended"}', b'{"id":"x"}', b"[", b"7"])
async def test_a_patch_of_a_hidden_record_equals_one_of_a_missing_one(
    closed: Clinic, body: bytes
) -> None:
    hidden = await closed.ask(OTHER, "PATCH", "Observation/hidden", body, MERGE)
    missing = await closed.ask(OTHER, "PATCH", "Observation/nobody", body, MERGE)
    assert (hidden.status, hidden.body) == (missing.status, missing.body)


async def test_a_patch_can_not_give_a_record_to_a_patient_who_does_not_permit_it(
    closed: Clinic,
) -> None:
    await closed.put(observation("open", "a"))
    body = b'{"subject":{"reference":"Patient/b"}}'  # who has shared nothing
    await closed.put(patient("b"))
    answer = await closed.ask(OTHER, "PATCH", "Observation/open", body, MERGE)
    assert answer.status == 404
    assert (await closed.get(HOUSE, "Observation/open")).headers["ETag"] == 'W/"1"'


async def test_a_patch_can_not_take_a_label_to_read_what_it_hides(closed: Clinic) -> None:
    answer = await closed.ask(OTHER, "PATCH", "Observation/hidden", b'{"meta":null}', MERGE)
    assert answer.status == 404
    assert (await closed.get(OTHER, "Observation/hidden")).status == 404


async def test_several_are_deleted_only_where_all_are_permitted(closed: Clinic) -> None:
    tools = replace(closed.pipeline.tools, most_deleted=10)
    closed.pipeline = replace(closed.pipeline, tools=tools)
    for id_ in ("o1", "o2"):
        await closed.put(observation(id_, "a", identifier=IDENTIFIER))
    assert (await closed.ask(OTHER, "DELETE", f"Observation?{CONDITION}")).status == 204
    assert (await closed.get(HOUSE, "Observation/o1")).status == 410
    assert (await closed.get(HOUSE, "Observation/hidden")).status == 200


@pytest.mark.parametrize(
    "condition",
    ["identifier=urn:mrn|9", "value-quantity=2.5", "date=2020-05-01", "encounter=Encounter/eh"],
)
async def test_a_condition_finds_what_it_would_find_on_a_server_without_what_is_hidden(
    pair: Pair, condition: str
) -> None:
    new, here = observation("x", "a", effectiveDateTime="2022-01-01"), []
    for clinic in (pair.full, pair.bare):
        asked = {"if-none-exist": condition}
        first = await clinic.ask(OTHER, "POST", "Observation", new, asked)
        second = await clinic.ask(OTHER, "PUT", f"Observation?{condition}", new)
        third = await clinic.ask(OTHER, "DELETE", f"Observation?{condition}")
        here.append([answer.status for answer in (first, second, third)])
    assert here[0] == here[1]
