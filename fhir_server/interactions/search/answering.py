"""search-type and search-system (R4 http.html, 3.1.0.8): one page of what matches and is permitted, with what it includes.

Candidates come from the blind index, are permitted by consent and checked exactly, page by page.  What joins, includes and
compartments reach goes the same way: through the scopes of its own type and the gate.
"""

from collections.abc import Sequence
from dataclasses import replace

from fhir_server.errors import InvalidParameterError, Issue
from fhir_server.forms import InScope, Opened, Pairs, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.search.breadth import placed, types_searched
from fhir_server.interactions.search.finding import Budget, Reach
from fhir_server.interactions.search.including import Included
from fhir_server.interactions.search.joining import finder_of
from fhir_server.interactions.search.paging import Pager
from fhir_server.interactions.stages import page
from fhir_server.search.query import Query, parse_query
from smart_auth.authorization.scopes import Scope


async def search(in_scope: InScope, desk: Desk) -> Opened:
    """One page of a search.

    Raises:
        InvalidParameterError: A parameter or page link can not be used.
        ScopeError: A parameter reaches a type that the token's scopes do not let search.
        NotFoundError: The type is not in the compartment.
        TooManyError: The search would open more records than the setting allows.
    """
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    interaction = in_scope.asked.interaction
    types = types_searched(reach)
    query = parse_query(
        desk.tools.searchable,
        types,
        interaction.query,
        resource_types=desk.tools.definitions.resource_types,
        page=desk.tools.page,
        strict=interaction.prefer.get("handling") == "strict",
    )
    finders = [
        await finder_of(reach, wanted, _covering(reach, wanted.type_))
        for wanted in placed(query, reach)
    ]
    pager = Pager(reach, query, finders)
    found = await pager.page()
    included = Included(reach, query.includes, found.records)
    await included.follow()
    return page(
        in_scope,
        "searchset",
        [*found.records, *included.records],
        total=found.total,
        links=pager.links(found),
        issues=[*_left_out(query), *included.issues],
        counted=found.counted,
    )


async def find_matches(
    in_scope: InScope, desk: Desk, type_: str, condition: Pairs, most: int
) -> Sequence[Record]:
    """At most ``most`` permitted matches of the condition of a conditional interaction.

    Raises:
        InvalidParameterError: The condition can not be used; an unknown parameter in it is an error.
        ScopeError: It reaches a type that the token's scopes do not let search.
    """
    query = parse_query(
        desk.tools.searchable,
        (type_,),
        condition,
        resource_types=desk.tools.definitions.resource_types,
        page=(most, most),
        strict=True,
    )
    [wanted] = query.wanted
    if not wanted.criteria and not wanted.joins:
        raise InvalidParameterError("a condition must hold a search parameter that narrows it")
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    finder = await finder_of(reach, wanted, in_scope.covering)
    return (await Pager(reach, replace(query, count=most), (finder,)).page()).records


def _covering(reach: Reach, type_: str) -> tuple[Scope, ...]:
    """The scopes of the request for one of its types."""
    in_scope = reach.in_scope
    return in_scope.covering if in_scope.asked.interaction.type_ == type_ else reach.covering(type_)


def _left_out(query: Query) -> list[Issue]:
    return [
        Issue(
            "not-supported",
            f"the parameter '{name}' is not supported and was left out",
            severity="warning",
        )
        for name in query.unknown
    ]
