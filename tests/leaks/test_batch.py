"""Batch entries go the way of single requests."""

from types import ModuleType

import pytest

from ..fhir_server.clinic import (
    ETH,
    HOUSE,
    OTHER,
    Clinic,
    entry,
    observation,
    patient,
    sharing,
    transaction,
)
from . import (
    test_binary,
    test_breadth,
    test_chain,
    test_everything,
    test_has,
    test_history,
    test_include,
    test_operations,
    test_read,
    test_revinclude,
    test_search,
    test_sort,
    test_totals,
    test_vread,
)
from .pairs import Pair, told

_PATHS = (
    *(test_binary, test_breadth, test_chain, test_everything, test_has, test_history, test_include),
    *(test_operations, test_read, test_revinclude, test_search, test_sort, test_totals, test_vread),
)


@pytest.fixture
async def closed(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    await clinic.put(observation("open", "a"))
    await clinic.put(observation("hidden", "a", meta=ETH))
    return clinic


def batch(*entries: dict[str, object]) -> dict[str, object]:
    return transaction(*entries, type_="batch")


async def test_hidden_and_missing_entries_look_the_same(closed: Clinic) -> None:
    answer = await closed.ask(
        OTHER,
        "POST",
        "",
        batch(
            entry("GET", "Observation/hidden"),
            entry("GET", "Observation/missing"),
            entry("DELETE", "Observation/hidden"),
            entry("DELETE", "Observation/missing"),
            entry("GET", "Observation/hidden/_history"),
            entry("GET", "Observation/missing/_history"),
        ),
    )
    assert answer.status == 200
    responses = [e["response"] for e in answer.json["entry"]]
    assert [r["status"][:3] for r in responses] == ["404"] * 6
    assert all(r == responses[0] for r in responses)


async def test_totals_and_includes_in_a_batch_are_those_of_the_caller(closed: Clinic) -> None:
    answer = await closed.ask(
        OTHER, "POST", "", batch(entry("GET", "Observation?subject=a&_total=accurate"))
    )
    assert answer.json["entry"][0]["resource"]["total"] == 1
    assert b"hidden" not in answer.body


async def test_what_fails_fails_alone_and_in_its_place(closed: Clinic) -> None:
    answer = await closed.ask(
        HOUSE,
        "POST",
        "",
        batch(
            entry("PUT", "Patient/n", patient("n")),
            entry("POST", "Patient", {"resourceType": "Patient", "gender": "?"}),
            entry("GET", "Nonsense/1"),
            entry("PUT", "AuditEvent/1", {"resourceType": "AuditEvent", "id": "1"}),
            entry("GET", "Patient/n"),
        ),
    )
    statuses = [e["response"]["status"][:3] for e in answer.json["entry"]]
    assert statuses[:4] == ["201", "422", "404", "405"]
    assert (await closed.get(HOUSE, "Patient/n")).status == 200


@pytest.mark.parametrize(
    "broken",
    [
        {"resource": {"resourceType": "Patient"}},
        {"request": {"method": "PATCH", "url": "Patient/1"}},
        {"request": {"method": "GET"}},
        {"request": {"method": "GET", "url": 7}},
        {"request": {"method": "PUT", "url": "Patient/1"}, "resource": {"no": "type"}},
        {"request": {"method": "PUT", "url": "Patient/1"}, "resource": None},
        {"request": {"method": "PUT", "url": "Patient/1"}, "resource": []},
        {"request": "GET Patient/1"},
        {},
        None,
        "entry",
        ["entry"],
        7,
    ],
)
@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_an_entry_that_cannot_be_understood_is_a_clear_refusal(
    closed: Clinic, broken: object, kind: str
) -> None:
    start = closed.log_size()
    body = {"resourceType": "Bundle", "type": kind, "entry": [broken]}
    answer = await closed.ask(HOUSE, "POST", "", body)
    status = answer.status
    if kind == "batch" and status == 200:
        status = int(answer.json["entry"][0]["response"]["status"][:3])
    assert 400 <= status < 500
    assert closed.log_size() > start


@pytest.mark.parametrize("entries", [{"a": 1}, "x", 7, True])
@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_entries_that_are_no_array_are_a_clear_refusal(
    closed: Clinic, entries: object, kind: str
) -> None:
    start = closed.log_size()
    body = {"resourceType": "Bundle", "type": kind, "entry": entries}
    answer = await closed.ask(HOUSE, "POST", "", body)
    assert 400 <= answer.status < 500
    assert closed.log_size() == start + 1


async def test_a_batch_inside_a_batch_is_decided_as_well(closed: Clinic) -> None:
    inner = batch(entry("GET", "Observation/hidden"), entry("GET", "Observation/open"))
    answer = await closed.ask(OTHER, "POST", "", batch(entry("POST", "", inner)))
    assert b'"id":"hidden"' not in answer.body
    assert b"ETH" not in answer.body


async def test_an_empty_batch_is_answered(closed: Clinic) -> None:
    for kind in ("batch", "transaction"):
        answer = await closed.ask(HOUSE, "POST", "", {"resourceType": "Bundle", "type": kind})
        assert answer.status == 200
        assert answer.json["type"] == f"{kind}-response"


@pytest.mark.parametrize("path", _PATHS, ids=lambda path: path.__name__.rpartition("test_")[2])
async def test_a_batch_is_that_of_a_server_without_what_is_hidden(
    pair: Pair, path: ModuleType
) -> None:
    body = batch(*(entry("GET", url) for url in path.SAME if "_count=" not in url))
    one, two = [await clinic.ask(OTHER, "POST", "", body) for clinic in (pair.full, pair.bare)]
    assert told(one) == told(two)
