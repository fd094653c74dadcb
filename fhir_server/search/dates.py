"""FHIR dates as intervals, and the buckets under which the blind index keeps them.

A date is the interval of all instants that it may mean (R4 search, 3.1.1.4.7): ``2020-03`` is the whole of March.
Intervals are half-open, in milliseconds since 1970 UTC.  A value without a zone is read in UTC.  A value with another
offset also belongs to the day that its own clock showed: ``2020-01-01T00:30+01:00`` is found by ``2020-01-01`` and by
``2019-12-31`` (searching by day or coarser), because whoever wrote it and whoever searches may mean either.

Buckets: each day lies in one bucket of 1, 4, 16 ... 4,096 days; a range of days becomes the fewest buckets that cover it.
"""

import re
from calendar import isleap, monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from fhir_server.errors import InvalidParameterError

DAY = 86_400_000
FOREVER = 8_000_000_000_000  # year 2223
NEVER = -5_400_000_000_000  # year 1798
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LEVELS = 7
_FIRST_DAY, _LAST_DAY = NEVER // DAY, FOREVER // DAY
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Interval:
    """The instants that a date may mean.

    Attributes:
        low: First instant, milliseconds.
        high: First instant after it.
        shift: Offset of its own clock from UTC, milliseconds; 0 for values without a time.
        by_day: Whether it names a day or something coarser.
    """

    low: int
    high: int
    shift: int = 0
    by_day: bool = False


def interval(text: str) -> Interval:
    """Read a FHIR date, dateTime or instant, or a search value (which may stop at the minute).

    Raises:
        InvalidParameterError: It is not one.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise InvalidParameterError(
            "a date must look like 2020, 2020-03, 2020-03-31 or 2020-03-31T12:00:00Z"
        )
    try:
        return _interval(*match.groups())
    except (ValueError, OverflowError) as error:
        raise InvalidParameterError("a date names a day or time that does not exist") from error


def _interval(
    year: str, month: str, day: str, hour: str, minute: str, second: str, fraction: str, zone: str
) -> Interval:
    if hour is None:
        first = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        if day:
            length = 1
        elif month:
            length = monthrange(first.year, first.month)[1]
        else:
            length = 366 if isleap(first.year) else 365
        low_ms = _ms(first)
        return Interval(low_ms, low_ms + length * DAY, by_day=True)
    offset, clock = _offset(zone)
    leap = second == "60"
    at = datetime(
        *(int(year), int(month), int(day), int(hour), int(minute)),
        59 if leap else int(second or 0),
        tzinfo=clock,
    )
    low_ms = _ms(at) + (1000 if leap else 0) + int((fraction or "0").ljust(3, "0")[:3])
    width = 60_000 if second is None else 1000 if fraction is None else 1
    return Interval(low_ms, low_ms + width, offset)


def _offset(zone: str | None) -> tuple[int, timezone]:
    """The offset of a zone from UTC, in milliseconds, and the zone."""
    if zone is None or zone == "Z":
        return 0, UTC
    sign = -1 if zone[0] == "-" else 1
    offset = sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return offset // _MILLISECOND, timezone(offset)


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND


def days(span: Interval) -> tuple[int, int]:
    """First and last day that the interval touches, on either clock, within the years that the index tells apart."""
    low = min(span.low, span.low + span.shift) // DAY
    high = (max(span.high, span.high + span.shift) - 1) // DAY
    return max(_FIRST_DAY, min(low, _LAST_DAY)), max(_FIRST_DAY, min(high, _LAST_DAY))


def buckets_of(day: int) -> Iterator[str]:
    """The bucket names of one day, finest first."""
    for level in range(_LEVELS):
        yield f"{level}:{day >> (2 * level)}"


def cover(first: int | None, last: int | None) -> Iterator[str]:
    """The fewest buckets that hold the days ``first`` to ``last``, both included; None for no bound."""
    low = _FIRST_DAY if first is None else first
    high = _LAST_DAY if last is None else last
    level = 0
    while low <= high:
        top = level == _LEVELS - 1
        while low <= high and (top or low & 3):
            yield f"{level}:{low}"
            low += 1
        while low <= high and not top and high & 3 != 3:
            yield f"{level}:{high}"
            high -= 1
        if low > high:
            return
        low, high, level = low >> 2, high >> 2, level + 1


def widened(span: Interval, now: datetime) -> Interval:
    """``ap``: a tenth of the time between then and now, to both sides (R4 search, 3.1.1.4.5)."""
    tenth = abs(int(now.timestamp() * 1000) - span.low) // 10
    return Interval(span.low - tenth, span.high + tenth, span.shift, span.by_day)


def compare(prefix: str, value: Interval, span: Interval) -> bool:
    """Whether ``value`` stands in the relation ``prefix`` to what is asked for (R4 search, 3.1.1.4.5).

    Asked by the day or coarser, a value with an offset may lie where its own clock had it, too.  ``po`` is overlapping.
    """
    clocks = [(value.low, value.high)]
    if span.by_day and value.shift:
        clocks.append((value.low + value.shift, value.high + value.shift))
    if prefix == "ne":
        return not any(_compare("eq", low, high, span) for low, high in clocks)
    return any(_compare(prefix, low, high, span) for low, high in clocks)


def _compare(prefix: str, low: int, high: int, span: Interval) -> bool:
    within = span.low <= low and high <= span.high
    match prefix:
        case "eq":
            return within
        case "gt":
            return high > span.high
        case "ge":
            return high > span.high or within
        case "lt":
            return low < span.low
        case "le":
            return low < span.low or within
        case "sa":
            return low >= span.high
        case "eb":
            return high <= span.low
        case _:  # ap, po
            return low < span.high and high > span.low
