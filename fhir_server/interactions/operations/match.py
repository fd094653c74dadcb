"""``Patient/$match`` (R4 patient-operation-match.html): which Patients are likely the one that is described.

Candidates come from the blind index by what a Patient is usually known by, each is permitted like any search result and
then weighed (``weighing.py``).  Patients whom the caller may not see are not weighed: they change no score, no grade and
no answer, not even that of ``onlyCertainMatches``.
"""

from collections.abc import Iterator
from dataclasses import replace

from fhir_server.errors import InvalidParameterError, InvalidResourceError
from fhir_server.forms import Grade, InScope, Json, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.operations.weighing import (
    birth_date,
    contacts,
    families,
    givens,
    identifiers,
    weigh,
)
from fhir_server.interactions.search.finding import Budget, Finder, Reach
from fhir_server.interactions.stages import page
from fhir_server.resource_text import ResourceText, resource_of_parameter
from fhir_server.search.criteria import Criterion, escape
from fhir_server.search.joins import Wanted
from fhir_server.search.strings import words
from fhir_server.search.values import ResourceValues

_PARAMETERS = ("resource", "onlyCertainMatches", "count")
_MOST_PER_TRAIT = 200  # candidates; whoever shares a trait with more is found by another
_MOST_VALUES = 10  # of each trait that are looked up
_COUNT, _MOST = 10, 100
_MOST_ISSUES = 50
_NOT_A_MATCH = "certainly-not"


async def match(in_scope: InScope, desk: Desk) -> Opened:
    """Permitted Patients, the likeliest first; with ``onlyCertainMatches`` one or none.

    Raises:
        InvalidParameterError: ``resource`` is no Patient, says nothing to look for, or a parameter can not be used.
        InvalidResourceError: It is not of the shape of a Patient.
        TooManyError: More Patients would have to be looked at than one request may.
    """
    interaction = in_scope.asked.interaction
    asked = Parameters(interaction.query, _PARAMETERS)
    wanted = _patient(interaction.content, desk)
    only_certain = asked.flag("onlyCertainMatches")
    graded = [
        replace(record, mode="match", grade=Grade(likeness.score, likeness.grade))
        for record, likeness in [
            (r, weigh(wanted, r.value)) for r in await _candidates(in_scope, desk, wanted)
        ]
        if likeness.grade != _NOT_A_MATCH
    ]
    graded.sort(key=lambda record: (-_score(record), record.version.rid))
    found = graded[: asked.number("count", _COUNT, _MOST)]
    if only_certain:
        certain = [r for r in graded if r.grade is not None and r.grade.code == "certain"]
        found = certain if len(certain) == 1 else []
    return page(in_scope, "searchset", found, total=len(found), links=())


def _score(record: Record) -> int:
    return record.grade.score if record.grade is not None else 0


def _patient(parameters: ResourceText | None, desk: Desk) -> Json:
    """The Patient that is described; of R4's shape, whatever else may be wrong with it."""
    sent = resource_of_parameter(parameters) if parameters else None
    if sent is None or sent.type_ != "Patient":
        raise InvalidParameterError("$match needs the parameter 'resource', a Patient")
    found = desk.tools.issues(sent, strict=False)
    errors = [issue for issue in found if issue.severity == "error"]
    if errors:
        raise InvalidResourceError("the Patient is not valid R4", issues=errors[:_MOST_ISSUES])
    return sent.value


async def _candidates(in_scope: InScope, desk: Desk, wanted: Json) -> list[Record]:
    values = desk.tools.searchable.of("Patient")
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    traits = list(_traits(wanted, values))
    if not traits:
        raise InvalidParameterError(
            "the Patient has nothing to look for: give an identifier or a name"
        )
    found: dict[bytes, Record] = {}
    for trait in traits:
        finder = Finder(reach, Wanted("Patient", trait), in_scope.covering, ())
        some = 0
        async for record in finder.find(finder.selection):
            found[record.version.row] = record
            some += 1
            if some >= _MOST_PER_TRAIT:
                break
    return list(found.values())


def _traits(wanted: Json, values: ResourceValues) -> Iterator[tuple[Criterion, ...]]:
    """What candidates are looked up by: each of these finds some, all of it must be met."""

    def by(code: str, *texts: str) -> Criterion:
        return Criterion(values.parameters[code], "", texts)

    for system, value in sorted(identifiers(wanted))[:_MOST_VALUES]:
        text = escape(value)
        yield (by("identifier", f"{escape(system)}|{text}" if system else text),)
    for contact in contacts(wanted)[:_MOST_VALUES]:
        yield (by("telecom", escape(contact)),)
    family, given = (
        [escape(n) for n in names if words(n)][:_MOST_VALUES]
        for names in (families(wanted), givens(wanted))
    )
    born = birth_date(wanted)
    if family and born:
        yield by("family", *family), by("birthdate", born)
    if given and born:
        yield by("given", *given), by("birthdate", born)
    if family and given:
        yield by("family", *family), by("given", *given)
    if family and not given and not born:
        yield (by("family", *family),)
