"""Dates as intervals, and the buckets that find them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import InvalidParameterError
from fhir_server.search.dates import DAY, buckets_of, cover, days, interval


def _ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2020", _ms(2020, 1, 1), _ms(2021, 1, 1)),
        ("2020-02", _ms(2020, 2, 1), _ms(2020, 3, 1)),
        ("2020-12", _ms(2020, 12, 1), _ms(2021, 1, 1)),
        ("2020-02-29", _ms(2020, 2, 29), _ms(2020, 3, 1)),
        ("2020-01-01T00:30+01:00", _ms(2019, 12, 31, 23, 30), _ms(2019, 12, 31, 23, 31)),
        ("2020-01-01T00:00:00Z", _ms(2020, 1, 1), _ms(2020, 1, 1) + 1000),
        ("2020-01-01T00:00:00.5Z", _ms(2020, 1, 1) + 500, _ms(2020, 1, 1) + 501),
        ("2016-12-31T23:59:60Z", _ms(2017, 1, 1), _ms(2017, 1, 1) + 1000),
    ],
)
def test_a_date_is_all_the_instants_that_it_may_mean(text: str, low: int, high: int) -> None:
    assert (interval(text).low, interval(text).high) == (low, high)


@pytest.mark.parametrize(
    "text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59Z", "0001", "0001-01-01"]
)
def test_the_ends_of_the_calendar_are_dates(text: str) -> None:
    assert interval(text).low < interval(text).high


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "20", "2020-", "2020-13", "2020-00", "2020-02-30", "2021-02-29", "2020-1-1", "2020-01-01T", "0000",
        "2020-01-01T25:00Z", "2020-01-01T00:60Z", "2020-01-01T00:00:61Z", "2020-01-01 00:00", "2020-01-01T00:00+99:00",
        "２０２０", "2020\n", " 2020", "2020-01-01T00:00:00,5Z", "-2020", "2020-01-01T00",
    ],
)  # fmt: skip
def test_what_is_no_date_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        interval(text)
    assert not text or len(text) < 9 or text not in str(refused.value)


def test_half_past_midnight_elsewhere_touches_both_days() -> None:
    first, last = days(interval("2020-01-01T00:30+01:00"))
    assert (first, last) == (_ms(2019, 12, 31) // DAY, _ms(2020, 1, 1) // DAY)


@given(st.integers(-62_000, 92_000), st.integers(0, 40_000), st.integers(-62_400, 92_400))
def test_a_cover_holds_the_days_of_its_range_and_no_other(
    first: int, length: int, day: int
) -> None:
    last = min(first + length, 92_000)
    inside = bool(set(buckets_of(day)) & set(cover(first, last)))
    assert inside == (first <= day <= last)


@given(st.integers(-62_000, 92_000), st.integers(0, 3660))
def test_a_cover_of_ten_years_is_short_and_has_nothing_twice(first: int, length: int) -> None:
    buckets = list(cover(first, min(first + length, 92_000)))
    assert len(buckets) == len(set(buckets)) <= 36


def test_an_empty_range_has_no_buckets() -> None:
    assert list(cover(5, 4)) == []


@given(st.integers(-62_000, 92_000))
def test_an_open_range_holds_everything_on_its_side(day: int) -> None:
    assert set(buckets_of(day)) & set(cover(None, day))
    assert set(buckets_of(day)) & set(cover(day, None))
    assert not set(buckets_of(day)) & set(cover(day + 1, None))
    assert not set(buckets_of(day)) & set(cover(None, day - 1))
