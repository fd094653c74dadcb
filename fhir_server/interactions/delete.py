"""delete (R4 http.html, 3.1.0.7 and 3.1.0.7.1): of one resource, or of all that a condition finds.  History stays."""

from fhir_server.errors import NotFoundError, PreconditionFailedError
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions.app_state import require_state_kept
from fhir_server.interactions.conditional import matches, require_preconditions
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.lifecycle.kept import require_not_kept
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.stages import nothing
from fhir_server.interactions.versions import current_record, next_time
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Draft


async def delete(in_scope: InScope, desk: Desk) -> Opened:
    """Write a tombstone; of what is deleted already, or matches no condition, nothing.

    A condition may find as many as the setting ``CONSENTRY_CONDITIONAL_DELETE`` says: all of them go, or none.

    Raises:
        NotFoundError: Missing, or not permitted.
        PreconditionFailedError: ``If-Match`` names another version, or the condition matches too many.
        ScopeError: It is conditional, and the token covers neither search nor read.
        ConflictError: It is what the server keeps about Consents.
    """
    interaction = in_scope.asked.interaction
    if interaction.condition is None:
        current = await desk.reader.find(interaction.type_, interaction.id_)
        if current is None:
            raise NotFoundError(MISSING)
        return nothing(in_scope, 204, records=await _delete(in_scope, desk, current))
    most = desk.tools.most_deleted
    found = await matches(in_scope, desk, interaction.type_, interaction.condition, most)
    if len(found) > most:
        raise PreconditionFailedError(
            f"the condition matches more than {most}: nothing was deleted"
        )
    deleted = [d for r in found for d in await _delete(in_scope, desk, r.version)]
    return nothing(in_scope, 204, records=deleted)


async def _delete(in_scope: InScope, desk: Desk, current: SealedVersion) -> tuple[Record, ...]:
    """Delete one; give what was there."""
    previous = await current_record(in_scope, desk, current)
    require_preconditions(in_scope.asked.interaction, current)
    require_state_kept(in_scope, previous, None, desk.tools.base)
    if previous is None:
        return ()
    require_not_kept(previous.value)
    type_ = current.type_
    draft = Draft(
        type_=type_,
        id_=previous.id_,
        version=current.version + 1,
        at=next_time(in_scope, current),
        text="",
        patients=previous.patients,
        tokens=frozenset(),
        previous=current,
        dropped=desk.tools.tokenizer.tokens(type_, previous.value, previous.patients),
    )
    await desk.unit().put(draft)
    return (previous,)
