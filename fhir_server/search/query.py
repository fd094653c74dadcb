"""Reading a search request: what is asked, in which order, how many, and what comes along (R4 search, 3.1.1).

Criteria are read by ``criteria.py``, what reaches other records by ``joins.py``; here are the parameters that shape the
answer: ``_sort``, ``_count``, ``_total``, ``_summary=count``, ``_include``, ``_revinclude``, ``_contained``.  A parameter
that is unknown is named in the answer and left out of its self link, or refused with ``Prefer: handling=strict``; one that
limits access (``_security``) is never left out.  A search of several types takes the parameters that all of them have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fhir_server.errors import InvalidParameterError
from fhir_server.search.criteria import Criterion, read_criterion
from fhir_server.search.joins import JoinReader, Wanted, is_join
from fhir_server.search.values import ResourceValues, Searchable
from profiles.definitions import SearchParameter

_T = TypeVar("_T")
_IGNORED = frozenset({"_format", "_pretty"})
_TOTALS = {"none": False, "estimate": True, "accurate": True, "count": True}
_CONTAINED = {"false": "", "true": "only", "both": "both"}
_COMMON = frozenset({"Resource", "DomainResource"})
_ITERATE = frozenset({"iterate", "recurse"})
_MOST_JOINS = 20
_MOST_INCLUDES = 50


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key."""

    parameter: SearchParameter
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """``_include=source:parameter:target``, or ``_revinclude`` if ``reverse``.

    Attributes:
        source: Type that refers; ``*`` for any.
        parameter: None for any reference of the source.
        target: Type that is referred to; empty for any.
        iterate: Whether it holds for what was included, too.
    """

    source: str
    parameter: SearchParameter | None
    target: str
    iterate: bool
    reverse: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A search.

    Attributes:
        wanted: What is searched for, of each type.
        count: Page size; 0 asks for the total only.
        total: Whether the caller wants ``Bundle.total``.
        cursor: The sealed place at which the page begins, or empty.
        contained: ``only`` or ``both`` if contained resources are searched; else empty.
        applied: The parameters that took effect, for the self link.
        unknown: Names of parameters that did not.
    """

    wanted: tuple[Wanted, ...]
    sorts: tuple[Sort, ...] = ()
    includes: tuple[Include, ...] = ()
    count: int = 50
    total: bool = False
    cursor: str = ""
    contained: str = ""
    applied: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()


def parse_query(
    searchable: Searchable,
    types: Sequence[str],
    pairs: Iterable[tuple[str, str]],
    *,
    resource_types: frozenset[str],
    page: tuple[int, int],
    strict: bool,
) -> Query:
    """Read the parameters of a search on ``types``.

    Args:
        page: Default and largest page size.
        strict: Whether an unknown parameter is an error (``Prefer: handling=strict``).

    Raises:
        InvalidParameterError: A value, modifier or control parameter cannot be used, or one is unknown and ``strict``.
    """
    reader = _Reader(searchable, types, resource_types, page, strict)
    for name, value in pairs:
        if name not in _IGNORED:
            reader.take(name, value)
    return reader.query()


def parse_criteria(
    values: ResourceValues, pairs: Iterable[tuple[str, str]]
) -> tuple[Criterion, ...]:
    """Read what is asked of one resource by itself (in a granular scope, of an entry of a Bundle): plain parameters only.

    Raises:
        InvalidParameterError: One is not known for that type, reaches other resources, or cannot be used.
    """
    found = []
    for name, value in pairs:
        if not values.reads(name.partition(":")[0]) or not value:
            raise InvalidParameterError(
                f"search parameter '{name}' can not be asked of one resource by itself"
            )
        found.append(read_criterion(values, name, value))
    return tuple(found)


class _Reader:
    def __init__(
        self,
        searchable: Searchable,
        types: Sequence[str],
        resource_types: frozenset[str],
        page: tuple[int, int],
        strict: bool,
    ) -> None:
        self._searchable = searchable
        self._wanted = {type_: Wanted(type_) for type_ in types}
        self._resource_types = resource_types
        self._joins = JoinReader(searchable, resource_types)
        self._strict = strict
        self._count, self._most = page
        self._sorts: list[Sort] = []
        self._includes: list[Include] = []
        self._joined = 0
        self._counted = False
        self._total = False
        self._cursor = ""
        self._contained = ""
        self._applied: list[tuple[str, str]] = []
        self._unknown: list[str] = []

    def query(self) -> Query:
        return Query(
            tuple(self._wanted.values()),
            tuple(self._sorts),
            tuple(self._includes),
            0 if self._counted else self._count,
            self._total or self._counted or self._count == 0,
            self._cursor,
            self._contained,
            tuple(self._applied),
            tuple(self._unknown),
        )

    def take(self, name: str, value: str) -> None:
        match name:
            case "_count":
                self._count = min(_whole(value), self._most)
            case "_sort":
                self._sorts = [self._sort(key) for key in value.split(",")]
            case "_total" | "_totalMethod":
                self._total = _choice(value, _TOTALS)
            case "_contained":
                self._contained = _choice(value, _CONTAINED)
            case "_containedType":
                _choice(value, {"container": ""})
            case "_cursor":
                self._cursor = value
                return
            case "_summary":
                self._counted = value == "count"
            case (
                "_elements" | "_type"
            ):  # say what is shown (``view.py``) and which types (``breadth.py``)
                pass
            case _:
                self._other(name, value)
                return
        self._applied.append((name, value))

    def _other(self, name: str, value: str) -> None:
        kind, _, modifier = name.partition(":")
        if kind in ("_include", "_revinclude") and modifier in ("", *_ITERATE):
            self._include(name, value, iterate=bool(modifier), reverse=kind == "_revinclude")
        elif value == "" or not (is_join(name) or self._all_read(kind)):
            self._leave_out(name)
            return
        else:
            self._narrow(name, value)
        self._applied.append((name, value))

    def _narrow(self, name: str, value: str) -> None:
        self._joined += is_join(name)
        if self._joined > _MOST_JOINS:
            raise InvalidParameterError(
                f"at most {_MOST_JOINS} search parameters may reach other resources"
            )
        for type_, wanted in self._wanted.items():
            if is_join(name):
                join = self._joins.read(type_, name, value)
                self._wanted[type_] = replace(wanted, joins=(*wanted.joins, join))
            else:
                criterion = read_criterion(self._searchable.of(type_), name, value)
                self._wanted[type_] = replace(wanted, criteria=(*wanted.criteria, criterion))

    def _all_read(self, code: str) -> bool:
        return all(self._searchable.of(type_).reads(code) for type_ in self._wanted)

    def _leave_out(self, name: str) -> None:
        if self._strict or name.startswith("_security"):
            raise InvalidParameterError(
                f"search parameter '{name}' is not supported for {self._named()}"
            )
        self._unknown.append(name)

    def _named(self) -> str:
        return next(iter(self._wanted)) if len(self._wanted) == 1 else "all types searched"

    def _sort(self, key: str) -> Sort:
        code = key.removeprefix("-")
        if not self._all_read(code) or not self._wanted:
            raise InvalidParameterError(f"cannot sort {self._named()} by '{code}'")
        values = self._searchable.of(next(iter(self._wanted)))
        parameter = values.parameters[code]
        if not values.has_order(parameter):
            raise InvalidParameterError(f"cannot sort {self._named()} by '{code}'")
        if len(self._wanted) > 1 and not _COMMON.intersection(parameter.base):
            raise InvalidParameterError(f"several types can not be sorted together by '{code}'")
        return Sort(parameter, key.startswith("-"))

    def _include(self, name: str, value: str, *, iterate: bool, reverse: bool) -> None:
        source, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        if value == "*":
            self._includes.append(Include("*", None, "", iterate, reverse))
        else:
            parameter = self._reference(source, code)
            here = target if reverse else source
            outside = here and here not in self._wanted and not iterate
            if (parameter is None and code != "*") or outside:
                raise InvalidParameterError(
                    f"{name} must name a type and one of its reference parameters, for the type searched"
                )
            self._includes.append(Include(source, parameter, target, iterate, reverse))
        if len(self._includes) > _MOST_INCLUDES:
            raise InvalidParameterError(f"at most {_MOST_INCLUDES} includes may be asked for")

    def _reference(self, source: str, code: str) -> SearchParameter | None:
        if source not in self._resource_types:
            raise InvalidParameterError("an include must name a resource type")
        values = self._searchable.of(source)
        parameter = values.parameters.get(code)
        known = parameter is not None and parameter.type == "reference" and values.reads(code)
        return parameter if known else None


def _whole(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise InvalidParameterError("_count must be a whole number")
    return int(value)


def _choice(value: str, choices: Mapping[str, _T]) -> _T:
    if value not in choices:
        raise InvalidParameterError(f"the value must be one of {', '.join(choices)}")
    return choices[value]
