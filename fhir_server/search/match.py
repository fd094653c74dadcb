"""The exact check: whether an opened resource is what was asked for (R4 search, 3.1.1.4).

The index gives candidates; this decides.  Criteria are AND-ed, the values of one criterion OR-ed.  A ``:not`` or
``:not-in`` also finds what has no value at all (3.1.1.4.4).
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial

from fhir_server.errors import InvalidParameterError
from fhir_server.search.conditions import Test, condition, tuple_condition
from fhir_server.search.criteria import Criterion, unescape
from fhir_server.search.filter import Both, Either, Leaf, Negation, Node, filter_of
from fhir_server.search.strings import content_words, narrative_words, words
from fhir_server.search.values import WHOLE, ResourceValues, pack

Json = Mapping[str, object]
Decision = Callable[[Json], bool]


class Matcher:
    """Whether resources of one type meet all criteria of one request.

    Many candidates share the member that a criterion looks at (their patient, their code): what was found for such a
    member is remembered for the request.

    Raises:
        InvalidParameterError: A value of a criterion is malformed, or names what is not known here.
    """

    def __init__(
        self, values: ResourceValues, criteria: Iterable[Criterion], base: str, now: datetime
    ) -> None:
        self._criteria = [
            (_decision(c, values, base, now), values.first_members(c.parameter)) for c in criteria
        ]
        self._known: dict[tuple[int, bytes], bool] = {}

    def matches(self, resource: Json) -> bool:
        """Whether ``resource`` meets all criteria."""
        return all(self._meets(number, resource) for number in range(len(self._criteria)))

    def _meets(self, number: int, resource: Json) -> bool:
        decide, members = self._criteria[number]
        packed = pack([resource.get(member) for member in members]) if members else b""
        if not packed or "contained" in resource:
            return decide(resource)
        key = (number, packed)
        if key not in self._known:
            self._known[key] = decide(resource)
        return self._known[key]


def _decision(criterion: Criterion, values: ResourceValues, base: str, now: datetime) -> Decision:
    parameter = criterion.parameter
    if parameter.code in WHOLE:
        return _of_whole(criterion, values, base, now)
    find = partial(values.find, parameter)
    if criterion.modifier == "missing":
        missing = criterion.values[0] == "true"
        return lambda resource: missing == (not find(resource))
    test = _test(criterion, values, base, now)
    negated = criterion.modifier in ("not", "not-in")
    return lambda resource: any(test(value) for value in find(resource)) != negated


def _test(criterion: Criterion, values: ResourceValues, base: str, now: datetime) -> Test:
    if not criterion.parameter.component:
        return condition(criterion, base, now)
    [parts, *_] = values.parts(criterion.parameter).values()
    return tuple_condition(criterion, parts, base, now)


def _of_whole(criterion: Criterion, values: ResourceValues, base: str, now: datetime) -> Decision:
    """``_text`` and ``_content``: all words of an alternative occur; ``_filter``: its expression holds."""
    if criterion.parameter.code == "_filter":
        return _filter_decision(filter_of(criterion, values), values, base, now)
    wanted = [frozenset(words(unescape(value))) for value in criterion.values]
    if not all(wanted):
        raise InvalidParameterError(
            f"search parameter '{criterion.parameter.code}' must hold words to look for"
        )
    read = narrative_words if criterion.parameter.code == "_text" else content_words

    def decide(resource: Json) -> bool:
        found = read(resource)
        return any(each <= found for each in wanted)

    return decide


def _filter_decision(node: Node, values: ResourceValues, base: str, now: datetime) -> Decision:
    match node:
        case Leaf():
            return _leaf_decision(node, values, base, now)
        case Negation():
            inner = _filter_decision(node.node, values, base, now)
            return lambda resource: not inner(resource)
        case Both() | Either():
            several = [_filter_decision(each, values, base, now) for each in node.nodes]
            combine = all if isinstance(node, Both) else any
            return lambda resource: combine(decide(resource) for decide in several)


def _leaf_decision(leaf: Leaf, values: ResourceValues, base: str, now: datetime) -> Decision:
    if not leaf.unequal:
        return _decision(leaf.criterion, values, base, now)
    test = condition(leaf.criterion, base, now)
    find = partial(values.find, leaf.criterion.parameter)
    return lambda resource: any(not test(value) for value in find(resource))
