"""Chains, ``_has``, ``_list``, ``_contained`` and compartments: which records hold, decided only by what the caller may see.

The records of the other side are found as if they were searched for themselves: under the scopes of their type, through
the gate.  A hidden one joins nothing.  If the other side has few candidates (``_FEW``, counted by the index, nothing
opened), it is resolved first and narrows this side; else each record of this side asks for its own partners.  Both give
the same answer.  ADR 0007.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fhir_server.errors import TooManyError
from fhir_server.forms import Record
from fhir_server.interactions.search.finding import Finder, Joined, Reach
from fhir_server.interactions.stages import located
from fhir_server.interactions.value_sets import with_value_sets
from fhir_server.search.conditions import local_reference
from fhir_server.search.criteria import Criterion
from fhir_server.search.elements import ReferenceValue
from fhir_server.search.joins import Chain, Has, InCompartment, Join, Listed, Wanted, Within
from fhir_server.search.match import Matcher
from fhir_server.search.plan import Group, groups
from fhir_server.search.values import ResourceValues
from profiles.definitions import SearchParameter
from smart_auth.authorization.scopes import Scope

_FEW = 1000
_MOST_ROWS = 20_000


async def finder_of(
    reach: Reach, wanted: Wanted, covering: tuple[Scope, ...], also: Sequence[Joined] = ()
) -> Finder:
    """A finder with its joins resolved; what ``also`` says must hold, too.

    Raises:
        ScopeError: A join reaches a type that the token's scopes do not let search.
        InvalidParameterError: A value can not be used.
        TooManyError: A join opens more than one request may.
    """
    values = reach.desk.tools.searchable.of(wanted.type_)
    criteria = await with_value_sets(wanted.criteria, values, reach.in_scope, reach.desk)
    joined = [await _joined(reach, wanted.type_, join) for join in wanted.joins]
    return Finder(reach, replace(wanted, criteria=criteria), covering, [*joined, *also])


async def _joined(reach: Reach, type_: str, join: Join) -> Joined:
    match join:
        case Chain():
            return await _chained(reach, type_, join)
        case Has():
            return await _had(reach, type_, join)
        case Listed():
            return await _listed(reach, type_, join)
        case InCompartment():
            return _Linked(reach, type_, join)
        case Within():
            return _Containing(reach, join)


def references_in(
    record: Record, parameter: SearchParameter, values: ResourceValues, base: str
) -> list[str]:
    """What a record refers to by a parameter: ``Type/id`` for what is ours, without version."""
    found = values.find(parameter, record.value)
    return [
        local_reference(value.reference, "", base)
        for value in found
        if isinstance(value, ReferenceValue) and value.reference
    ]


def referring(
    reach: Reach, values: ResourceValues, parameter: SearchParameter, references: Sequence[str]
) -> tuple[Group, ...]:
    """The token group of records that refer to any of ``references`` by a parameter; none if the index can not tell."""
    desk, now = reach.desk, reach.in_scope.asked.received.now
    asked = Criterion(parameter, "", tuple(references))
    return groups(values, (asked,), desk.reader.blind, desk.tools.base, now)


async def _chained(reach: Reach, type_: str, chain: Chain) -> Joined:
    covered = [(t, reach.covering(t.type_)) for t in chain.targets if reach.covering(t.type_)]
    if not covered:
        reach.require(chain.targets[0].type_, chain.name)
    finders = {t.type_: await finder_of(reach, t, covering) for t, covering in covered}
    found: set[str] = set()
    for finder in finders.values():
        few = await finder.few(_FEW)
        if few is None or len(found) + len(few) > _FEW:
            return _LateChain(reach, type_, chain.parameter, finders)
        found.update(record.reference for record in few)
    return _Referring(reach, type_, chain.parameter, frozenset(found))


async def _had(reach: Reach, type_: str, has: Has) -> Joined:
    source = has.source.type_
    finder = await finder_of(reach, has.source, reach.require(source, has.name))
    few = await finder.few(_FEW)
    base = reach.desk.tools.base
    if few is not None:
        found = {
            reference
            for record in few
            for reference in references_in(record, has.parameter, finder.values, base)
            if reference.startswith(f"{type_}/")
        }
        if len(found) <= _MOST_ROWS:
            return _Named(reach, frozenset(found))
    return _LateHas(finder, has.parameter)


async def _listed(reach: Reach, type_: str, listed: Listed) -> Joined:
    covering = reach.require("List", "_list")
    found: set[str] = set()
    for id_ in listed.ids:
        version = await reach.desk.reader.find("List", id_)
        if version is None or version.deleted:
            continue
        admitted = await reach.desk.gate.admit(
            located(reach.in_scope, (version,), covering=covering)
        )
        found.update(r for record in admitted for r in _items(record, reach.desk.tools.base))
    if len(found) > _MOST_ROWS:
        raise TooManyError("the list has more items than one search can look at")
    return _Named(reach, frozenset(r for r in found if r.startswith(f"{type_}/")))


def _items(record: Record, base: str) -> list[str]:
    """What a List holds now: entries that are not marked as deleted."""
    entries = record.value.get("entry")
    found = []
    for entry in entries if isinstance(entries, list) else ():
        item = entry.get("item") if isinstance(entry, dict) else None
        reference = item.get("reference") if isinstance(item, dict) else None
        if isinstance(reference, str) and entry.get("deleted") is not True:
            found.append(local_reference(reference, "", base))
    return found


class _Named:
    """Holds for records of some references."""

    groups: tuple[Group, ...] = ()

    def __init__(self, reach: Reach, references: frozenset[str]) -> None:
        blind = reach.desk.reader.blind
        split = (reference.partition("/") for reference in references)
        self._references = references
        self.rows: frozenset[bytes] | None = frozenset(blind.row(t, id_) for t, _, id_ in split)

    async def holds(self, record: Record) -> bool:
        return record.reference in self._references


class _Referring:
    """Holds for records that refer to any of some references by a parameter."""

    def __init__(
        self, reach: Reach, type_: str, parameter: SearchParameter, references: frozenset[str]
    ) -> None:
        self._base = reach.desk.tools.base
        self._values = reach.desk.tools.searchable.of(type_)
        self._parameter = parameter
        self._references = references
        self.rows: frozenset[bytes] | None = None if references else frozenset()
        self.groups: tuple[Group, ...] = ()
        if references:
            self.groups = referring(reach, self._values, parameter, sorted(references))

    async def holds(self, record: Record) -> bool:
        found = references_in(record, self._parameter, self._values, self._base)
        return not self._references.isdisjoint(found)


class _LateChain:
    """The same, where too many records may be referred to: each record is asked for those that it names."""

    groups: tuple[Group, ...] = ()
    rows: frozenset[bytes] | None = None

    def __init__(
        self,
        reach: Reach,
        type_: str,
        parameter: SearchParameter,
        finders: Mapping[str, Finder],
    ) -> None:
        self._reach = reach
        self._values = reach.desk.tools.searchable.of(type_)
        self._parameter = parameter
        self._finders = finders
        self._known: dict[str, bool] = {}

    async def holds(self, record: Record) -> bool:
        base = self._reach.desk.tools.base
        for reference in references_in(record, self._parameter, self._values, base):
            if reference not in self._known:
                self._known[reference] = await self._is_wanted(reference)
            if self._known[reference]:
                return True
        return False

    async def _is_wanted(self, reference: str) -> bool:
        type_, _, id_ = reference.partition("/")
        finder = self._finders.get(type_)
        if finder is None:
            return False
        row = self._reach.desk.reader.blind.row(type_, id_)
        async for _ in finder.among(frozenset((row,))):
            return True
        return False


class _LateHas:
    """Holds for records that a wanted one refers to, where those are too many: each record is asked for its own."""

    groups: tuple[Group, ...] = ()
    rows: frozenset[bytes] | None = None

    def __init__(self, finder: Finder, parameter: SearchParameter) -> None:
        self._finder = finder
        self._parameter = parameter

    async def holds(self, record: Record) -> bool:
        mine = Criterion(self._parameter, "", (record.reference,))
        wanted = self._finder.wanted
        own = self._finder.with_criteria(replace(wanted, criteria=(mine, *wanted.criteria)))
        async for _ in own.find(own.selection):
            return True
        return False


class _Linked:
    """Holds for the records of a compartment."""

    def __init__(self, reach: Reach, type_: str, compartment: InCompartment) -> None:
        self._base = reach.desk.tools.base
        self._values = reach.desk.tools.searchable.of(type_)
        self._compartment = compartment
        tokens = [
            token
            for link in compartment.links
            for group in referring(reach, self._values, link, (compartment.owner,))
            for token in group
        ]
        self.groups: tuple[Group, ...] = (tuple(dict.fromkeys(tokens)),) if tokens else ()
        _, _, id_ = compartment.owner.partition("/")
        itself = frozenset((reach.desk.reader.blind.row(type_, id_),))
        self.rows: frozenset[bytes] | None = itself if compartment.itself else None
        if not tokens and not compartment.itself:
            self.rows = frozenset()

    async def holds(self, record: Record) -> bool:
        compartment = self._compartment
        if compartment.itself:
            return record.reference == compartment.owner
        return any(
            compartment.owner in references_in(record, link, self._values, self._base)
            for link in compartment.links
        )


class _Containing:
    """Holds for records that contain a resource that is wanted.  The index does not know those: all are opened."""

    groups: tuple[Group, ...] = ()
    rows: frozenset[bytes] | None = None

    def __init__(self, reach: Reach, within: Within) -> None:
        tools, contained = reach.desk.tools, within.contained
        self._type = contained.type_
        self._matcher = Matcher(
            tools.searchable.of(self._type),
            contained.criteria,
            tools.base,
            reach.in_scope.asked.received.now,
        )

    async def holds(self, record: Record) -> bool:
        inside = record.value.get("contained")
        return any(
            isinstance(one, dict)
            and one.get("resourceType") == self._type
            and self._matcher.matches(one)
            for one in (inside if isinstance(inside, list) else ())
        )
