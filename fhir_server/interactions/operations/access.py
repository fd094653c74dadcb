"""Asking for access, and the answer: ``$request-access``, ``$access-status``, ``$approve-access``, ``$deny-access``.

A request is written for whoever is named, known here or not, and the answer is the same; so nobody learns by it who is a
patient.  The requester sees the state of his own request, and nothing else of the patient's.  An approval is a Consent with
an end, written with its signature in the same commit (ADR 0040).
"""

from dataclasses import replace

import orjson

from fhir_server.errors import (
    ConflictError,
    InvalidResourceError,
    NotFoundError,
    ScopeError,
)
from fhir_server.forms import InScope, Json, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.lifecycle.kept import ACCESS_REQUEST, code_of, coded
from fhir_server.interactions.lifecycle.requests import (
    Wish,
    consent_of,
    last_second,
    narrowed,
    task_of,
    wish_of,
)
from fhir_server.interactions.lifecycle.signing import sign
from fhir_server.interactions.lifecycle.writers import require_spoken_for, subject_of
from fhir_server.interactions.lifecycle.writing import as_writing, put_changed, put_own, seconds
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.patch import to_be_changed
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.registries.requesting import account_of, offer
from fhir_server.interactions.stages import document, one
from fhir_server.interactions.versions import write_version
from fhir_server.resource_text import read_resource, resource_of_parameter
from smart_auth.tokens.bearer import Caller

_LONGEST = 1000
_NONE = "none"


async def request_access(in_scope: InScope, desk: Desk) -> Opened:
    """Keep a request; the answer (201) is the Task.

    Raises:
        InvalidResourceError: It is no Task of the code ``access-request``, or asks for nothing that can be granted.
        ScopeError: It asks for somebody for whom the caller does not speak.
    """
    asked = in_scope.asked
    content = asked.interaction.content
    sent = resource_of_parameter(content) if content is not None else None
    if sent is None or sent.type_ != "Task" or code_of(sent.value) != ACCESS_REQUEST:
        raise InvalidResourceError("send a Task of the code access-request", "Task.code")
    desk.tools.require_valid(sent)
    patient = subject_of(sent.value, desk.tools.base, "for")
    if not patient:
        raise InvalidResourceError("a request is for one patient of this server", "Task.for")
    assert asked.requester.caller is not None, "nobody without a token comes here"
    recipient = _recipient(sent.value, asked.requester.caller)
    wish = _wish(sent.value, patient, recipient, in_scope, desk)
    about = str(sent.value.get("description", ""))[:_LONGEST]
    task = task_of(wish, about, asked.received.now)
    account, id_ = account_of(sent.value), ""
    if account:
        id_ = await offer(desk, task, wish, account, asked.received.at)
    kept, made = await put_own(desk.unit(), desk.tools, task, patient, asked.received.at, id_)
    record = desk.gate.written(kept, made.text.encode(), made.value, (patient,), ())
    return one(in_scope, record, status=201)


