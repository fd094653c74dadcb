"""Which types a search goes over: one, those of a compartment, those of ``_type``, or all that the caller may search.

The compartment's owner is a reference, as in ``Observation?patient=1``: nothing of the owner is read, so a compartment of
somebody who is hidden or unknown is empty.  AuditEvents are searched only where they are named.
"""

from collections.abc import Mapping

from fhir_server.errors import InvalidParameterError, NotFoundError
from fhir_server.forms import Interaction
from fhir_server.interactions.search.finding import Reach
from fhir_server.search.joins import LOG, InCompartment, Wanted, Within, compartment_join
from fhir_server.search.query import Query

_MAY_HOLD_LOG = frozenset(
    {"access-log", "accounting-of-disclosures", "export-file", "export-status"}
)  # what the exports look through was said before


def types_searched(reach: Reach) -> list[str]:
    """The types, in the order in which they are answered.

    Raises:
        NotFoundError: The type is not in that compartment.
        InvalidParameterError: ``_type`` names what can not be searched here.
        ScopeError: ``_type`` names a type that the token's scopes do not let search.
    """
    interaction = reach.in_scope.asked.interaction
    within = _members(reach)
    asked = [value.split(",") for name, value in interaction.query if name == "_type"]
    if interaction.type_ and asked not in ([], [[interaction.type_]]):
        raise InvalidParameterError("_type is for searches of several types")
    if interaction.type_:
        if interaction.type_ not in within:
            raise NotFoundError(f"{interaction.type_} is not in that compartment")
        return [interaction.type_]
    if not asked:
        return [type_ for type_ in sorted(within) if type_ != LOG and reach.covering(type_)]
    for type_ in (type_ for types in asked for type_ in types):
        if type_ not in within:
            raise InvalidParameterError("_type must name resource types that are searched here")
        reach.require(type_, "_type")
    return sorted(set.intersection(*(set(types) for types in asked)))


def placed(query: Query, reach: Reach) -> tuple[Wanted, ...]:
    """What is wanted, within the compartment if there is one, in what contains it if ``_contained`` asks for that."""
    wanted = query.wanted
    if query.contained:
        wanted = tuple(w for one in wanted for w in _containers(one, query, reach))
    if not reach.in_scope.asked.interaction.compartment:
        return wanted
    return tuple(
        Wanted(w.type_, w.criteria, (_compartment(reach, w.type_), *w.joins)) for w in wanted
    )


def names_log(interaction: Interaction) -> bool:
    """Whether AuditEvents may be selected: their index must be complete then."""
    if interaction.type_ == LOG or interaction.operation in _MAY_HOLD_LOG:
        return True
    return any(LOG in name or LOG in value for name, value in interaction.query)


def _members(reach: Reach) -> Mapping[str, object]:
    definitions = reach.desk.tools.definitions
    owner = reach.in_scope.asked.interaction.compartment.partition("/")[0]
    if not owner:
        return dict.fromkeys(definitions.resource_types)
    if owner not in definitions.compartments:
        raise NotFoundError(f"there is no compartment of a {owner}")
    return definitions.compartments[owner]


def _compartment(reach: Reach, type_: str) -> InCompartment:
    tools, owner = reach.desk.tools, reach.in_scope.asked.interaction.compartment
    codes = tools.definitions.compartments[owner.partition("/")[0]][type_]
    return compartment_join(owner, codes, type_, tools.searchable)


def _containers(wanted: Wanted, query: Query, reach: Reach) -> list[Wanted]:
    if wanted.joins:
        raise InvalidParameterError("_contained can not be asked together with chains")
    within = set(_members(reach)).intersection(reach.desk.tools.definitions.domain_types)
    both = [wanted] if query.contained == "both" else []
    types = (t for t in sorted(within - {w.type_ for w in both} - {LOG}) if reach.covering(t))
    return [*both, *(Wanted(type_, joins=(Within(wanted),)) for type_ in types)]
