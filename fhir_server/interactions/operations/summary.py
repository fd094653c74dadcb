"""``Patient/$summary`` (IPS 1.1, OperationDefinition/summary): an International Patient Summary, made when it is asked for.

It holds what the caller may see, and no more: a section that IPS requires and that holds nothing says that no information
is available, in the same words whether there is nothing, nothing that the scopes reach, or nothing that consent permits.
It never says that something is known not to be there: only a record can say that, and stands in the section then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_server.errors import InvalidParameterError, NotFoundError, PreconditionFailedError
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions import stages
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.operations.ips_document import BUNDLE, COMPOSITION, ips_document
from fhir_server.interactions.operations.ips_sections import SECTIONS, Section, Source
from fhir_server.interactions.operations.latest import newest
from fhir_server.interactions.operations.referred import Keep, Referred, of_same
from fhir_server.interactions.read import MISSING, read
from fhir_server.interactions.search import find_matches
from fhir_server.interactions.search.finding import Budget, Reach
from fhir_server.interactions.search.joining import finder_of
from fhir_server.interactions.stages import located
from fhir_server.search.criteria import read_criterion
from fhir_server.search.joins import Wanted
from fhir_server.search.plan import Group
from fhir_server.search.query import Sort

_PROFILES = frozenset({"", BUNDLE, COMPOSITION})
_COMES_ALONG = frozenset(
    {
        "Device",
        "Medication",
        "Observation",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "Specimen",
    }
)
_MOST_OF_SOURCE = 200
_MOST_REFERRED = 1000
_DEEPEST = 3


async def summary(in_scope: InScope, desk: Desk) -> Opened:
    """The summary of one patient: of the url, or the one with an ``identifier``.

    Raises:
        NotFoundError: There is no such patient for the caller.
        PreconditionFailedError: Several patients have the identifier.
        InvalidParameterError: A parameter can not be used; another profile than IPS is asked for.
        TooManyError: More records would have to be opened than one request may.
    """
    asked = Parameters(in_scope.asked.interaction.query, ("identifier", "profile"))
    if asked.text("profile").partition("|")[0] not in _PROFILES:
        raise InvalidParameterError("summaries are made by the IPS profiles only")
    patient = await _patient(in_scope, desk, asked)
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    making = _Making(reach, patient, of_same((patient.reference,)))
    filled = [(section, await making.records(section)) for section in SECTIONS]
    custodian = await making.custodian()
    begun = _once([patient, *custodian, *(r for _, records in filled for r in records)])
    referred = Referred(making.reach, begun, making.comes_along, _MOST_REFERRED)
    await referred.follow(_DEEPEST)
    records = (*begun, *referred.records)
    body = ips_document(records, filled, custodian, desk.tools, in_scope.asked.received.at)
    return stages.document(in_scope, body, records)


async def _patient(in_scope: InScope, desk: Desk, asked: Parameters) -> Record:
    if in_scope.asked.interaction.id_:
        if asked.text("identifier"):
            raise InvalidParameterError("the url names the patient: leave 'identifier' out")
        return (await read(in_scope, desk)).records[0]
    condition = (("identifier", asked.required("identifier")),)
    found = await find_matches(in_scope, desk, "Patient", condition, 2)
    if len(found) > 1:
        raise PreconditionFailedError("several patients have this identifier")
    if not found:
        raise NotFoundError(MISSING)
    return found[0]


@dataclass(frozen=True, slots=True)
class _Making:
    """One summary in the making."""

    reach: Reach
    patient: Record
    same: Keep = field(repr=False)

    async def records(self, section: Section) -> list[Record]:
        """What stands in a section: of each source the newest 200, newest first."""
        found: list[Record] = []
        for source in section.sources:
            if self.reach.covering(source.type_):
                found += (await self._of(source))[:_MOST_OF_SOURCE]
        return found

    async def _of(self, source: Source) -> Sequence[Record]:
        values = self.reach.desk.tools.searchable.of(source.type_)
        owner = "patient" if values.reads("patient") else "subject"
        asked = ((owner, self.patient.reference), *source.criteria)
        criteria = tuple(read_criterion(values, name, value) for name, value in asked)
        covering = self.reach.covering(source.type_)
        wanted = Wanted(source.type_, criteria)
        finder = await finder_of(self.reach, wanted, covering, [_Kept(source)])
        parameter = values.parameters.get(source.date)
        sorts = (Sort(parameter, descending=True),) if parameter else ()
        return await newest(finder, source.coded, sorts, source.each)

    async def custodian(self) -> tuple[Record, ...]:
        """The organization that holds the records, if the caller may read it."""
        desk, in_scope = self.reach.desk, self.reach.in_scope
        type_, _, id_ = desk.tools.custodian.partition("/")
        caller = in_scope.asked.requester.caller
        covering = caller.scopes.covers(type_, "r") if caller else ()
        version = await desk.reader.find(type_, id_) if covering else None
        if version is None or version.deleted:
            return ()
        return await desk.gate.admit(located(in_scope, (version,), covering=covering))

    def comes_along(self, record: Record) -> bool:
        """Whether a record comes because others refer to it."""
        return record.version.type_ in _COMES_ALONG and self.same(record)


class _Kept:
    """Holds for the records of a source."""

    groups: tuple[Group, ...] = ()
    rows: frozenset[bytes] | None = None

    def __init__(self, source: Source) -> None:
        self._source = source

    async def holds(self, record: Record) -> bool:
        return self._source.keep(record.value)


def _once(records: Sequence[Record]) -> list[Record]:
    return list({record.reference: record for record in records}.values())