async def access_status(in_scope: InScope, desk: Desk) -> Opened:
    """The state of a request of the caller's own: ``requested``, ``completed`` (approved), ``rejected``, or ``draft``.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    interaction = in_scope.asked.interaction
    Parameters(interaction.query, ())
    version = await desk.reader.find("Task", interaction.id_)
    record = await desk.gate.admit_request(in_scope, version) if version else None
    if record is None:
        raise NotFoundError(MISSING)
    state = {"name": "status", "valueCode": record.value.get("status")}
    told = orjson.dumps({"resourceType": "Parameters", "parameter": [state]})
    return document(in_scope, told, (record,))


async def approve_access(in_scope: InScope, desk: Desk) -> Opened:
    """Grant a request, or a part of it; the answer is the Task, whose output refers to the Consent.

    Raises:
        InvalidParameterError: A parameter can not be used.
        InvalidResourceError: What is granted reaches beyond what was asked, or its time is over.
        NotFoundError: There is no such request for this caller.
        ConflictError: It was answered before.
        ScopeError: The token does not cover it, or the caller does not speak for the patient.
    """
    asked = Parameters(in_scope.asked.interaction.query, ("until", "purpose", "class", "label"))
    record, patient = await asked_for(in_scope, desk)
    recipient = _reference(record.value, "requester")
    wish = _wish(record.value, patient, recipient, in_scope, desk)
    labels = asked.names("label")
    granted = narrowed(
        wish,
        asked.names("purpose"),
        asked.names("class"),
        None if not labels else () if labels == (_NONE,) else labels,
        last_second(asked.text("until")) if asked.text("until") else None,
    )
    now = in_scope.asked.received.now
    if granted.end <= now or not desk.tools.definitions.resource_types.issuperset(granted.classes):
        raise InvalidResourceError("this can not be granted: its end, or a class", "Parameters")
    consent = await _consent(in_scope, desk, granted, record)
    changes: dict[str, object] = {
        "status": "completed",
        "lastModified": seconds(now),
        "restriction": {"period": {"start": seconds(granted.start), "end": seconds(granted.end)}},
        "output": [{"type": coded("consent"), "valueReference": {"reference": consent.reference}}],
    }
    answered = await put_changed(in_scope, desk, record, changes)
    return replace(one(in_scope, answered), records=(answered, consent))


async def deny_access(in_scope: InScope, desk: Desk) -> Opened:
    """Refuse a request; the requester sees that, but not the ``reason``.

    Raises:
        NotFoundError: As ``approve_access``.
    """
    asked = Parameters(in_scope.asked.interaction.query, ("reason",))
    record, _ = await asked_for(in_scope, desk)
    now = in_scope.asked.received.now
    changes: dict[str, object] = {"status": "rejected", "lastModified": seconds(now)}
    reason = asked.text("reason").strip()[:_LONGEST]
    if reason:
        changes["statusReason"] = {"text": reason}
    return one(in_scope, await put_changed(in_scope, desk, record, changes))


async def asked_for(in_scope: InScope, desk: Desk) -> tuple[Record, str]:
    """The open request that is to be answered, and its patient, for whom the caller speaks.

    Raises:
        NotFoundError: There is no such request for this caller.
        ConflictError: It was answered before, or was not made yet.
        ScopeError: The token does not cover it, or the caller does not speak for the patient.
    """
    _, record = await to_be_changed(in_scope, desk, in_scope.asked.interaction.id_)
    if code_of(record.value) != ACCESS_REQUEST:
        raise NotFoundError(MISSING)
    patient = subject_of(record.value, desk.tools.base, "for")
    require_spoken_for(in_scope.asked.requester, patient, record.patients, record.decisions)
    if record.value.get("status") != "requested":
        raise ConflictError("this request was answered before, or is a draft still")
    return record, patient


async def _consent(in_scope: InScope, desk: Desk, granted: Wish, request: Record) -> Record:
    caller = in_scope.asked.requester.caller
    assert caller is not None
    assert caller.user is not None, "only persons come here"
    made = consent_of(granted, request.reference, caller.user, in_scope.asked.received.now)
    content = read_resource(orjson.dumps(made))
    writing = as_writing(in_scope, "Consent")
    consent = await write_version(writing, desk, desk.tools.new_id(), content, None)
    await sign(in_scope, desk, consent, granted.patient, reason=f"approval of {request.reference}")
    return consent


def _wish(task: Json, patient: str, recipient: str, in_scope: InScope, desk: Desk) -> Wish:
    types, now = desk.tools.definitions.resource_types, in_scope.asked.received.now
    return wish_of(task, patient, recipient, types, now)


def _recipient(task: Json, caller: Caller) -> str:
    """For whom the caller asks: himself, or an organization that he is of."""
    own: tuple[str, ...] = (*caller.organizations, *((caller.user,) if caller.user else ()))
    named = _reference(task, "requester") or next(iter(own), "")
    if named not in own:
        raise ScopeError("ask for yourself, or for the organization that you are of")
    return named


def _reference(task: Json, element: str) -> str:
    held = task.get(element)
    named = held.get("reference") if isinstance(held, dict) else None
    return named if isinstance(named, str) else ""
