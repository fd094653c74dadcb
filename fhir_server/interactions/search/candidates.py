"""From what is wanted to a ``Selection``: what the blind index and the columns can tell before anything is opened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.criteria import Criterion, split_prefix, unescape
from fhir_server.search.dates import FOREVER, NEVER, interval, widened
from fhir_server.search.plan import Group, groups
from fhir_server.search.values import ResourceValues
from fhir_server.store.protocol import Selection

_COLUMNS = frozenset({"_id", "_lastUpdated"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What candidates are chosen by, besides the criteria.

    Attributes:
        first: Token groups that come before those of the criteria.
        rows: Only these row keys, if not None.
    """

    first: tuple[Group, ...] = ()
    rows: frozenset[bytes] | None = None


def selection(
    values: ResourceValues,
    criteria: Sequence[Criterion],
    plan: Plan,
    blind: BlindIndex,
    base: str,
    now: datetime,
) -> Selection:
    """The selection of all candidates, in the order of creation, without a limit of its own."""
    ids = [c for c in criteria if c.parameter.code == "_id" and not c.modifier]
    times = [c for c in criteria if c.parameter.code == "_lastUpdated" and not c.modifier]
    others = [c for c in criteria if c.parameter.code not in _COLUMNS]
    since, until = _bounds(times, now)
    rows = _rows(ids, plan.rows, values.type_, blind)
    return Selection(
        values.type_,
        all_of=(*plan.first, *groups(values, others, blind, base, now)),
        rows=None if rows is None else tuple(sorted(rows)),
        since=since,
        until=until,
    )


def _rows(
    ids: Sequence[Criterion], rows: frozenset[bytes] | None, type_: str, blind: BlindIndex
) -> frozenset[bytes] | None:
    named = [frozenset(blind.row(type_, unescape(v)) for v in c.values) for c in ids]
    sets = named if rows is None else [*named, rows]
    return frozenset.intersection(*sets) if sets else None


def _bounds(times: Iterable[Criterion], now: datetime) -> tuple[int | None, int | None]:
    lows, highs = [NEVER], [FOREVER]
    for criterion in (c for c in times if len(c.values) == 1):
        prefix, text = split_prefix(criterion.values[0])
        span = interval(text)
        if prefix == "ap":
            span = widened(span, now)
        if prefix in ("eq", "ge", "gt", "sa", "ap"):
            lows.append(span.low)
        if prefix in ("eq", "le", "lt", "eb", "ap"):
            highs.append(span.high)
    low, high = max(lows), min(highs)
    return (None if low == NEVER else low), (None if high == FOREVER else high)
