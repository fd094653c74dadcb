"""Reading a search request: what is asked, in which order, how many (R4 search, 3.1.1).

Covered: parameters of all types with their prefixes and modifiers (``criteria.py``); ``_sort``, ``_count``, ``_include``,
``_total``.  A parameter that is unknown here is named in the answer and left out of its self link, or refused with
``Prefer: handling=strict``; a parameter that limits access (``_security``) is never left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_server.errors import InvalidParameterError
from fhir_server.search.criteria import Criterion, read_criterion
from fhir_server.search.values import ResourceValues
from profiles.definitions import SearchParameter

_IGNORED = frozenset({"_format", "_pretty"})


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key."""

    parameter: SearchParameter
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """``_include=source:parameter:target``; ``target`` is empty for any type."""

    source: str
    parameter: SearchParameter
    target: str


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one resource type.

    Attributes:
        count: Page size; 0 asks for the total only.
        total: Whether the caller wants ``Bundle.total``.
        cursor: The sealed place at which the page begins, or empty.
        applied: The parameters that took effect, for the self link.
        unknown: Names of parameters that did not.
    """

    type_: str
    criteria: tuple[Criterion, ...] = ()
    sorts: tuple[Sort, ...] = ()
    includes: tuple[Include, ...] = ()
    count: int = 50
    total: bool = False
    cursor: str = ""
    applied: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()


def parse_query(
    values: ResourceValues,
    type_: str,
    pairs: Iterable[tuple[str, str]],
    *,
    page: tuple[int, int],
    strict: bool,
) -> Query:
    """Read the parameters of a search on ``type_``.

    Args:
        page: Default and largest page size.
        strict: Whether an unknown parameter is an error (``Prefer: handling=strict``).

    Raises:
        InvalidParameterError: A value, modifier or control parameter cannot be used, or one is unknown and ``strict``.
    """
    reader = _Reader(values, type_, page, strict)
    for name, value in pairs:
        if name not in _IGNORED:
            reader.take(name, value)
    return reader.query()


class _Reader:
    def __init__(
        self, values: ResourceValues, type_: str, page: tuple[int, int], strict: bool
    ) -> None:
        self._values = values
        self._type = type_
        self._strict = strict
        self._count, self._most = page
        self._criteria: list[Criterion] = []
        self._sorts: list[Sort] = []
        self._includes: list[Include] = []
        self._total = False
        self._cursor = ""
        self._applied: list[tuple[str, str]] = []
        self._unknown: list[str] = []

    def query(self) -> Query:
        return Query(
            self._type,
            tuple(self._criteria),
            tuple(self._sorts),
            tuple(self._includes),
            self._count,
            self._total or self._count == 0,
            self._cursor,
            tuple(self._applied),
            tuple(self._unknown),
        )

    def take(self, name: str, value: str) -> None:
        match name:
            case "_count":
                self._count = min(_whole(value), self._most)
            case "_sort":
                self._sorts = [self._sort(key) for key in value.split(",")]
            case "_include":
                self._include(value)
            case "_total":
                self._total = _choice(value, {"none": False, "estimate": True, "accurate": True})
            case "_cursor":
                self._cursor = value
                return
            case _:
                self._criterion(name, value)
                return
        self._applied.append((name, value))

    def _criterion(self, name: str, value: str) -> None:
        if self._parameter(name.partition(":")[0]) is None or value == "":
            self._leave_out(name)
            return
        self._criteria.append(read_criterion(self._values, name, value))
        self._applied.append((name, value))

    def _parameter(self, code: str) -> SearchParameter | None:
        parameter = self._values.parameters.get(code)
        return parameter if parameter is not None and self._values.reads(code) else None

    def _leave_out(self, name: str) -> None:
        if self._strict or name.startswith("_security"):
            raise InvalidParameterError(
                f"search parameter '{name}' is not supported for {self._type}"
            )
        self._unknown.append(name)

    def _sort(self, key: str) -> Sort:
        code = key.removeprefix("-")
        parameter = self._parameter(code)
        if parameter is None or not self._values.has_order(parameter):
            raise InvalidParameterError(f"cannot sort {self._type} by '{code}'")
        return Sort(parameter, key.startswith("-"))

    def _include(self, value: str) -> None:
        source, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        parameter = self._parameter(code)
        if source != self._type or parameter is None or parameter.type != "reference":
            raise InvalidParameterError(
                "_include must name this type and one of its reference parameters"
            )
        self._includes.append(Include(source, parameter, target))


def _whole(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise InvalidParameterError("_count must be a whole number")
    return int(value)


def _choice(value: str, choices: Mapping[str, bool]) -> bool:
    if value not in choices:
        raise InvalidParameterError(f"the value must be one of {', '.join(choices)}")
    return choices[value]
