"""Sorting opened records by their search values (R4 search, 3.1.1.5.1): missing values come last, ties keep their order.

Dates sort by the instants they begin (descending: end) with, numbers and quantities by their value whatever the unit,
references by what they say, all else by its text.  Composites, places and whole-resource parameters have no order.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from fhir_server.forms import Record
from fhir_server.search.dates import Interval
from fhir_server.search.elements import ReferenceValue, TokenValue, Value
from fhir_server.search.numbers import Amount
from fhir_server.search.query import Sort
from fhir_server.search.strings import normalise
from fhir_server.search.values import ResourceValues

Key = tuple[int | Decimal, int, str]
Keys = tuple[Key | None, ...]
_T = TypeVar("_T")
_NO_KEY: Key = (0, 0, "")


def sort_keys(record: Record, sorts: Sequence[Sort], values: ResourceValues) -> Keys:
    """The key of a record for each sort; None where it has no value."""
    return tuple(
        _key(values.find(sort.parameter, record.value), descending=sort.descending)
        for sort in sorts
    )


def in_order(keyed: Sequence[tuple[Keys, _T]], sorts: Sequence[Sort]) -> list[_T]:
    """What has these keys in their order, the first key counting most."""
    ordered = list(keyed)
    for number, sort in reversed(list(enumerate(sorts))):
        present = [pair for pair in ordered if pair[0][number] is not None]
        missing = [pair for pair in ordered if pair[0][number] is None]
        present.sort(key=_by(number), reverse=sort.descending)
        ordered = present + missing
    return [one for _, one in ordered]


def _by(number: int) -> Callable[[tuple[Keys, object]], Key]:
    return lambda pair: pair[0][number] or _NO_KEY


def _key(found: Sequence[Value], *, descending: bool) -> Key | None:
    """Of several values the least counts, or the greatest when descending."""
    keys = [_comparable(value, descending=descending) for value in found]
    if not keys:
        return None
    return max(keys) if descending else min(keys)


def _comparable(value: Value, *, descending: bool) -> Key:
    match value:
        case Interval():
            return (value.high if descending else value.low, 0, "")
        case Amount():
            return (*(value.high if descending else value.low), "")
        case TokenValue():
            return (0, 0, f"{value.code}|{value.system}")
        case ReferenceValue():
            return (0, 0, value.reference)
        case str():
            return (0, 0, normalise(value))
        case _:
            raise AssertionError("the query has refused to sort by what has no order")
