"""Do the token's scopes cover the interaction?  SMART App Launch 2.2, "Scopes for requesting FHIR Resources".

This is about types and letters; the patient in context and granular parameters limit each record, in the gate.
"""

from fhir_server.errors import ScopeError
from fhir_server.forms import Asked, InScope
from fhir_server.interactions.registered import letter_of
from fhir_server.pipeline.administration import require_administrator
from smart_auth.authorization.scopes import Scope

OPEN = frozenset({"capabilities"})
_BUNDLES = frozenset({"batch", "transaction"})
_SYSTEM = frozenset({"search-system", "history-system"})


def authorise(asked: Asked, custodian: str) -> InScope:
    """Give the scopes that cover what is asked.

    Args:
        custodian: Reference of the organization that holds the records.

    Raises:
        ScopeError: None does, or it is for systems of the custodian only.
    """
    interaction = asked.interaction
    require_administrator(asked, custodian)
    if interaction.code in OPEN:
        return InScope(asked, ())
    of_system = interaction.code == "operation" and not interaction.type_
    if interaction.code in _SYSTEM or of_system:  # each type is looked at on its own
        return InScope(asked, _searching(asked))
    if interaction.code in _BUNDLES:
        return InScope(asked, _any_scope(asked))
    code, operation = interaction.code, interaction.operation
    letters = letter_of(code, operation, interaction.type_, interaction.id_)
    covering = tuple(s for one in letters for s in scopes_for(asked, interaction.type_, one))
    if not covering:
        asked_for = f"${operation}" if operation else code
        raise ScopeError(
            f"the access token's scopes do not cover {asked_for} of {interaction.type_}"
        )
    return InScope(asked, covering)


def _searching(asked: Asked) -> tuple[Scope, ...]:
    caller = asked.requester.caller
    found = tuple(s for s in caller.scopes.resources if "s" in s.letters) if caller else ()
    if not found:
        raise ScopeError("the access token's scopes do not cover any search or history")
    return found


def scopes_for(asked: Asked, type_: str, letter: str) -> tuple[Scope, ...]:
    """The scopes of the caller that cover a letter (one of ``cruds``) on a type."""
    caller = asked.requester.caller
    return caller.scopes.covers(type_, letter) if caller is not None else ()


def _any_scope(asked: Asked) -> tuple[Scope, ...]:
    """A Bundle itself needs some scope; each entry is authorised on its own."""
    caller = asked.requester.caller
    if caller is None or not caller.scopes.resources:
        raise ScopeError("the access token has no scope for FHIR resources")
    return caller.scopes.resources
