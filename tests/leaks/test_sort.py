"""The order of what is shown tells nothing of what is not."""

import pytest

from ..fhir_server.clinic import ETH, HOUSE, OTHER, Clinic, observation, patient, sharing
from .pairs import Pair, assert_same

SAME = [
    "Patient?_sort=name",
    "Observation?_sort=date&_count=2",
    "Observation?_sort=-date&_count=1",
    "Observation?_sort=-_lastUpdated",
    "Observation?subject.name=meier&_sort=date&_count=1",
    "Patient/a/Observation?_sort=-date&_count=2&_total=accurate",
    "?_type=Patient,Observation&_sort=-_lastUpdated&_count=2",
    "Patient?_sort=birthdate",
    "Patient?_sort=-name",
    "Observation?_sort=date",
]


@pytest.fixture
async def dated(clinic: Clinic) -> Clinic:
    await clinic.put(patient("a"))
    await clinic.put(sharing("a"))
    for number, day in enumerate(["2020-03-01", "2020-01-01", "2020-02-01"]):
        await clinic.put(observation(f"o{number}", "a", effectiveDateTime=day))
        await clinic.put(observation(f"h{number}", "a", effectiveDateTime=day, meta=ETH))
    await clinic.put(observation("undated", "a"))
    return clinic


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("date", ["o1", "o2", "o0", "undated"]),
        ("-date", ["o0", "o2", "o1", "undated"]),
        ("_id", ["o0", "o1", "o2", "undated"]),
        ("-_lastUpdated", ["undated", "o2", "o1", "o0"]),
        ("status,-_id", ["undated", "o2", "o1", "o0"]),
    ],
)
async def test_hidden_records_leave_no_gap_in_sorted_pages(
    dated: Clinic, sort: str, order: list[str]
) -> None:
    for count in (1, 2, 3, 50):
        found = await dated.all_pages(OTHER, f"Observation?_sort={sort}&_count={count}")
        assert [r["id"] for r in found] == order


async def test_each_sorted_page_is_full_but_the_last(dated: Clinic) -> None:
    first = await dated.get(OTHER, "Observation?_sort=date&_count=3")
    assert len(first.references) == 3
    second = await dated.get(OTHER, first.next)
    assert len(second.references) == 1
    assert second.next == ""
    assert "total" not in second.json  # told on the first page, and wherever it is asked for
    assert (await dated.get(HOUSE, "Observation?_sort=date")).json["total"] == 7


@pytest.mark.parametrize(
    "key", ["code-value-quantity", "nope", "", "-", "date:missing", "status,,date", "--date"]
)
async def test_a_sort_key_that_cannot_be_used_is_refused(dated: Clinic, key: str) -> None:
    assert (await dated.get(OTHER, f"Observation?_sort={key}")).status == 400


async def test_a_sorted_search_is_that_of_a_server_without_what_is_hidden(pair: Pair) -> None:
    await assert_same(pair, SAME)
