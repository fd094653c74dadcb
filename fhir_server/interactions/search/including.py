"""``_include`` and ``_revinclude``: what comes along with the matches (R4 search, 3.1.1.5.5).

Each record once, never a match again; cycles end because of that.  What the caller may not see, by scope or consent, does
not come, as if it were not there.  A reference to a version brings the current version; one to another server, to a
contained resource or by canonical url brings nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhir_server.errors import Issue
from fhir_server.forms import Record
from fhir_server.interactions.search.finding import Finder, Reach
from fhir_server.interactions.search.joining import references_in, referring
from fhir_server.interactions.stages import located
from fhir_server.search.joins import LOG, Wanted
from fhir_server.search.query import Include
from fhir_server.search.values import ResourceValues
from profiles.definitions import SearchParameter

MOST_INCLUDED = 1000


class Included:
    """What comes along with the matches of one page.

    Attributes:
        records: In the order in which they were reached.
        issues: One if there would have been more.
    """

    def __init__(
        self, reach: Reach, includes: Sequence[Include], matches: Sequence[Record]
    ) -> None:
        self._reach = reach
        self._includes = includes
        self._matches = matches
        self._seen = {record.reference for record in matches}
        self._known = reach.desk.tools.definitions.resource_types
        self.records: list[Record] = []
        self.issues: list[Issue] = []

    async def follow(self) -> None:
        """Follow the references, those of included records as well where ``:iterate`` asks for it.

        Raises:
            TooManyError: More records refer to these than one request may look at.
        """
        includes, latest = self._includes, self._matches
        while latest and includes and not self.issues:
            before = len(self.records)
            for include in includes:
                await (
                    self._back(include, latest) if include.reverse else self._on(include, latest)
                )
            latest = self.records[before:]
            includes = [include for include in includes if include.iterate]

    async def _on(self, include: Include, records: Sequence[Record]) -> None:
        """What the records refer to."""
        for record in records:
            if include.source not in ("*", record.version.type_):
                continue
            for reference in self._targets(include, record):
                if reference not in self._seen:
                    self._seen.add(reference)
                    await self._add_referred(reference)

    def _targets(self, include: Include, record: Record) -> Iterable[str]:
        values = self._reach.desk.tools.searchable.of(record.version.type_)
        for parameter in _references(include, values):
            for reference in references_in(record, parameter, values, self._reach.desk.tools.base):
                type_ = reference.partition("/")[0]
                if type_ in self._known and include.target in ("", type_):
                    yield reference

    async def _add_referred(self, reference: str) -> None:
        type_, _, id_ = reference.partition("/")
        reach = self._reach
        caller = reach.in_scope.asked.requester.caller
        covering = caller.scopes.covers(type_, "r") if caller is not None else ()
        version = await reach.desk.reader.find(type_, id_) if covering else None
        if version is not None and not version.deleted:
            self._take(
                await reach.desk.gate.admit(located(reach.in_scope, (version,), covering=covering))
            )

    async def _back(self, include: Include, records: Sequence[Record]) -> None:
        """What refers to the records."""
        types = sorted(self._known - {LOG}) if include.source == "*" else [include.source]
        references = [r.reference for r in records if include.target in ("", r.version.type_)]
        for type_ in types:
            if references and self._reach.covering(type_):
                await self._add_referring(type_, include, references)

    async def _add_referring(self, type_: str, include: Include, references: Sequence[str]) -> None:
        values = self._reach.desk.tools.searchable.of(type_)
        wanted = {reference.partition("/")[0] for reference in references}
        links = [p for p in _references(include, values) if wanted.intersection(p.target)]
        if not links:
            return
        groups = [referring(self._reach, values, link, references) for link in links]
        finder = Finder(self._reach, Wanted(type_), self._reach.covering(type_), ())
        narrowed = finder.selection
        if all(groups):
            group = tuple(dict.fromkeys(t for found in groups for one in found for t in one))
            narrowed = replace(narrowed, all_of=(group, *narrowed.all_of))
        base = self._reach.desk.tools.base
        async for record in finder.find(narrowed):
            found = (r for link in links for r in references_in(record, link, values, base))
            if record.reference not in self._seen and not set(references).isdisjoint(found):
                self._seen.add(record.reference)
                self._take((record,))
            if self.issues:
                return

    def _take(self, admitted: Sequence[Record]) -> None:
        if self.issues or not admitted:
            return
        if len(self.records) + len(admitted) > MOST_INCLUDED:
            told = f"more than {MOST_INCLUDED} resources would be included: some were left out"
            self.issues.append(Issue("too-costly", told, severity="warning"))
            return
        self.records += [replace(record, mode="include") for record in admitted]


def _references(include: Include, values: ResourceValues) -> list[SearchParameter]:
    """The reference parameters that an include follows."""
    if include.parameter is not None:
        return [include.parameter]
    known = values.parameters.values()
    return [p for p in known if p.type == "reference" and values.reads(p.code)]
