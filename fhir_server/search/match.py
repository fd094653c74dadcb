"""The exact check: whether an opened resource is what was asked for (R4 search, 3.1.1.4).

The index gives candidates; this decides.  Criteria are AND-ed, the values of one criterion OR-ed.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from fhir_server.errors import InvalidParameterError
from fhir_server.search.criteria import Criterion, split_prefix, split_token, unescape
from fhir_server.search.dates import Interval, interval
from fhir_server.search.plan import local_reference, widened
from fhir_server.search.values import (
    ReferenceValue,
    ResourceValues,
    TokenValue,
    Value,
    normalise,
    pack,
)


class Matcher:
    """Whether resources of one type meet all criteria of one request.

    Many candidates share the member that a criterion looks at (their patient, their code): what was found for such a
    member is remembered for the request.
    """

    def __init__(
        self, values: ResourceValues, criteria: Iterable[Criterion], base: str, now: datetime
    ) -> None:
        self._values = values
        self._criteria = [(c, values.first_members(c.parameter)) for c in criteria]
        self._base = base
        self._now = now
        self._known: dict[tuple[int, bytes], bool] = {}

    def matches(self, resource: Mapping[str, object]) -> bool:
        """Whether ``resource`` meets all criteria."""
        return all(self._meets(number, resource) for number in range(len(self._criteria)))

    def _meets(self, number: int, resource: Mapping[str, object]) -> bool:
        criterion, members = self._criteria[number]
        seen = [resource.get(member) for member in members]
        packed = pack(seen)
        if not packed or "contained" in resource:
            return self._decide(criterion, resource)
        key = (number, packed)
        if key not in self._known:
            self._known[key] = self._decide(criterion, resource)
        return self._known[key]

    def _decide(self, criterion: Criterion, resource: Mapping[str, object]) -> bool:
        return _meets(
            criterion, self._values.find(criterion.parameter, resource), self._base, self._now
        )


def check_values(criteria: Iterable[Criterion]) -> None:
    """Refuse values that can match nothing because they are malformed, before the store is asked.

    Raises:
        InvalidParameterError: A date is not one.
    """
    for criterion in criteria:
        if criterion.parameter.type == "date" and criterion.modifier != "missing":
            for value in criterion.values:
                try:
                    interval(split_prefix(value)[1])
                except InvalidParameterError as error:
                    raise InvalidParameterError(
                        f"search parameter '{criterion.parameter.code}': {error}"
                    ) from error


def _meets(criterion: Criterion, found: Sequence[Value], base: str, now: datetime) -> bool:
    if criterion.modifier == "missing":
        return (criterion.values[0] == "true") == (not found)
    hit = any(
        _is(criterion, value, wanted, base, now) for wanted in criterion.values for value in found
    )
    return hit != (criterion.modifier == "not")


def _is(criterion: Criterion, value: Value, wanted: str, base: str, now: datetime) -> bool:
    match value:
        case TokenValue():
            return token_is(value, wanted)
        case ReferenceValue():
            return _reference_is(value, criterion.modifier, wanted, base)
        case Interval():
            return _date_is(value, wanted, now)
        case _ if criterion.parameter.type == "uri":
            return value == unescape(wanted)
        case _:
            return _string_is(value, criterion.modifier, unescape(wanted))


def token_is(value: TokenValue, wanted: str) -> bool:
    """Whether a coded value is what ``system|code`` asks for; a code without a bar matches in any system."""
    system, code = split_token(wanted)
    return (system is None or value.system == system) and (not code or value.code == code)


def _reference_is(value: ReferenceValue, modifier: str, wanted: str, base: str) -> bool:
    if modifier == "identifier":
        return value.identifier is not None and token_is(value.identifier, wanted)
    reference = local_reference(wanted, modifier, base)
    mine = value.reference.removeprefix(f"{base}/")
    return bool(mine) and (
        mine == reference or ("/" not in reference and mine.rpartition("/")[2] == reference)
    )


def _string_is(value: str, modifier: str, wanted: str) -> bool:
    if modifier == "exact":
        return value == wanted
    have, want = normalise(value), normalise(wanted)
    if modifier == "contains":
        return want in have
    return have.startswith(want) or f" {want}" in f" {have}"


def _date_is(value: Interval, wanted: str, now: datetime) -> bool:
    prefix, text = split_prefix(wanted)
    span = interval(text)
    if prefix == "ap":
        span = widened(span, now)
    clocks = [(value.low, value.high)]
    if span.by_day and value.shift:
        clocks.append((value.low + value.shift, value.high + value.shift))
    if prefix == "ne":
        return not any(_compare("eq", low, high, span) for low, high in clocks)
    return any(_compare(prefix, low, high, span) for low, high in clocks)


def _compare(prefix: str, low: int, high: int, span: Interval) -> bool:
    match prefix:
        case "eq":
            return span.low <= low and high <= span.high
        case "gt":
            return high > span.high
        case "ge":
            return high > span.low
        case "lt":
            return low < span.low
        case "le":
            return low < span.high
        case "sa":
            return low >= span.high
        case "eb":
            return high <= span.low
        case _:  # ap
            return low < span.high and high > span.low
