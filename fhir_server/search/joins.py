"""Search across references: chains, ``_has``, ``_list`` and compartments, as they are asked (R4 search, 3.1.1.4.14 on).

``subject:Patient.name=x`` is a ``Chain``: the record's ``subject`` must refer to a Patient with that name.
``_has:Observation:patient:code=x`` is a ``Has``: an Observation with that code must refer to the record by ``patient``.
What comes last may be a plain parameter with its modifier, another chain or another ``_has``, up to five deep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.errors import InvalidParameterError
from fhir_server.search.criteria import Criterion, read_criterion, split_values, unescape
from fhir_server.search.values import Searchable
from profiles.definitions import SearchParameter

LOG = "AuditEvent"  # searched only where it is named: its index is brought up to date first
_DEEPEST = 5
_MOST_BRANCHES = (
    1000  # of all chains of a request; a chain that names no type tries every type it may lead to
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Records of one type, and what they must meet; all of it."""

    type_: str
    criteria: tuple[Criterion, ...] = ()
    joins: tuple[Join, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """The record refers, by ``parameter``, to a record that is wanted; ``name`` is the parameter as asked."""

    name: str
    parameter: SearchParameter
    targets: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """A record that is wanted refers, by ``parameter``, to this one."""

    name: str
    parameter: SearchParameter
    source: Wanted


@dataclass(frozen=True, slots=True)
class Listed:
    """The record is an item of one of the Lists of these ids."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InCompartment:
    """The record refers to ``owner`` (``Patient/1``) by one of ``links``, or is the owner itself if ``itself``."""

    owner: str
    links: tuple[SearchParameter, ...]
    itself: bool = False


@dataclass(frozen=True, slots=True)
class Within:
    """The record contains a resource that is wanted (``_contained``)."""

    contained: Wanted


Join = Chain | Has | Listed | InCompartment | Within


def is_join(name: str) -> bool:
    """Whether a parameter name reaches other records."""
    return name.startswith("_has:") or name == "_list" or "." in name


class JoinReader:
    """Reads the joins of one request; all of them together may have so many branches."""

    def __init__(self, searchable: Searchable, resource_types: frozenset[str]) -> None:
        self._searchable = searchable
        self._types = resource_types
        self._branches = 0

    def read(self, type_: str, name: str, value: str) -> Join:
        """Read one join asked of records of ``type_``.

        Raises:
            InvalidParameterError: A part of it is not known, it is too deep, or tries too many types.
        """
        if name == "_list":
            return _listed(value)
        joined = self._wanted(type_, name, name, value, 0)
        if joined is None:
            raise InvalidParameterError(f"search parameter '{name}' does not exist for {type_}")
        return joined.joins[0]

    def _wanted(self, type_: str, rest: str, name: str, value: str, depth: int) -> Wanted | None:
        """What ``rest`` asks of ``type_``; None if the type has no such parameter."""
        self._branches += 1
        if depth > _DEEPEST:
            raise InvalidParameterError(
                f"search parameter '{name[:64]}' is deeper than {_DEEPEST} levels"
            )
        if self._branches > _MOST_BRANCHES:
            raise InvalidParameterError(
                "the chained search parameters try too many types: name them, as in subject:Patient.name"
            )
        if rest.startswith("_has:"):
            return Wanted(type_, joins=(self._has(type_, rest, name, value, depth),))
        if "." in rest:
            chain = self._chain(type_, rest, name, value, depth)
            return Wanted(type_, joins=(chain,)) if chain else None
        values = self._searchable.of(type_)
        if not values.reads(rest.partition(":")[0]):
            return None
        return Wanted(type_, (read_criterion(values, rest, value),))

    def _chain(self, type_: str, rest: str, name: str, value: str, depth: int) -> Chain | None:
        head, _, tail = rest.partition(".")
        code, _, narrowed = head.partition(":")
        parameter = self._reference(type_, code)
        if parameter is None:
            return None
        if narrowed and narrowed not in parameter.target:
            raise InvalidParameterError(
                f"search parameter '{name[:64]}' names a type that it can not refer to"
            )
        targets = [narrowed] if narrowed else [t for t in parameter.target if t != LOG]
        found = [self._wanted(target, tail, name, value, depth + 1) for target in targets]
        known = tuple(wanted for wanted in found if wanted is not None)
        return Chain(name, parameter, known) if known else None

    def _has(self, type_: str, rest: str, name: str, value: str, depth: int) -> Has:
        _, source, code, tail = [*rest.split(":", 3), "", "", ""][:4]
        parameter = self._reference(source, code) if source in self._types else None
        if parameter is None or type_ not in parameter.target or not tail:
            raise InvalidParameterError(
                f"search parameter '{name[:64]}' must name a type, its reference to {type_}, and a parameter"
            )
        wanted = self._wanted(source, tail, name, value, depth + 1)
        if wanted is None:
            raise InvalidParameterError(
                f"search parameter '{name[:64]}' ends in one that {source} does not have"
            )
        return Has(name, parameter, wanted)

    def _reference(self, type_: str, code: str) -> SearchParameter | None:
        values = self._searchable.of(type_)
        parameter = values.parameters.get(code)
        known = parameter is not None and parameter.type == "reference" and values.reads(code)
        return parameter if known else None


def _listed(value: str) -> Listed:
    ids = tuple(unescape(v).removeprefix("List/") for v in split_values(value))
    if not all(ids) or any(id_.startswith("$") for id_ in ids):
        raise InvalidParameterError("_list must name a List by its id")
    return Listed(ids)


def compartment_join(
    owner: str, codes: Sequence[str], type_: str, searchable: Searchable
) -> InCompartment:
    """What records of ``type_`` must meet to be in the compartment of ``owner``; ``codes`` link them to it."""
    values = searchable.of(type_)
    links = tuple(values.parameters[code] for code in codes if values.reads(code))
    return InCompartment(owner, links, itself="{def}" in codes)
