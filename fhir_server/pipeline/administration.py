"""Who may do what the custodian answers for: change the search parameters of the server, erase a patient, write Consents.

A SearchParameter shapes the index of all patients' records, and an erasure can not be undone, so a scope alone does not
let an app do it: it must be the custodian's own system, or a backend service of the custodian, in which no person is signed
in.  Who may write a Consent says ``interactions/lifecycle/writers.py``.
"""

from fhir_server.errors import ScopeError
from fhir_server.forms import Asked
from fhir_server.interactions.lifecycle.writers import (
    administers,
    is_privacy_officer,
    require_consent_writer,
    require_custodian,
    require_outsider,
    require_signatory,
)
from fhir_server.search.custom import SEARCH_PARAMETER

_ERASE = "erase"
_CHANGES = frozenset({"create", "update", "patch", "delete"})
_OPERATIONS = frozenset({"reindex", "reindex-status", "meta-add", "meta-delete"})
_ASKS = "request-access"
_ANSWERS = frozenset({"approve-access", "deny-access"})
_RECORDS = "record-disclosure"
_JUDGE = "judge-break-glass"
_CONSENT = "Consent"
_OF_CONSENTS = frozenset({"meta-add", "meta-delete", "file-consent", "revoke-consent"})


def require_administrator(asked: Asked, custodian: str) -> None:
    """Refuse whoever may not do this to a SearchParameter or a Consent, or erase; other requests pass.

    Raises:
        ScopeError: It is for others to do.
    """
    interaction, caller = asked.interaction, asked.requester.caller
    if interaction.operation == _ERASE and (caller is None or not administers(caller, custodian)):
        raise ScopeError("patients are for systems of the custodian to erase")
    if interaction.type_ == _CONSENT and (
        interaction.code in _CHANGES or interaction.operation in _OF_CONSENTS
    ):
        require_consent_writer(asked.requester, custodian)
    if interaction.operation in _ANSWERS:
        require_signatory(asked.requester)
    if interaction.operation == _ASKS:
        require_outsider(asked.requester)
    if interaction.operation == _JUDGE and not is_privacy_officer(asked.requester, custodian):
        raise ScopeError("a broken glass is for a privacy officer of the custodian to judge")
    if interaction.operation == _RECORDS:
        require_custodian(asked.requester, custodian)
    if interaction.type_ not in ("", SEARCH_PARAMETER):
        return
    if interaction.code not in _CHANGES and interaction.operation not in _OPERATIONS:
        return
    if caller is None or not administers(caller, custodian):
        raise ScopeError("search parameters are for systems of the custodian to define")
