"""Conditions (R4 http.html, 3.1.0.4.2 and its like): what a search finds, and what ``If-...`` headers demand.

A condition answers what it finds, so it needs a scope to search or read; what consent hides from the caller it does not
find, as if it were not there.
"""

from collections.abc import Sequence
from dataclasses import replace

from fhir_server.errors import PreconditionFailedError, ScopeError
from fhir_server.forms import InScope, Interaction, Pairs, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.search import find_matches
from fhir_server.store.protocol import SealedVersion


async def match(in_scope: InScope, desk: Desk, type_: str, condition: Pairs) -> Record | None:
    """The one permitted match, or None.

    Raises:
        ScopeError: The token covers neither search nor read of the type.
        PreconditionFailedError: There are several.
        InvalidParameterError: The condition can not be used.
    """
    found = await matches(in_scope, desk, type_, condition)
    if len(found) > 1:
        raise PreconditionFailedError(f"the condition on {type_} matches several resources")
    return found[0] if found else None


async def matches(
    in_scope: InScope, desk: Desk, type_: str, condition: Pairs, most: int = 1
) -> Sequence[Record]:
    """The permitted matches, at most one more than ``most``.

    Raises:
        ScopeError: The token covers neither search nor read of the type.
        InvalidParameterError: The condition can not be used.
    """
    caller = in_scope.asked.requester.caller
    covering = caller and (caller.scopes.covers(type_, "s") or caller.scopes.covers(type_, "r"))
    if not covering:
        raise ScopeError(f"a condition needs a scope to search or read {type_}")
    return await find_matches(
        replace(in_scope, covering=covering), desk, type_, condition, most + 1
    )


def require_preconditions(interaction: Interaction, current: SealedVersion | None) -> None:
    """Refuse a write whose ``If-Match`` or ``If-None-Match`` does not hold for the current version (None: there is none).

    Raises:
        PreconditionFailedError: One does not.
    """
    wanted = interaction.preconditions
    version = None if current is None or current.deleted else current.version
    if wanted.if_match is not None and not wanted.if_match.name(version):
        raise PreconditionFailedError("If-Match does not name the current version: read it again")
    if wanted.if_none_match is not None and wanted.if_none_match.name(version):
        raise PreconditionFailedError("If-None-Match names the current version: it exists already")


def is_unchanged(interaction: Interaction, version: SealedVersion) -> bool:
    """Whether a reader has this version already (RFC 9110, 13.2.2: ``If-None-Match`` wins over ``If-Modified-Since``)."""
    wanted = interaction.preconditions
    if wanted.if_none_match is not None:
        return wanted.if_none_match.name(version.version)
    return wanted.if_modified_since is not None and version.at // 1000 <= wanted.if_modified_since
