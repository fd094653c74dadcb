"""Which operation does what, and which of them need a unit of work."""

from collections.abc import Awaitable, Callable

from fhir_server.errors import BadRequestError
from fhir_server.forms import InScope, Interaction, Opened
from fhir_server.interactions.desk import Desk, Tools
from fhir_server.interactions.operations.access import (
    access_status,
    approve_access,
    deny_access,
    request_access,
)
from fhir_server.interactions.operations.access_explain import access_explain
from fhir_server.interactions.operations.access_log import access_log
from fhir_server.interactions.operations.accounting import accounting_of_disclosures
from fhir_server.interactions.operations.chain_answer import chain_answer
from fhir_server.interactions.operations.chain_filing import chain_filing
from fhir_server.interactions.operations.chain_revocation import chain_revocation
from fhir_server.interactions.operations.consents import file_consent, revoke_consent
from fhir_server.interactions.operations.decide import decide
from fhir_server.interactions.operations.docref import docref
from fhir_server.interactions.operations.document import document, persists
from fhir_server.interactions.operations.erase import erase
from fhir_server.interactions.operations.everything import everything
from fhir_server.interactions.operations.export import export, export_file, export_status
from fhir_server.interactions.operations.judging import judge_break_glass
from fhir_server.interactions.operations.lastn import lastn
from fhir_server.interactions.operations.match import match
from fhir_server.interactions.operations.meta import meta, meta_add, meta_delete
from fhir_server.interactions.operations.receipt import receipt
from fhir_server.interactions.operations.record_disclosure import record_disclosure
from fhir_server.interactions.operations.reindex import reindex, reindex_status
from fhir_server.interactions.operations.summary import summary
from fhir_server.interactions.operations.validate import validate

PERFORMED: dict[str, Callable[[InScope, Desk], Awaitable[Opened]]] = {
    "access-explain": access_explain,
    "access-log": access_log,
    "accounting-of-disclosures": accounting_of_disclosures,
    "access-status": access_status,
    "approve-access": approve_access,
    "deny-access": deny_access,
    "chain-answer": chain_answer,
    "chain-filing": chain_filing,
    "chain-revocation": chain_revocation,
    "decide": decide,
    "docref": docref,
    "document": document,
    "everything": everything,
    "export": export,
    "export-file": export_file,
    "export-status": export_status,
    "file-consent": file_consent,
    "judge-break-glass": judge_break_glass,
    "lastn": lastn,
    "match": match,
    "meta": meta,
    "meta-add": meta_add,
    "meta-delete": meta_delete,
    "receipt": receipt,
    "record-disclosure": record_disclosure,
    "reindex": reindex,
    "reindex-status": reindex_status,
    "request-access": request_access,
    "revoke-consent": revoke_consent,
    "summary": summary,
    "validate": validate,
}
ON_THEIR_OWN: dict[str, Callable[[InScope, Tools], Awaitable[Opened]]] = {"erase": erase}
_ALONE = frozenset({*ON_THEIR_OWN, "export", "export-file", "export-status"})
_CHANGES = frozenset(
    {
        "meta-add",
        "meta-delete",
        "chain-filing",
        "file-consent",
        "revoke-consent",
        "judge-break-glass",
        "record-disclosure",
        "request-access",
        "approve-access",
        "deny-access",
    }
)


async def perform(in_scope: InScope, desk: Desk) -> Opened:
    """Perform the operation that is asked for.

    Raises:
        FhirError: As each of them says.
    """
    operation = in_scope.asked.interaction.operation
    if operation in _ALONE and desk.writer is not None:
        raise BadRequestError(f"${operation} can not be part of a transaction")
    return await PERFORMED[operation](in_scope, desk)


async def perform_on_its_own(in_scope: InScope, tools: Tools) -> Opened:
    """Perform an operation of ``ON_THEIR_OWN``, which has snapshots and units of work of its own.

    Raises:
        FhirError: As each of them says.
    """
    return await ON_THEIR_OWN[in_scope.asked.interaction.operation](in_scope, tools)


def writes(interaction: Interaction) -> bool:
    """Whether an interaction is an operation that writes."""
    stored = interaction.operation == "document" and persists(interaction)
    return stored or interaction.operation in _CHANGES
