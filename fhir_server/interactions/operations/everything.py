"""``$everything`` of Patient and Encounter (R4 patient-operations.html, encounter-operations.html).

The subject first, then the records of its compartment, type by type, then what those refer to.  Types that the token's
scopes do not let search are left out, and what consent hides is not there; a subject that is hidden has nothing at all.
What is referred to stands on the page of what refers to it, so it may come again on another page.
"""

from collections.abc import Sequence

from fhir_server.errors import InvalidParameterError, Issue, NotFoundError
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.operations.care_dates import InPeriod
from fhir_server.interactions.operations.referred import Keep, Referred, of_same, subject_of
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.search.finding import Budget, Finder, Joined, Reach
from fhir_server.interactions.search.joining import finder_of, references_in
from fhir_server.interactions.search.paging import Pager
from fhir_server.interactions.stages import located, page
from fhir_server.search.criteria import Criterion, read_criterion
from fhir_server.search.joins import LOG, InCompartment, Wanted, compartment_join
from fhir_server.search.plan import Group
from fhir_server.search.query import Query

_PARAMETERS = ("start", "end", "_since", "_type", "_count", "_cursor")
_MOST_REFERRED = 1000  # on one page
_DEEPEST = 3


async def everything(in_scope: InScope, desk: Desk) -> Opened:
    """One page.

    Raises:
        NotFoundError: The patient or encounter is missing, deleted or not permitted.
        InvalidParameterError: A parameter can not be used.
        ScopeError: ``_type`` names a type that the token's scopes do not let search.
        TooManyError: The page needs more records than one request may open.
    """
    chart = _Chart(in_scope, desk)
    subject = await chart.subject()
    finders = [await chart.finder(type_) for type_ in chart.types()]
    pager = Pager(chart.reach, chart.query(finders), finders)
    found = await pager.page()
    first = [r for r in subject if not chart.asked.text("_cursor")]
    referred = Referred(
        chart.reach, [*subject, *found.records], chart.comes_along(subject), _MOST_REFERRED
    )
    await referred.follow(_DEEPEST)
    told = f"more than {_MOST_REFERRED} resources are referred to: some were left out"
    return page(
        in_scope,
        "searchset",
        [*first, *found.records, *referred.records],
        total=None,
        links=pager.links(found),
        issues=[Issue("too-costly", told, severity="warning")] if referred.more else (),
    )


class _Chart:
    """What belongs to one patient or encounter, or to all patients that the caller may see."""

    def __init__(self, in_scope: InScope, desk: Desk) -> None:
        interaction = in_scope.asked.interaction
        self.reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
        self.asked = Parameters(interaction.query, _PARAMETERS)
        self._type = interaction.type_
        self._owner = interaction.compartment
        self._members = desk.tools.definitions.compartments[self._type]
        self._since = self.asked.date("_since")
        self._period = self.asked.date("start"), self.asked.date("end")

    async def subject(self) -> tuple[Record, ...]:
        """The patient or encounter; of all patients none, they are found like the rest."""
        if not self._owner:
            return ()
        desk, in_scope = self.reach.desk, self.reach.in_scope
        version = await desk.reader.find(self._type, self._owner.partition("/")[2])
        living = () if version is None or version.deleted else (version,)
        records = await desk.gate.admit(located(in_scope, living)) if living else ()
        if not records:
            raise NotFoundError(MISSING)
        return records

    def types(self) -> list[str]:
        """The types of the compartment, Patients first."""
        asked = self.asked.names("_type")
        for type_ in asked:
            if type_ not in self.reach.desk.tools.definitions.resource_types:
                raise InvalidParameterError("_type must name resource types")
            self.reach.require(type_, "_type")
        found = set(self._members) - {LOG, self._type}
        wanted = [t for t in sorted(found) if self.reach.covering(t) and (not asked or t in asked)]
        return wanted if self._owner else [self._type, *wanted]

    async def finder(self, type_: str) -> Finder:
        """Finds the members of one type."""
        searchable = self.reach.desk.tools.searchable
        values = searchable.of(type_)
        criteria: tuple[Criterion, ...] = ()
        if self._since:
            asked = self.asked.text("_since")
            criteria = (read_criterion(values, "_lastUpdated", f"ge{asked}"),)
        also: list[Joined] = [InPeriod(values, *self._period)] if any(self._period) else []
        joins: tuple[InCompartment, ...] = ()
        if self._owner:
            joins = (compartment_join(self._owner, self._members[type_], type_, searchable),)
        elif type_ != self._type:
            also.append(_OfPatients())
        return await finder_of(
            self.reach, Wanted(type_, criteria, joins), self.reach.covering(type_), also
        )

    def query(self, finders: Sequence[Finder]) -> Query:
        """The page that is asked for."""
        most = self.reach.desk.tools.page[1]
        return Query(
            tuple(finder.wanted for finder in finders),
            count=self.asked.number("_count", most, most),
            cursor=self.asked.text("_cursor"),
            applied=self.asked.applied,
        )

    def comes_along(self, subject: Sequence[Record]) -> Keep:
        """Which records come because others refer to them: no members, they come by themselves."""
        since = self._since.low if self._since else 0
        same = of_same(subject_of(record, self.reach.desk.tools.base) for record in subject)

        types = self.asked.names("_type")

        def keep(record: Record) -> bool:
            wanted = record.version.at >= since and (not types or record.version.type_ in types)
            return wanted and same(record) and not self._is_member(record)

        return keep

    def _is_member(self, record: Record) -> bool:
        type_ = record.version.type_
        if not self._owner or type_ not in self._members:
            return False
        tools = self.reach.desk.tools
        values = tools.searchable.of(type_)
        links = [values.parameters[c] for c in self._members[type_] if values.reads(c)]
        return any(self._owner in references_in(record, link, values, tools.base) for link in links)


class _OfPatients:
    """Holds for records that belong to a patient."""

    groups: tuple[Group, ...] = ()
    rows: frozenset[bytes] | None = None

    async def holds(self, record: Record) -> bool:
        return bool(record.patients)
