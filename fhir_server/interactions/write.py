"""create, update and delete (R4 http.html, 3.1.0.4 to 3.1.0.8).

All of it happens inside one unit of work, and units run one after another: what a condition found, nobody can change
before the write is durable.  So two clients creating the same resource conditionally make one.
"""

from dataclasses import replace

from fhir_server.errors import (
    InvalidResourceError,
    MethodNotAllowedError,
    NotFoundError,
    PreconditionFailedError,
    ScopeError,
)
from fhir_server.forms import InScope, Interaction, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.leaf import put_with_leaf
from fhir_server.interactions.read import MISSING, last_living
from fhir_server.interactions.search import find_matches
from fhir_server.interactions.stages import located, nothing, one
from fhir_server.resource_text import ResourceText, stamp
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Draft
from smart_auth.scopes import Scope

_IMMUTABLE = frozenset({"AuditEvent"})


async def create(in_scope: InScope, desk: Desk, id_: str = "") -> Opened:
    """Write a new resource under a random id (or ``id_``, which a transaction has already given out).

    Raises:
        InvalidResourceError: It is not valid R4.
        PreconditionFailedError: The condition matches several resources.
        NotFoundError: Consent does not permit it.
        ScopeError: It is conditional, and the token may create, but neither search nor read.
    """
    interaction = in_scope.asked.interaction
    content = _content(interaction)
    desk.tools.require_valid(content)
    if interaction.if_none_exist is not None:
        looking = replace(in_scope, covering=_search_scopes(in_scope))
        found = await find_matches(looking, desk, interaction.type_, interaction.if_none_exist)
        if len(found) > 1:
            raise PreconditionFailedError("the condition of the create matches several resources")
        if found:
            return one(in_scope, found[0])
    record = await _write(in_scope, desk, id_ or desk.tools.new_id(), content, None, "collect")
    return one(in_scope, record, status=201)


async def update(in_scope: InScope, desk: Desk) -> Opened:
    """Write the next version, or the first one under the client's own id.

    Raises:
        InvalidResourceError: It is not valid R4, or its id is another than the url's.
        PreconditionFailedError: ``If-Match`` names another version.
        NotFoundError: Consent does not permit it.
        MethodNotAllowedError: An AuditEvent is never changed.
    """
    interaction = in_scope.asked.interaction
    _require_mutable(interaction)
    content = _content(interaction)
    if content.id_ != interaction.id_:
        raise InvalidResourceError(
            "the id of the resource must be that of the url", f"{interaction.type_}.id"
        )
    desk.tools.require_valid(content)
    current = await desk.reader.find(interaction.type_, interaction.id_)
    previous = await _current_record(in_scope, desk, current)
    _require_match(interaction, current)
    record = await _write(in_scope, desk, interaction.id_, content, current, "correct", previous)
    fresh = current is None or current.deleted
    return one(in_scope, record, status=201 if fresh else 200)


async def delete(in_scope: InScope, desk: Desk) -> Opened:
    """Write a tombstone; history stays.

    Raises:
        NotFoundError: Missing, or not permitted.
        PreconditionFailedError: ``If-Match`` names another version.
        MethodNotAllowedError: An AuditEvent is never deleted.
    """
    interaction = in_scope.asked.interaction
    _require_mutable(interaction)
    current = await desk.reader.find(interaction.type_, interaction.id_)
    if current is None:
        raise NotFoundError(MISSING)
    if current.deleted:
        former = await last_living(current, desk)
        if not await desk.gate.admit(
            located(in_scope, (current,), action="correct", former=former)
        ):
            raise NotFoundError(MISSING)
        return nothing(in_scope, 204)
    previous = await _current_record(in_scope, desk, current)
    assert previous is not None
    _require_match(interaction, current)
    tokens = desk.tools.tokenizer.tokens(interaction.type_, previous.value, previous.patients)
    draft = Draft(
        type_=interaction.type_,
        id_=interaction.id_,
        version=current.version + 1,
        at=_time(in_scope, current),
        text="",
        patients=previous.patients,
        tokens=frozenset(),
        previous=current,
        dropped=tokens,
    )
    await desk.unit().put(draft)
    return nothing(in_scope, 204, records=(previous,))


async def _write(
    in_scope: InScope,
    desk: Desk,
    id_: str,
    content: ResourceText,
    current: SealedVersion | None,
    action: str,
    previous: Record | None = None,
) -> Record:
    type_ = in_scope.asked.interaction.type_
    version = current.version + 1 if current else 1
    at = _time(in_scope, current)
    stamped = stamp(content, id_, version, at)
    patients = desk.tools.patients(stamped.value, type_, id_)
    decisions = await desk.gate.require_write(in_scope, stamped.value, patients, action)
    dropped = (
        desk.tools.tokenizer.tokens(type_, previous.value, previous.patients)
        if previous
        else frozenset[bytes]()
    )
    tokens = desk.tools.tokenizer.tokens(type_, stamped.value, patients)
    draft = Draft(type_, id_, version, at, stamped.text, patients, tokens, current, dropped)
    sealed = await _put(desk, draft)
    return desk.gate.written(sealed, stamped.text.encode(), stamped.value, patients, decisions)


async def _put(desk: Desk, draft: Draft) -> SealedVersion:
    """Write; an AuditEvent that a client sends gets a leaf in the audit log like our own."""
    if draft.type_ != "AuditEvent":
        return await desk.unit().put(draft)
    version, _ = await put_with_leaf(desk.unit(), draft, desk.tools.new_secret)
    return version


async def _current_record(
    in_scope: InScope, desk: Desk, current: SealedVersion | None
) -> Record | None:
    """The current version, opened: whoever may not see it may not change it either."""
    if current is None:
        return None
    if current.deleted:
        former = await last_living(current, desk)
        if not await desk.gate.admit(
            located(in_scope, (current,), action="correct", former=former)
        ):
            raise NotFoundError(MISSING)
        return None
    records = await desk.gate.admit(located(in_scope, (current,), action="correct"))
    if not records:
        raise NotFoundError(MISSING)
    return records[0]


def _require_match(interaction: Interaction, current: SealedVersion | None) -> None:
    if interaction.if_match is not None and (
        current is None or current.version != interaction.if_match
    ):
        raise PreconditionFailedError("If-Match does not name the current version: read it again")


def _require_mutable(interaction: Interaction) -> None:
    if interaction.type_ in _IMMUTABLE:
        raise MethodNotAllowedError(f"an {interaction.type_} is never changed or deleted")


def _search_scopes(in_scope: InScope) -> tuple[Scope, ...]:
    """The scopes under which a condition may look: it answers with what it finds, so creating alone is not enough."""
    caller, type_ = in_scope.asked.requester.caller, in_scope.asked.interaction.type_
    covering = caller and (caller.scopes.covers(type_, "s") or caller.scopes.covers(type_, "r"))
    if not covering:
        raise ScopeError(f"a conditional create needs a scope to search or read {type_}")
    return covering


def _content(interaction: Interaction) -> ResourceText:
    content = interaction.content
    if content is None or content.type_ != interaction.type_:
        raise InvalidResourceError(
            "the resource must be of the type that the url names", "resourceType"
        )
    return content


def _time(in_scope: InScope, current: SealedVersion | None) -> int:
    """When the version is written; never before the one it follows, whatever the clock does."""
    at = in_scope.asked.received.at
    return max(at, current.at + 1) if current else at
