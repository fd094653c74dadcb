"""``$validate`` (R4 resource-operation-validate.html): all that there is to say of a resource, and nothing is stored.

What is sent is judged as strictly as can be, whatever the setting.  At ``[type]/[id]`` the record must be one that the
caller may read: it is judged where nothing is sent, and what is missing and what is hidden look the same.  Of profiles, only
R4's own resource types can be asked for.
"""

from collections.abc import Iterator
from dataclasses import replace

from fhir_server.errors import BadRequestError, InvalidParameterError, Issue, MalformedError
from fhir_server.forms import InScope, Interaction, Opened, Received
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.outcome import outcome
from fhir_server.interactions.read import read
from fhir_server.interactions.stages import document
from fhir_server.resource_text import ResourceText, read_resource, resource_of_parameter
from profiles.errors import JsonError
from profiles.locating import places
from profiles.strict_json import decode

_MODES = ("", "create", "update", "delete", "profile")
_TYPES = "http://hl7.org/fhir/StructureDefinition/"
_SOUND = Issue("informational", "the resource is valid R4", severity="information")
_DELETABLE = Issue("informational", "the resource may be deleted", severity="information")


async def validate(in_scope: InScope, desk: Desk) -> Opened:
    """An OperationOutcome, with the line and column of each element in what was sent as JSON.

    Raises:
        NotFoundError: There is no such record for this caller.
        InvalidParameterError: An unknown mode, or a profile that is not known here.
        BadRequestError: Nothing was sent that could be validated.
    """
    interaction = in_scope.asked.interaction
    asked = Parameters(interaction.query, ("mode", "profile"))
    mode = asked.text("mode")
    if mode not in _MODES:
        raise InvalidParameterError("mode must be create, update, delete or profile")
    _require_known(asked.text("profile"), interaction)
    records = (await read(in_scope, desk)).records if interaction.id_ else ()
    sent = resource_of_parameter(interaction.content) if interaction.content else None
    if sent is not None and mode != "delete":
        found = tuple(_judged(sent, interaction, mode, desk))
        found = _placed(found, sent, in_scope.asked.received)
    elif not records:
        raise BadRequestError("send a resource, or Parameters with a resource", "Parameters")
    elif mode == "delete":
        found = (_DELETABLE,)
    else:
        found = desk.tools.issues(read_resource(records[0].text), strict=True)
    return document(in_scope, outcome(found or (_SOUND,)), records)


def _require_known(profile: str, interaction: Interaction) -> None:
    """Whoever asks for a profile must not be told of another (R4: "it SHALL return an error")."""
    if profile and profile.partition("|")[0] != f"{_TYPES}{interaction.type_}":
        raise InvalidParameterError("this server does not know that profile", "Parameters")


def _judged(sent: ResourceText, interaction: Interaction, mode: str, desk: Desk) -> Iterator[Issue]:
    if sent.type_ != interaction.type_:
        message = "the resource must be of the type that the url names"
        yield Issue("invalid", message, "Resource.resourceType")
    if interaction.id_ and sent.id_ != interaction.id_ and mode != "create":
        message = "the id of the resource must be that of the url"
        yield Issue("invalid", message, f"{sent.type_}.id")
    if mode == "update" and not sent.id_:
        yield Issue("required", "an update needs an id", f"{sent.type_}.id")
    yield from desk.tools.issues(sent, strict=True)


def _placed(found: tuple[Issue, ...], sent: ResourceText, received: Received) -> tuple[Issue, ...]:
    """The issues with the place of each element in the body; without, where that is not the JSON of the resource."""
    try:
        body = decode(received.body)
        known = places(sent.text, (issue.expression for issue in found))
    except (JsonError, MalformedError):
        return found
    start = body.find(sent.text)
    if start < 0:
        return found
    line, column = body.count("\n", 0, start), start - body.rfind("\n", 0, start) - 1
    at = {e: (line + row, col + (column if row == 1 else 0)) for e, (row, col) in known.items()}
    return tuple(replace(issue, place=at.get(issue.expression, ())) for issue in found)
