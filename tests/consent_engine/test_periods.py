"""FHIR dates as closed intervals.  The cases are ours."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from consent_engine.periods import BEGINNING, END_OF_TIME, Interval, parse_date_time

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "start", "after"),
    [
        ("2024", datetime(2024, 1, 1), datetime(2025, 1, 1)),  # noqa: DTZ001
        ("2024-02", datetime(2024, 2, 1), datetime(2024, 3, 1)),  # noqa: DTZ001
        ("2024-12", datetime(2024, 12, 1), datetime(2025, 1, 1)),  # noqa: DTZ001
        ("2024-02-29", datetime(2024, 2, 29), datetime(2024, 3, 1)),  # noqa: DTZ001
        ("2024-02-29T10:00Z", datetime(2024, 2, 29, 10), datetime(2024, 2, 29, 10, 1)),  # noqa: DTZ001
        ("2024-02-29T10:00:05Z", datetime(2024, 2, 29, 10, 0, 5), datetime(2024, 2, 29, 10, 0, 6)),  # noqa: DTZ001
        (
            "2024-02-29T10:00:05.25+02:00",
            datetime(2024, 2, 29, 8, 0, 5, 250_000),  # noqa: DTZ001
            datetime(2024, 2, 29, 8, 0, 5, 260_000),  # noqa: DTZ001
        ),
    ],
)
def test_a_partial_date_is_all_of_the_time_that_it_names(
    text: str, start: datetime, after: datetime
) -> None:
    expected = Interval(start.replace(tzinfo=UTC), after.replace(tzinfo=UTC) - TICK)
    assert parse_date_time(text, UTC) == expected


def test_a_day_is_as_long_as_the_clock_change_makes_it() -> None:
    day = parse_date_time("2024-03-31", ZoneInfo("Europe/Vienna"))
    assert day.end - day.start == timedelta(hours=23) - TICK


def test_the_last_and_the_first_days_of_the_calendar_are_dates() -> None:
    east, west = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
    assert parse_date_time("9999-12-31", west).end == END_OF_TIME
    assert parse_date_time("9999", UTC).end == END_OF_TIME
    assert parse_date_time("0001-01-01", east).start == BEGINNING
    assert parse_date_time("2016-12-31T23:59:60Z", UTC).start.second == 59


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "24",
            "2024-1",
            "2024-13",
            "2023-02-29",
            "2024-00-01",
            "0000",
            "2024-01-01T24:00:00Z",
            "2024-01-01T23:60:60Z",
        ),
        *(
            "2024-01-01T10",
            "2024-01-01 10:00:00",
            "2024-01-01T10:00:00+25:00",
            "２０２４",
            "2024\n",
        ),
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_date_time(text, UTC)


def test_an_interval_without_bounds_has_no_boundaries() -> None:
    assert Interval(BEGINNING, END_OF_TIME).boundaries() == ()
    day = parse_date_time("2024-02-29", UTC)
    assert day.boundaries() == (day.start, day.start + timedelta(days=1))
