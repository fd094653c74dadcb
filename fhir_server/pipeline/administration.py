"""Who may change what holds for everybody: the search parameters of the server.

A SearchParameter shapes the index of all patients' records, so a scope alone does not let an app define one: it must be the
custodian's own system, or a backend service of the custodian, in which no person is signed in.
"""

from fhir_server.errors import ScopeError
from fhir_server.forms import Asked
from fhir_server.search.custom import SEARCH_PARAMETER
from smart_auth.bearer import Caller

_CHANGES = frozenset({"create", "update", "patch", "delete"})
_OPERATIONS = frozenset({"reindex", "reindex-status", "meta-add", "meta-delete"})


def require_administrator(asked: Asked, custodian: str) -> None:
    """Refuse whoever may not do this to a SearchParameter; other requests pass.

    Raises:
        ScopeError: It changes one, or asks for its job, and the caller is no system of the custodian.
    """
    interaction, caller = asked.interaction, asked.requester.caller
    if interaction.type_ not in ("", SEARCH_PARAMETER):
        return
    if interaction.code not in _CHANGES and interaction.operation not in _OPERATIONS:
        return
    if caller is None or not _administers(caller, custodian):
        raise ScopeError("search parameters are for systems of the custodian to define")


def _administers(caller: Caller, custodian: str) -> bool:
    return caller.system or (caller.user is None and custodian in caller.organizations)
