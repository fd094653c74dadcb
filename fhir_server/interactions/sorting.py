"""Sorting opened records by their search values (R4 search, 3.1.1.5.1): missing values come last, ties keep their order.

Dates sort by the instants they begin (descending: end) with, numbers and quantities by their value whatever the unit,
references by what they say, all else by its text.  Composites, places and whole-resource parameters have no order.
"""

from collections.abc import Sequence
from decimal import Decimal

from fhir_server.forms import Record
from fhir_server.search.dates import Interval
from fhir_server.search.elements import ReferenceValue, TokenValue, Value
from fhir_server.search.numbers import Amount
from fhir_server.search.query import Sort
from fhir_server.search.strings import normalise
from fhir_server.search.values import ResourceValues

Key = tuple[int | Decimal, int, str]


def sort_records(
    records: Sequence[Record], sorts: Sequence[Sort], values: ResourceValues
) -> list[Record]:
    """The records in the order of the sort keys, the first key counting most."""
    ordered = list(records)
    for sort in reversed(sorts):
        keyed = [
            (_key(values.find(sort.parameter, r.value), descending=sort.descending), r)
            for r in ordered
        ]
        present = [(k, r) for k, r in keyed if k is not None]
        missing = [r for k, r in keyed if k is None]
        present.sort(key=lambda pair: pair[0], reverse=sort.descending)
        ordered = [r for _, r in present] + missing
    return ordered


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
