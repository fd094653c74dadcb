"""The audit record: no answer without one.  The only maker of ``Recorded``.

AuditEvents are resources like others, sealed for the patient whom they concern; each has a leaf in the audit log, appended
in the same commit.  For a writing interaction that is the commit of the write.
"""

from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from fhir_server.errors import (
    FhirError,
    IntegrityError,
    KeyProviderUnavailableError,
    MethodNotAllowedError,
    RangeError,
    UnauthorizedError,
    WrongKeyError,
)
from fhir_server.forms import Asked, Pairs, Record, Recorded, Released
from fhir_server.ids import timed_id
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.leaf import event_draft, leaf_of, put_with_leaf
from fhir_server.interactions.lifecycle.glass import may_break_glass, note_broken_glass
from fhir_server.interactions.outcome import outcome
from fhir_server.pipeline.audit_event import Happening, audit_event, names_patients
from fhir_server.vault.vault import Draft, Reader, Vault, Writer


async def events_of(released: Released, reader: Reader, tools: Tools) -> list[Draft]:
    """The AuditEvents that tell of what was released, ready to be written."""
    asked = released.in_scope.asked
    disclosed, counted = released.disclosed, released.counted
    return await _drafts(asked, released.status, "", disclosed, (), reader, tools, counted)


async def record(
    released: Released, writer: Writer, tools: Tools, events: Sequence[Draft] | None = None
) -> Recorded:
    """Append what was released to the audit log.

    Args:
        events: Made before by ``events_of``, so that others do not wait for it; made here if None.

    Raises:
        ConflictError: It breaks a glass for a reason whose time has ended.
    """
    drafts = await events_of(released, writer, tools) if events is None else events
    await note_broken_glass(released, drafts, writer, tools)
    return _recorded(released, await _append(drafts, writer, tools))


async def record_at_once(
    released: Released, vault: Vault, tools: Tools, events: Sequence[Draft], epoch: int
) -> Recorded | None:
    """The same without a unit of work, for an answer that wrote nothing; None if that can not be.

    Args:
        events: Made by ``events_of`` of a reader of this ``epoch``.
    """
    asked = released.in_scope.asked
    if may_break_glass(asked.requester):
        return None
    leaves = [(event, leaf_of(event, tools.new_secret)) for event in events]
    numbers = await vault.record(leaves, epoch)
    return None if numbers is None else _recorded(released, tuple(numbers))


async def record_refusal(asked: Asked, error: FhirError, writer: Writer, tools: Tools) -> Recorded:
    """Append a refusal to the audit log; the answer is an OperationOutcome."""
    interaction = asked.interaction
    touched = (
        (f"{interaction.type_}/{interaction.id_}",)
        if interaction.id_ and asked.requester.caller
        else ()
    )
    try:
        drafts = await _drafts(asked, error.status, str(error), (), touched, writer, tools)
    except KeyProviderUnavailableError:  # the patient's key can not be had: recorded for nobody
        drafts = [_draft(Happening(asked, error.status, str(error), "", (), ()), tools)]
    numbers = await _append(drafts, writer, tools)
    headers = _traced(asked, _refusal_headers(error))
    return Recorded(error.status, outcome(error.issues), headers, numbers, code=interaction.code)


def _recorded(released: Released, numbers: tuple[int, ...]) -> Recorded:
    asked = released.in_scope.asked
    headers = _traced(asked, released.headers)
    code = asked.interaction.code
    return Recorded(released.status, released.body, headers, numbers, released.stream, code)


def _refusal_headers(error: FhirError) -> Pairs:
    if isinstance(error, MethodNotAllowedError) and error.allow:
        return (("Allow", ", ".join(error.allow)),)
    if isinstance(error, RangeError):
        return (("Content-Range", f"bytes */{error.size}"),)
    if isinstance(error, UnauthorizedError):
        nonce = (("DPoP-Nonce", error.nonce),) if error.nonce else ()
        return (("WWW-Authenticate", error.challenge), *nonce)
    return ()


def _traced(asked: Asked, headers: Pairs) -> Pairs:
    return (*headers, ("X-Request-Id", asked.received.request_id))


async def _drafts(
    asked: Asked,
    status: int,
    why: str,
    records: Sequence[Record],
    touched: Sequence[str],
    reader: Reader,
    tools: Tools,
    counted: Sequence[str] = (),
) -> list[Draft]:
    shared = [r for r in records if not r.patients]
    concerned = dict.fromkeys([*(p for r in records for p in r.patients if p), *counted])
    if not concerned and asked.requester.caller is not None:
        concerned = dict.fromkeys(await _asked_about(asked, touched, reader))
    named = [t for t in touched if not t.startswith("Patient/")]
    drafts = []
    for patient in concerned or [""]:
        own = [r for r in records if patient in r.patients] if patient else []
        happening = Happening(asked, status, why, patient, [*own, *shared], named)
        drafts.append(_draft(happening, tools))
    return drafts


def _draft(happening: Happening, tools: Tools) -> Draft:
    at = happening.asked.received.at
    event = audit_event(happening, timed_id(at), at, tools.base, tools.custodian)
    # of the patient, not of the agent: whoever is spied on must see by whom
    patients = (happening.patient,) if happening.patient else ()
    return event_draft(event, at, patients, tools.tokenizer)


async def _append(drafts: Sequence[Draft], writer: Writer, tools: Tools) -> tuple[int, ...]:
    return tuple([(await put_with_leaf(writer, d, tools.new_secret))[1] for d in drafts])


async def _asked_about(asked: Asked, touched: Sequence[str], reader: Reader) -> list[str]:
    """Patients whom a request was about although it got nothing: they see that, too.  Unknown patients are left out."""
    found: list[str] = []
    for reference in touched:
        type_, _, id_ = reference.partition("/")
        with suppress(IntegrityError, WrongKeyError):  # what does not open is refused, unnamed
            version = await reader.find(type_, id_)
            if version is not None:
                found += [p for p in await reader.patients(version) if p]
    type_, compartment = asked.interaction.type_, asked.interaction.compartment
    named = [compartment] if compartment.startswith("Patient/") else []
    for name, value in asked.interaction.query:
        if names_patients(type_, name):
            named += _patient_references(value)
    return found + [patient for patient in named if await _is_known(patient, reader)]


async def _is_known(patient: str, reader: Reader) -> bool:
    with suppress(IntegrityError, WrongKeyError):
        return bool(await reader.name(reader.blind.patient(patient)))
    return False


def _patient_references(value: str) -> list[str]:
    """The Patient references in a search value, relative."""
    ids = [urlsplit(part).path.rpartition("/")[2] for part in value.split(",")]
    return [f"Patient/{id_}" for id_ in ids if id_]
