"""Pages while others write: no row twice, none lost, whatever the order and however many tie."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.interactions.orders import Orders

from ..clinic import ETH, HOUSE, OTHER, Clinic, observation, open_clinic, patient, sharing

SORTS = [
    "",
    "&_sort=_lastUpdated",
    "&_sort=-_lastUpdated",
    "&_sort=status",
    "&_sort=-date,code",
    "&_sort=code,-_id",
]
PATHS = [
    "Observation?subject=a",
    "Patient/a/Observation?code=8867-4",
    "?_type=Observation,Encounter,Patient",
]


def made(number: int, **members: object) -> dict[str, object]:
    return observation(
        f"o{number:02}", "a", effectiveDateTime=f"2020-01-{1 + number % 3:02}", **members
    )


@pytest.fixture
async def twelve(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    for number in range(12):
        await clinic.put(made(number))
    return clinic


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("total", ["", "&_total=accurate"])
async def test_no_row_comes_twice_and_none_is_lost(
    twelve: Clinic, path: str, sort: str, forget: bool, total: str
) -> None:
    if path[0] == "?" and ("date" in sort or "code" in sort or "status" in sort):
        return
    link, seen, turn = f"{path}{sort}{total}&_count=3", [], 0
    while link:
        answer = await twelve.get(HOUSE, link)
        assert answer.status == 200, answer.body
        seen += answer.references
        turn += 1
        if (
            turn < 5
        ):  # between any two pages: a new record before and behind, one changed that was shown, one deleted
            await twelve.put(made(100 + turn))
            await twelve.put({**made(200 + turn), "effectiveDateTime": "2019-01-01"})
            await twelve.ask(HOUSE, "DELETE", f"Observation/o{11 - turn:02}")
        if forget:
            twelve.pipeline.tools.cursors.orders._kept.clear()
            twelve.pipeline.tools.cursors.orders._size = 0
        link = answer.next
    assert len(seen) == len(set(seen))
    staying = {f"Observation/o{n:02}" for n in (*range(7), 11)}
    assert staying <= set(seen)


async def test_a_page_of_a_kept_order_is_decided_anew(twelve: Clinic) -> None:
    search = "Observation?subject=a&_sort=date,_id&_count=3"
    first = await twelve.get(OTHER, search)
    rest = [r["id"] for r in await twelve.all_pages(OTHER, first.next)]
    assert len(rest) == 9
    await twelve.put(made(int(rest[0][1:]), meta=ETH))
    await twelve.put({**made(int(rest[1][1:])), "subject": {"reference": "Patient/b"}})
    again = [r["id"] for r in await twelve.all_pages(OTHER, first.next)]
    assert again == rest[2:]
    await twelve.put({**sharing("a"), "status": "inactive"})
    assert await twelve.all_pages(OTHER, first.next) == []


async def test_the_pages_of_a_kept_order_are_full(twelve: Clinic) -> None:
    first = await twelve.get(HOUSE, "Observation?subject=a&_sort=-_id&_count=3")
    for number in (8, 7, 6):
        await twelve.ask(HOUSE, "DELETE", f"Observation/o{number:02}")
    second = await twelve.get(HOUSE, first.next)
    assert second.references == ["Observation/o05", "Observation/o04", "Observation/o03"]
    assert [link["relation"] for link in second.json["link"]] == ["self", "first", "next"]


async def test_hidden_records_do_not_make_a_search_too_wide(folder: Path) -> None:
    clinic = await open_clinic(folder, max_candidates=20)
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    for number in range(150):
        await clinic.put(made(number, **({"meta": ETH} if number % 10 else {})))
    for query in (
        "Observation?status=final&_sort=date",
        "Observation?_total=accurate",
        "Observation?_summary=count",
    ):
        assert (await clinic.get(OTHER, query)).json["total"] == 15
        assert (await clinic.get(HOUSE, query)).status == 503
    for number in range(150, 260):
        await clinic.put(made(number, meta=ETH))
    assert (
        await clinic.get(OTHER, "Observation?_summary=count")
    ).status == 503  # the work must end
    await clinic.close()


def test_orders_are_forgotten_in_time_and_by_size() -> None:
    orders = Orders(1000)
    rows = [bytes([n]) * 16 for n in range(3)]
    key = orders.keep(rows, now=0)
    assert orders.rows(key, now=1000) == rows
    assert orders.rows(key, now=1001) is None
    assert orders.rows(b"", now=0) is None
    assert orders.rows(bytes(16), now=0) is None
    assert orders.keep([bytes(16)] * 300_000, now=0) == b""
    keys = [orders.keep([bytes(16)] * 200_000, now=0) for _ in range(12)]
    assert orders.rows(keys[0], now=0) is None
    assert orders.rows(keys[-1], now=0) is not None
    assert orders._size <= 32 * 1024 * 1024
    late = orders.keep(rows, now=5000)
    assert list(orders._kept) == [late]
