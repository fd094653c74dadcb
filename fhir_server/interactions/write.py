"""create and update (R4 http.html, 3.1.0.4, 3.1.0.5 and 3.1.0.8), conditional or not.

All of it happens inside one unit of work, and units run one after another: what a condition found, nobody can change
before the write is durable.  So two clients creating the same resource conditionally make one.
"""

from fhir_server.errors import BadRequestError, ConflictError, InvalidResourceError
from fhir_server.forms import InScope, Interaction, Opened
from fhir_server.interactions.app_state import require_state_kept
from fhir_server.interactions.attachments import kept_context
from fhir_server.interactions.conditional import match, require_preconditions
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.stages import one
from fhir_server.interactions.versions import current_record, write_version
from fhir_server.resource_text import ResourceText


async def create(in_scope: InScope, desk: Desk, id_: str = "") -> Opened:
    """Write a new resource under a random id (or ``id_``, which a transaction has already given out).

    Raises:
        InvalidResourceError: It is not valid R4.
        PreconditionFailedError: The condition matches several resources.
        NotFoundError: Consent does not permit it.
        ScopeError: It is conditional, and the token may create, but neither search nor read.
    """
    interaction = in_scope.asked.interaction
    content = sent(interaction)
    advice = desk.tools.require_valid(content)
    if interaction.condition is not None and not id_:
        found = await match(in_scope, desk, interaction.type_, interaction.condition)
        if found is not None:
            return one(in_scope, found)
    record = await write_version(in_scope, desk, id_ or desk.tools.new_id(), content, None)
    return one(in_scope, record, status=201, issues=advice)


async def update(in_scope: InScope, desk: Desk, id_: str = "") -> Opened:
    """Write the next version, or the first one under the client's own id (or ``id_``: see ``target``).

    Raises:
        InvalidResourceError: It is not valid R4.
        BadRequestError: Its id is another than the url's, or than that of the resource that the condition found.
        PreconditionFailedError: ``If-Match`` or ``If-None-Match`` does not hold, the condition matches several, or it is app
            state that must stay as it is.
        ConflictError: The condition matches nothing, but there is a resource with the id that was sent.
        NotFoundError: Consent does not permit it.
    """
    interaction = in_scope.asked.interaction
    content = sent(interaction)
    advice = desk.tools.require_valid(content)
    id_ = id_ or await target(in_scope, desk)
    current = await desk.reader.find(interaction.type_, id_)
    previous = await current_record(in_scope, desk, current)
    require_preconditions(interaction, current)
    require_state_kept(in_scope, previous, content.value, desk.tools.base)
    content = kept_context(in_scope, content, previous)
    record = await write_version(in_scope, desk, id_, content, current, previous)
    return one(in_scope, record, status=201 if previous is None else 200, issues=advice)


async def target(in_scope: InScope, desk: Desk) -> str:
    """The id that an update writes to: the url's, that of the condition's match, the one sent, or a new one.

    Raises:
        BadRequestError: The id sent is another, or missing where the url has one.
        PreconditionFailedError: The condition matches several resources.
        ConflictError: It matches none, but there is a resource with the id that was sent.
    """
    interaction = in_scope.asked.interaction
    content = sent(interaction)
    wrong = BadRequestError(
        "the id of the resource must be that of the url or of the match", f"{interaction.type_}.id"
    )
    if interaction.condition is None:
        if content.id_ != interaction.id_:
            raise wrong
        return interaction.id_
    found = await match(in_scope, desk, interaction.type_, interaction.condition)
    if found is not None:
        if content.id_ not in ("", found.id_):
            raise wrong
        return found.id_
    if not content.id_:
        return desk.tools.new_id()
    current = await desk.reader.find(interaction.type_, content.id_)
    if await current_record(in_scope, desk, current) is not None:
        raise ConflictError("nothing matches, but there is a resource with that id")
    return content.id_


def sent(interaction: Interaction) -> ResourceText:
    """The resource that was sent.

    Raises:
        InvalidResourceError: It is missing, or not of the type that the url names.
    """
    content = interaction.content
    if content is None or content.type_ != interaction.type_:
        raise InvalidResourceError(
            "the resource must be of the type that the url names", "resourceType"
        )
    return content
