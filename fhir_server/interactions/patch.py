"""patch (R4 http.html, 3.1.0.7), conditional or not: the stored text is changed and written like any update.

A patch tells what is in a resource by whether it can be performed, and answers with all of it; so it needs the scopes
and the consent to read, besides those to write.
"""

from fhir_server.errors import GoneError, InvalidResourceError, NotFoundError, ScopeError
from fhir_server.forms import InScope, Opened, Patch, Record
from fhir_server.interactions.app_state import require_state_kept
from fhir_server.interactions.conditional import match, require_preconditions
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.patching import apply
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.stages import located, one
from fhir_server.interactions.versions import current_record, write_version
from fhir_server.resource_text import ResourceText, read_resource
from fhir_server.store.protocol import SealedVersion


async def patch(in_scope: InScope, desk: Desk, id_: str = "") -> Opened:
    """Change the current version (of ``id_``, if a transaction has found it already).

    Raises:
        NotFoundError: Missing, or not permitted.
        GoneError: Deleted.
        PreconditionFailedError: ``If-Match`` does not hold, or the condition matches several resources.
        BadRequestError: It is no patch.
        InvalidResourceError: It can not be performed, or what it makes is not valid R4.
        ScopeError: The token may change, but not read.
    """
    interaction = in_scope.asked.interaction
    id_ = id_ or await patched(in_scope, desk)
    current, previous = await to_be_changed(in_scope, desk, id_)
    assert interaction.patch is not None
    content = _changed(interaction.patch, previous, desk)
    require_state_kept(in_scope, previous, content.value, desk.tools.base)
    advice = desk.tools.require_valid(content)
    record = await write_version(in_scope, desk, id_, content, current, previous)
    return one(in_scope, record, issues=advice)


async def patched(in_scope: InScope, desk: Desk) -> str:
    """The id of the resource that is to be changed.

    Raises:
        NotFoundError: The condition matches nothing.
        PreconditionFailedError: It matches several.
    """
    interaction = in_scope.asked.interaction
    if interaction.condition is None:
        return interaction.id_
    found = await match(in_scope, desk, interaction.type_, interaction.condition)
    if found is None:
        raise NotFoundError(MISSING)
    return found.id_


async def to_be_changed(in_scope: InScope, desk: Desk, id_: str) -> tuple[SealedVersion, Record]:
    """The current version and what is in it, for a caller who may both change and read it.

    Raises:
        NotFoundError: Missing, or not permitted.
        GoneError: Deleted.
        ScopeError: The token may change, but not read.
        PreconditionFailedError: ``If-Match`` does not hold.
    """
    current = await desk.reader.find(in_scope.asked.interaction.type_, id_)
    if current is None:
        raise NotFoundError(MISSING)
    previous = await current_record(in_scope, desk, current)
    if previous is None:
        raise GoneError("the resource was deleted")
    await _require_readable(in_scope, desk, current)
    require_preconditions(in_scope.asked.interaction, current)
    return current, previous


async def _require_readable(in_scope: InScope, desk: Desk, current: SealedVersion) -> None:
    caller, type_ = in_scope.asked.requester.caller, in_scope.asked.interaction.type_
    covering = caller.scopes.covers(type_, "r") if caller else ()
    if not covering:
        raise ScopeError(f"this needs a scope to read {type_}, besides that to update it")
    records = await desk.gate.admit(located(in_scope, (current,), covering=covering))
    if not records or records[0].withheld:
        raise NotFoundError(MISSING)


def _changed(sent: Patch, previous: Record, desk: Desk) -> ResourceText:
    text = apply(sent, previous.text.decode(), desk.tools.definitions)
    content = read_resource(text.encode())
    if content.type_ != previous.version.type_ or content.id_ != previous.id_:
        raise InvalidResourceError("a patch can not change resourceType or id", "resourceType")
    return content
