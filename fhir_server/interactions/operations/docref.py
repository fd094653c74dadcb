"""``DocumentReference/$docref`` (US Core 6.1, OperationDefinition/docref): where the documents of a patient are.

Without dates the newest document of each type; with ``start`` or ``end`` all documents whose care lies between them.  This
server makes no document when it is asked where they are, so ``on-demand=true``, which asks for those only, finds none.
"""

from fhir_server.errors import InvalidParameterError, Issue
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.operations.care_dates import InPeriod
from fhir_server.interactions.operations.latest import newest
from fhir_server.interactions.search.finding import Budget, Finder, Joined, Reach
from fhir_server.interactions.search.joining import finder_of
from fhir_server.interactions.search.paging import Pager
from fhir_server.interactions.stages import page
from fhir_server.search.criteria import Criterion, read_criterion
from fhir_server.search.joins import Wanted
from fhir_server.search.query import Query, Sort

_TYPE = "DocumentReference"
_PARAMETERS = ("patient", "start", "end", "type", "on-demand", "profile", "_count", "_cursor")
_NONE_MADE = (
    "documents are not made on demand here; ask for $summary of the Patient to have one made"
)


async def docref(in_scope: InScope, desk: Desk) -> Opened:
    """The DocumentReferences that are current and permitted.

    Raises:
        InvalidParameterError: No patient is named, or a parameter can not be used.
        TooManyError: More documents match than one request may open.
    """
    asked = Parameters(in_scope.asked.interaction.query, _PARAMETERS)
    if asked.text("profile"):
        raise InvalidParameterError("documents are not chosen by 'profile' here: leave it out")
    finder = await _finder(in_scope, desk, asked)
    if asked.flag("on-demand"):
        told = Issue("informational", _NONE_MADE, severity="information")
        return page(in_scope, "searchset", (), total=0, links=(), issues=(told,))
    if not (asked.text("start") or asked.text("end")):
        by_date = (Sort(finder.values.parameters["date"], descending=True),)
        records = await newest(finder, "type", by_date, 1)
        return page(in_scope, "searchset", records, total=len(records), links=())
    most = desk.tools.page[1]
    query = Query(
        (finder.wanted,),
        count=asked.number("_count", desk.tools.page[0], most),
        cursor=asked.text("_cursor"),
        applied=asked.applied,
    )
    pager = Pager(Reach(in_scope, desk, Budget(desk.tools.max_candidates)), query, (finder,))
    found = await pager.page()
    return page(in_scope, "searchset", found.records, total=found.total, links=pager.links(found))


async def _finder(in_scope: InScope, desk: Desk, asked: Parameters) -> Finder:
    values = desk.tools.searchable.of(_TYPE)
    criteria: list[Criterion] = [
        read_criterion(values, "patient", asked.required("patient")),
        read_criterion(values, "status", "current"),
    ]
    if asked.text("type"):
        criteria.append(read_criterion(values, "type", asked.text("type")))
    start, end = asked.date("start"), asked.date("end")
    also: list[Joined] = [InPeriod(values, start, end)] if start or end else []
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    return await finder_of(reach, Wanted(_TYPE, tuple(criteria)), in_scope.covering, also)
