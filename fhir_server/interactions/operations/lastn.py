"""``Observation/$lastn`` (R4 observation-operation-lastn.html): the newest Observations of each code.

Beside ``max`` it takes the search parameters of Observation.  Codes are equivalent if two Observations have a coding in
common, or, where there is no coding, the same text.  Newest is by ``effective``; what has none comes last.
"""

from fhir_server.errors import InvalidParameterError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import whole_number
from fhir_server.interactions.operations.latest import newest
from fhir_server.interactions.search.finding import Budget, Reach
from fhir_server.interactions.search.joining import finder_of
from fhir_server.interactions.stages import page
from fhir_server.search.query import Sort, parse_query

_TYPE = "Observation"
_SUBJECTS = ("patient", "subject")
_OTHERS = frozenset(
    {"_sort", "_count", "_total", "_cursor", "_include", "_revinclude", "_contained"}
)
_MOST = 100


async def lastn(in_scope: InScope, desk: Desk) -> Opened:
    """The newest ``max`` (1, at most 100) of each code that are permitted.

    Raises:
        InvalidParameterError: No patient or subject is named, or a parameter can not be used.
        ScopeError: A parameter reaches a type that the token's scopes do not let search.
        TooManyError: More Observations match than one request may open.
    """
    asked = in_scope.asked.interaction.query
    pairs = [(name, value) for name, value in asked if name != "max"]
    names = {name.partition(":")[0] for name, _ in pairs}
    if not names.intersection(_SUBJECTS):
        raise InvalidParameterError("$lastn needs the parameter 'patient' or 'subject'")
    if names & _OTHERS:
        raise InvalidParameterError("$lastn is not sorted, paged or joined with includes")
    most = whole_number("max", dict(asked).get("max", ""), 1, _MOST)
    tools = desk.tools
    query = parse_query(
        tools.searchable,
        (_TYPE,),
        pairs,
        resource_types=tools.definitions.resource_types,
        page=tools.page,
        strict=True,
    )
    reach = Reach(in_scope, desk, Budget(tools.max_candidates))
    finder = await finder_of(reach, query.wanted[0], in_scope.covering)
    by_date = (Sort(finder.values.parameters["date"], descending=True),)
    records = await newest(finder, "code", by_date, most)
    return page(in_scope, "searchset", records, total=len(records), links=())
