"""Conditional references (R4 http.html, 3.1.0.11.2): ``Type?query`` in place of ``Type/id``, replaced when it is written.

R4 has them in Bundles; here any write may hold them, so that no record is stored whose subject nobody can tell.
"""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from fhir_server.errors import BadRequestError, PreconditionFailedError
from fhir_server.forms import InScope, Pairs
from fhir_server.interactions.conditional import matches
from fhir_server.interactions.desk import Desk
from fhir_server.resource_text import ResourceText, references, rewrite_references

_HOLD_OTHERS = frozenset({"Bundle", "Parameters"})  # what is in them is stored as it is


def conditional(own: Iterable[str]) -> set[str]:
    """Those of a resource's references that are conditional."""
    return {each for each in own if "?" in each and ":" not in each.partition("?")[0]}


async def resolved(in_scope: InScope, desk: Desk, content: ResourceText) -> ResourceText:
    """The resource with its conditional references replaced by what they match among all that is stored.

    Raises:
        BadRequestError: One names no resource type.
        PreconditionFailedError: One matches nothing that the caller may see, or several resources.
        ScopeError: The token covers neither search nor read of its type.
    """
    if "?" not in content.text or content.type_ in _HOLD_OTHERS:
        return content
    found = {}
    for reference in conditional(references(content.value)):
        type_, pairs = condition_of(reference, desk)
        stored = await matches(in_scope, desk, type_, pairs)
        found[reference] = only(type_, {each.reference for each in stored})
    return rewrite_references(content, found.get)


def condition_of(reference: str, desk: Desk) -> tuple[str, Pairs]:
    """The type and the search that a conditional reference stands for.

    Raises:
        BadRequestError: There is no such type.
    """
    type_, _, query = reference.partition("?")
    if type_ not in desk.tools.definitions.resource_types:
        raise BadRequestError("a conditional reference must name a resource type")
    return type_, tuple(parse_qsl(query, keep_blank_values=True))


def only(type_: str, found: set[str]) -> str:
    """The one match of a conditional reference, as ``Type/id``.

    Raises:
        PreconditionFailedError: There is none, or there are several.
    """
    if len(found) != 1:
        several = "several resources" if found else "no resource"
        raise PreconditionFailedError(f"a conditional reference to {type_} matches {several}")
    return next(iter(found))
