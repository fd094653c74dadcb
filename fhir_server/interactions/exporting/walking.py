"""Going on with an export: what of the next records its caller may have, noted by row key, file by file.

Records are found as a search finds them: under the scopes of their type, through the gate.  Nothing is kept of a hidden
one, and nothing of what is in the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fhir_server.forms import InScope, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.exporting.export import Export, File
from fhir_server.interactions.exporting.request import filters_of
from fhir_server.interactions.search.finding import Budget, Finder, Joined, Reach
from fhir_server.interactions.search.joining import finder_of
from fhir_server.resource_text import references
from fhir_server.search.conditions import local_reference
from fhir_server.search.criteria import read_criterion
from fhir_server.search.joins import Wanted
from fhir_server.search.match import Matcher
from fhir_server.search.plan import Group, compartment
from fhir_server.search.query import parse_criteria
from fhir_server.store.protocol import SealedVersion

STEP = 16_000  # records that one request looks at
_CHUNK = 128
_FULL = 2000  # resources of a file
_HEAVY = 8 * 1024 * 1024  # bytes of a file, about
_NARROWED = 500  # patients by whom the index is asked
_MOST_REFERRED = 20_000  # of a type


@dataclass(slots=True)
class Grown:
    """What a step added to a file: rows behind its first ``count``."""

    number: int
    count: int
    rows: list[bytes]


class Walk:
    """One step of an export, over one snapshot."""

    def __init__(self, export: Export, in_scope: InScope, desk: Desk) -> None:
        self._export = export
        self._desk = desk
        self._reach = Reach(in_scope, desk, Budget(STEP + _CHUNK))
        self._types, self._rid = export.place
        self._files = list(export.files)
        self._referred = {t: dict.fromkeys(rows) for t, rows in (export.referred or {}).items()}
        self._administrative = desk.tools.administrative
        self.grown: dict[int, Grown] = {}

    async def step(self) -> Export:
        """The export as it is behind the next records; ``grown`` says what its files got.

        Raises:
            FhirError: As a search says.
        """
        left, finder = STEP, None
        while left > 0 and self._types < len(self._export.types):
            finder = finder or await self._finder(self._export.types[self._types])
            versions = await self._next(finder) if finder else ()
            left -= max(1, len(versions))
            if finder and versions:
                await self._note(finder, versions)
            if len(versions) < _CHUNK:
                self._types, self._rid, finder = self._types + 1, 0, None
        return replace(
            self._export,
            place=(self._types, self._rid),
            files=tuple(self._files),
            referred={type_: tuple(rows) for type_, rows in self._referred.items()},
        )

    async def _next(self, finder: Finder) -> Sequence[SealedVersion]:
        selection = replace(finder.selection, after=(self._rid, self._rid), limit=_CHUNK)
        if selection.rows is not None and not selection.rows:
            return ()
        return await self._desk.reader.select(selection)

    async def _note(self, finder: Finder, versions: Sequence[SealedVersion]) -> None:
        self._rid = versions[-1].rid
        async for record in finder.judge(versions):
            version = record.version
            if version.version == 1 and version.at > self._export.at:
                continue  # made since
            self._add(version)
            if self._export.level and self._types < self._export.own:
                self._refer(record)

    def _add(self, version: SealedVersion) -> None:
        last = self._files[-1] if self._files else None
        if (
            last is None
            or last.type_ != version.type_
            or last.count >= _FULL
            or last.size >= _HEAVY
        ):
            last = File(version.type_, 0, 0)
            self._files.append(last)
        number = len(self._files) - 1
        self.grown.setdefault(number, Grown(number, last.count, [])).rows.append(version.row)
        self._files[-1] = replace(last, count=last.count + 1, size=last.size + len(version.sealed))

    def _refer(self, record: Record) -> None:
        """Note what a patient's record refers to that is nobody's: organizations, practitioners, places."""
        base, blind = self._desk.tools.base, self._desk.reader.blind
        for reference in references(record.value):
            type_, _, id_ = local_reference(reference, "", base).partition("/")
            known = self._referred.get(type_)
            if known is not None and id_ and len(known) < _MOST_REFERRED:
                known[blind.row(type_, id_).hex()] = None

    async def _finder(self, type_: str) -> Finder | None:
        """What finds the wanted records of a type; None where the token does not cover it any more."""
        reach, covering = self._reach, self._reach.covering(type_)
        if not covering:
            return None
        values = self._desk.tools.searchable.of(type_)
        criteria = []
        if self._export.since:
            criteria.append(read_criterion(values, "_lastUpdated", f"ge{self._export.since}"))
        filters = [
            parse_criteria(values, pairs) for pairs in filters_of(self._export.filters, type_)
        ]
        if len(filters) == 1:
            criteria += filters[0]
        also: list[Joined] = []
        if len(filters) > 1:
            now, base = reach.in_scope.asked.received.now, self._desk.tools.base
            also.append(_AnyOf([Matcher(values, each, base, now) for each in filters]))
        if self._types >= self._export.own:
            also.append(_Rows(self._referred.get(type_, {})))
        elif self._export.level:
            also.append(_OfPatients(self._export.patients, type_, self._desk))
        return await finder_of(reach, Wanted(type_, tuple(criteria)), covering, also)


class _AnyOf:
    """Holds for what matches one of several searches."""

    groups: tuple[Group, ...] = ()
    rows: frozenset[bytes] | None = None

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        self._matchers = matchers

    async def holds(self, record: Record) -> bool:
        return any(matcher.matches(record.value) for matcher in self._matchers)


class _Rows:
    """Holds for records of some row keys."""

    groups: tuple[Group, ...] = ()

    def __init__(self, rows: dict[str, None]) -> None:
        self.rows: frozenset[bytes] | None = frozenset(bytes.fromhex(row) for row in rows)

    async def holds(self, _: Record) -> bool:
        return True


class _OfPatients:
    """Holds for records that belong to a patient: to any, or to one of those that are wanted."""

    rows: frozenset[bytes] | None = None

    def __init__(self, patients: tuple[str, ...] | None, type_: str, desk: Desk) -> None:
        self._patients = None if patients is None else frozenset(patients)
        self.groups: tuple[Group, ...] = ()
        if patients is not None and len(patients) <= _NARROWED:
            blind = desk.reader.blind
            tokens = [t for p in patients for t in compartment(type_, blind.patient(p), blind)]
            self.groups = (tuple(dict.fromkeys(tokens)),) if tokens else ()
            self.rows = None if tokens else frozenset()

    async def holds(self, record: Record) -> bool:
        if self._patients is None:
            return bool(record.patients)
        return not self._patients.isdisjoint(record.patients)
