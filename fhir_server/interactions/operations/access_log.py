"""``GET Patient/[id]/$access-log``: who has seen a patient's record, when, what, why, and under which consent.

For the patient, her proxy and the privacy officer (``oversight.py``).  The newest first, a page at a time, six years back
unless told otherwise: as a Bundle of the AuditEvents, each of which has its receipt, or as CSV (``Accept: text/csv``), whose
next page is in the header ``Link``.  EHDS, article 9; HIPAA asks for six years.
"""

from fhir_server.forms import InScope, Opened, Pairs, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.operations.disclosures import Disclosure, disclosure, table
from fhir_server.interactions.operations.oversight import log_finder, overseen
from fhir_server.interactions.operations.years import six_years
from fhir_server.interactions.search.finding import Budget, Reach
from fhir_server.interactions.search.paging import Pager
from fhir_server.interactions.stages import document, page
from fhir_server.media import CSV, form_of
from fhir_server.search.criteria import read_criterion
from fhir_server.search.joins import LOG, Wanted
from fhir_server.search.query import Query, Sort

_PARAMETERS = ("start", "end", "_count", "_cursor")
_COLUMNS = (
    *("when", "person", "app", "organizations", "action", "records"),
    *("purpose", "basis", "consents", "refused"),
)


async def access_log(in_scope: InScope, desk: Desk) -> Opened:
    """One page.

    Raises:
        NotFoundError: The patient is missing, deleted or not permitted.
        ScopeError: The caller is none of those whom this is for, or may not search AuditEvents.
        InvalidParameterError: A parameter can not be used.
    """
    asked = Parameters(in_scope.asked.interaction.query, _PARAMETERS)
    patient = await overseen(in_scope, desk)
    values = desk.tools.searchable.of(LOG)
    dates = [read_criterion(values, "date", bound) for bound in six_years(asked, in_scope)]
    finder = log_finder(in_scope, desk, patient, Wanted(LOG, tuple(dates)))
    default, most = desk.tools.page
    query = Query(
        (finder.wanted,),
        sorts=(Sort(values.parameters["_lastUpdated"], descending=True),),
        count=asked.number("_count", default, most),
        cursor=asked.text("_cursor"),
        applied=asked.applied,
    )
    pager = Pager(Reach(in_scope, desk, Budget(desk.tools.max_candidates)), query, (finder,))
    found = await pager.page()
    links = pager.links(found)
    received = in_scope.asked.received
    if form_of(received.headers, received.query).media_type != CSV:
        return page(in_scope, "searchset", found.records, total=None, links=links)
    return document(in_scope, _table(found.records), found.records, _headers(links))


def _headers(links: Pairs) -> Pairs:
    """The type of a table, and its next page (RFC 8288)."""
    following = [f'<{url}>; rel="next"' for relation, url in links if relation == "next"]
    kind = (("Content-Type", f"{CSV}; charset=utf-8"),)
    return (*kind, *(("Link", link) for link in following))


def _table(records: tuple[Record, ...]) -> bytes:
    return table(_COLUMNS, (_row(disclosure(record.value)) for record in records))


def _row(told: Disclosure) -> tuple[str, ...]:
    return (
        *(told.at, told.person, told.app, "; ".join(told.organizations), told.description),
        *("; ".join(told.what), told.why, "; ".join(told.basis)),
        *("; ".join(told.consents), told.refused),
    )
