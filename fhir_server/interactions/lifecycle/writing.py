"""What a request writes beside the resource that it names: as the requester, or as the server itself."""

from dataclasses import replace
from datetime import datetime

import orjson

from fhir_server.errors import InvalidResourceError, ScopeError
from fhir_server.forms import InScope, Json, Record
from fhir_server.interactions.desk import Desk, Tools
from fhir_server.interactions.versions import next_time, write_version
from fhir_server.resource_text import ResourceText, read_resource, stamp
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Draft, Writer
from profiles.patch.merge_patch import merge_patch


def as_writing(in_scope: InScope, type_: str, letter: str = "c", id_: str = "") -> InScope:
    """The same request, as far as it writes a resource of another type.

    Raises:
        ScopeError: The token does not cover that.
    """
    asked = in_scope.asked
    caller = asked.requester.caller
    covering = caller.scopes.covers(type_, letter) if caller is not None else ()
    if not covering:
        raise ScopeError(f"this needs a scope to write {type_}, too")
    interaction = replace(asked.interaction, type_=type_, id_=id_)
    return replace(in_scope, asked=replace(asked, interaction=interaction), covering=covering)


async def write_beside(
    in_scope: InScope, desk: Desk, content: ResourceText, patient: str
) -> Record:
    """Write a new resource of ``patient`` as the requester, who needs scopes and consent for it.

    Raises:
        ScopeError: The token does not cover it.
        InvalidResourceError: It is not valid R4, or not of this patient alone.
        NotFoundError: Consent does not permit it.
    """
    writing = as_writing(in_scope, content.type_)
    desk.tools.require_valid(content)
    id_ = desk.tools.new_id()
    if desk.tools.patients(content.value, content.type_, id_) != (patient,):
        raise InvalidResourceError(
            "what is sent along must be of the same patient, and of no other", content.type_
        )
    return await write_version(writing, desk, id_, content, None)


async def put_own(
    writer: Writer, tools: Tools, value: Json, patient: str, at: int, id_: str = ""
) -> tuple[SealedVersion, ResourceText]:
    """Write a new resource about ``patient`` as the server itself; give it.  No consent is asked.

    Args:
        at: Milliseconds since 1970 UTC.
    """
    content = read_resource(orjson.dumps(value))
    id_ = id_ or tools.new_id()
    stamped = stamp(content, id_, 1, at)
    tokens = tools.tokenizer.tokens(content.type_, stamped.value, (patient,))
    draft = Draft(content.type_, id_, 1, at, stamped.text, (patient,), tokens)
    return await writer.put(draft), stamped


async def put_changed(in_scope: InScope, desk: Desk, record: Record, changes: Json) -> Record:
    """Write and give the next version of an admitted record as the server itself, with members changed."""
    type_ = record.version.type_
    text = merge_patch(record.text.decode(), orjson.dumps(changes).decode())
    version, at = record.version.version + 1, next_time(in_scope, record.version)
    stamped = stamp(read_resource(text.encode()), record.id_, version, at)
    tokens = desk.tools.tokenizer.tokens(type_, stamped.value, record.patients)
    dropped = desk.tools.tokenizer.tokens(type_, record.value, record.patients)
    draft = Draft(
        *(type_, record.id_, version, at, stamped.text, record.patients, tokens),
        previous=record.version,
        dropped=dropped,
    )
    sealed = await desk.unit().put(draft)
    text_, value = stamped.text.encode(), stamped.value
    return desk.gate.written(sealed, text_, value, record.patients, record.decisions)


def seconds(at: datetime) -> str:
    """An instant as a FHIR dateTime, UTC."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
