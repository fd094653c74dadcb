"""``Composition/[id]/$document`` (R4 composition-operation-document.html): the Composition with all that it refers to.

The Composition stands as it is stored.  What it refers to and the caller may not see is not in the Bundle: the reference
in the Composition stays, as it would in a read.  Whoever asks to ``persist`` the document needs a scope to create Bundles;
it is stored like any Bundle, so consent decides each part of it whenever it is read.
"""

from dataclasses import replace

from fhir_server.errors import InvalidParameterError, ScopeError, TooManyError
from fhir_server.forms import InScope, Interaction, Opened, Record
from fhir_server.interactions import stages
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.operations.assembling import Part, document_bundle
from fhir_server.interactions.operations.referred import Referred, of_same, subject_of
from fhir_server.interactions.read import read
from fhir_server.interactions.search.finding import Budget, Reach
from fhir_server.interactions.versions import write_version
from fhir_server.resource_text import read_resource

_PARAMETERS = ("persist", "graph")
_MOST = 2000
_DEEPEST = 20


def persists(interaction: Interaction) -> bool:
    """Whether a document is to be stored."""
    return ("persist", "true") in interaction.query


async def document(in_scope: InScope, desk: Desk) -> Opened:
    """The document.

    Raises:
        NotFoundError: The Composition is missing, or not permitted.
        InvalidParameterError: A parameter can not be used; a GET can not store; graphs are not followed.
        ScopeError: It is to be stored, and the token's scopes do not let create a Bundle.
        TooManyError: The Composition leads to more than 2,000 resources.
    """
    asked = Parameters(in_scope.asked.interaction.query, _PARAMETERS)
    if asked.text("graph"):
        raise InvalidParameterError("graphs are not followed: without one, all references are")
    stored = asked.flag("persist")
    if stored and in_scope.asked.received.method != "POST":
        raise InvalidParameterError("a GET changes nothing: POST to have the document stored")
    composition = (await read(in_scope, desk)).records[0]
    records = (composition, *await _referred(in_scope, desk, composition))
    parts = [Part.of(record, desk.tools.base) for record in records]
    id_ = desk.tools.new_id()
    body = document_bundle(id_, in_scope.asked.received.at, parts)
    if stored:
        bundle = await _store(in_scope, desk, id_, body)
        return stages.document(in_scope, bundle.text, (*records, bundle))
    return stages.document(in_scope, body, records)


async def _referred(in_scope: InScope, desk: Desk, composition: Record) -> list[Record]:
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    keep = of_same((subject_of(composition, desk.tools.base),))
    referred = Referred(reach, (composition,), keep, _MOST)
    await referred.follow(_DEEPEST)
    if referred.more:
        raise TooManyError(f"the Composition leads to more than {_MOST} resources")
    return referred.records


async def _store(in_scope: InScope, desk: Desk, id_: str, body: bytes) -> Record:
    caller, asked = in_scope.asked.requester.caller, in_scope.asked
    covering = caller.scopes.covers("Bundle", "c") if caller else ()
    if not covering:
        raise ScopeError("to store a document the token needs a scope to create a Bundle")
    own = replace(asked.interaction, type_="Bundle", id_="")
    scoped = replace(in_scope, asked=replace(asked, interaction=own), covering=covering)
    content = read_resource(body)
    desk.tools.require_valid(content)
    return await write_version(scoped, desk, id_, content, None)
