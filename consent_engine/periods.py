"""FHIR dates as closed intervals of instants.

Implements consent.md 2.8 (R4 datatypes: dateTime, Period): a partial date means all of the time it
names, an end includes its last instant to its own precision, and a value without a zone is read in
the zone of the deployment.  Not here: Timing, Age and other ways of saying when.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

BEGINNING = datetime.min.replace(tzinfo=UTC)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_DAY, _MINUTE, _SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
_TICK = timedelta(microseconds=1)
_DATE_TIME = re.compile(
    r"[0-9]{4}(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([01][0-9]|2[0-3]):[0-9]{2}(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)


@dataclass(frozen=True, slots=True)
class Interval:
    """All instants from ``start`` to ``end``, both included.

    Attributes:
        start: First instant, UTC; ``BEGINNING`` where the Period has no start.
        end: Last instant, UTC, exact to the microsecond; ``END_OF_TIME`` where it has no end.
    """

    start: datetime
    end: datetime

    def contains(self, instant: datetime) -> bool:
        """Tell whether the instant lies inside, bounds included."""
        return self.start <= instant <= self.end

    def encloses(self, other: "Interval") -> bool:
        """Tell whether the other interval lies wholly inside this one."""
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: "Interval") -> bool:
        """Tell whether the two have an instant in common."""
        return self.start <= other.end and other.start <= self.end

    def boundaries(self) -> tuple[datetime, ...]:
        """The instants at which ``contains`` changes: the start, and the first instant after."""
        starts = () if self.start == BEGINNING else (self.start,)
        return starts if self.end == END_OF_TIME else (*starts, self.end + _TICK)


# Remembered: a Consent says some of its dates twice, and patients sign on the same days.
@lru_cache(maxsize=4096)
def parse_date_time(text: str, zone: tzinfo) -> Interval:
    """Read a FHIR date, dateTime or instant as the interval that it names.

    Raises:
        ValueError: Not a FHIR date or dateTime; conclude nothing from it.
    """
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a FHIR date or dateTime")
    month, day, hour, second, fraction, offset = found.groups()
    whole = text if day else f"{text}-01" if month else f"{text}-01-01"
    if second == "60":  # datetime cannot hold a leap second
        whole = whole.replace(":60", ":59", 1)
    start = datetime.fromisoformat(whole)
    if offset is None:
        start = start.replace(tzinfo=zone)
    try:
        if month is None:
            following = start.replace(year=start.year + 1)
        elif day is None:
            following = (start + timedelta(days=31)).replace(day=1)
        else:
            following = start + _precision(hour, second, fraction)
        last = _to_utc(following)
    except (ValueError, OverflowError):  # after 9999-12-31
        last = END_OF_TIME
    return Interval(_to_utc(start), last if last == END_OF_TIME else last - _TICK)


def _precision(hour: str | None, second: str | None, fraction: str | None) -> timedelta:
    if hour is None:
        return _DAY
    if second is None:
        return _MINUTE
    return _SECOND if fraction is None else timedelta(microseconds=10 ** max(0, 6 - len(fraction)))


def _to_utc(local: datetime) -> datetime:
    try:
        return local.astimezone(UTC)
    except OverflowError:  # the first and the last day that datetime can hold
        return BEGINNING if local.year == 1 else END_OF_TIME
