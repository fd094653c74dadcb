"""Reading a search request: what is asked, in which order, how many (R4 search, 3.1.1).

Covered: string, token, reference, date and uri parameters with their prefixes and the modifiers ``:missing``, ``:not``,
``:exact``, ``:contains``, ``:identifier`` and ``:[type]``; ``_id``, ``_lastUpdated``, ``_sort``, ``_count``, ``_include``,
``_total``.  A parameter that is unknown here is named in the answer and left out of its self link, or refused with
``Prefer: handling=strict``; a parameter that limits access (``_security``) is never left out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_server.errors import InvalidParameterError
from fhir_server.search.values import ResourceValues
from profiles.definitions import SearchParameter

_IGNORED = frozenset({"_format", "_pretty"})
_MODIFIERS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"", "exact", "contains", "missing"}),
    "token": frozenset({"", "not", "missing"}),
    "reference": frozenset({"", "identifier", "missing"}),
    "date": frozenset({"", "missing"}),
    "uri": frozenset({"", "missing"}),
}
_PART = re.compile(r"(?:[^\\,]|\\.|\\$)*", re.DOTALL)  # up to a comma that is not escaped
_SYSTEM = re.compile(r"((?:[^\\|]|\\.)*)\|(.*)", re.DOTALL)  # up to a bar that is not escaped
_MOST_VALUES = 2000
_DATE_PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One search parameter as asked.

    Attributes:
        modifier: Without the colon; empty for none; a type name for ``subject:Patient``.
        values: Alternatives, still escaped.
    """

    parameter: SearchParameter
    modifier: str
    values: tuple[str, ...]


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
        code, _, modifier = name.partition(":")
        parameter = self._parameter(code)
        if parameter is None or value == "":
            self._leave_out(name)
            return
        if modifier not in _MODIFIERS[parameter.type] and modifier not in parameter.target:
            raise InvalidParameterError(
                f"the modifier of search parameter '{name}' is not supported"
            )
        if modifier == "missing":
            _choice(value, {"true": True, "false": False})
        if value.count(",") >= _MOST_VALUES:
            raise InvalidParameterError(f"search parameter '{name}' has too many alternatives")
        self._criteria.append(Criterion(parameter, modifier, tuple(split_values(value))))
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
        if parameter is None:
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


def split_values(value: str) -> list[str]:
    """The alternatives of a value, still escaped."""
    parts = [_PART.match(value, 0)]
    while parts[-1] is not None and parts[-1].end() < len(value):
        parts.append(_PART.match(value, parts[-1].end() + 1))
    return [part.group() for part in parts if part is not None]


def unescape(value: str) -> str:
    """Take ``\\,`` ``\\|`` ``\\$`` and ``\\\\`` back to the characters they stand for."""
    return re.sub(r"\\([,|$\\])", r"\1", value)


def split_token(value: str) -> tuple[str | None, str]:
    """``system|code`` as (system or None where not given, code); ``|code`` has the empty system."""
    match = _SYSTEM.fullmatch(value)
    if match is None:
        return None, unescape(value)
    return unescape(match[1]), unescape(match[2])


def split_prefix(value: str) -> tuple[str, str]:
    """``ge2020`` as (``ge``, ``2020``); no prefix means ``eq``."""
    match = _DATE_PREFIX.fullmatch(value)
    assert match is not None
    return match[1] or "eq", match[2]


def _whole(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise InvalidParameterError("_count must be a whole number")
    return int(value)


def _choice(value: str, choices: Mapping[str, bool]) -> bool:
    if value not in choices:
        raise InvalidParameterError(f"the value must be one of {', '.join(choices)}")
    return choices[value]
