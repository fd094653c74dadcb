"""The audit record: no answer without one.  The only maker of ``Recorded``.

AuditEvents are resources like others, sealed for the patient whom they concern; each has a leaf in the audit log, appended
in the same commit.  For a writing interaction that is the commit of the write.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
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
from fhir_server.forms import Asked, Pairs, Record, Recorded, Released, Stream
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.leaf import leaf_of
from fhir_server.interactions.lifecycle.glass import may_break_glass, note_broken_glass
from fhir_server.interactions.outcome import outcome
from fhir_server.pipeline.audit_event import Happening, names_patients
from fhir_server.pipeline.scribe import Scribe, Telling, Told, draft_of, tell
from fhir_server.vault.vault import Draft, Reader, Writer


async def happenings_of(released: Released, reader: Reader) -> list[Happening]:
    """What the AuditEvents tell of what was released: one for each patient."""
    asked = released.in_scope.asked
    disclosed, counted = released.disclosed, released.counted
    return await _happenings(asked, released.status, "", disclosed, (), reader, counted)


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """What was released, without the records that it tells of, and the AuditEvents that are to go on record with it."""

    status: int
    body: bytes = field(repr=False)
    headers: Pairs
    stream: Stream | None
    code: str
    events: Sequence[Told] = field(repr=False)


async def record(
    released: Released, writer: Writer, tools: Tools, drafts: Sequence[Draft] = ()
) -> Recorded:
    """Append what was released to the audit log.

    Args:
        drafts: Of its AuditEvents, made before (``scribe.py``), so that others do not wait; made here if there are none.

    Raises:
        ConflictError: It breaks a glass for a reason whose time has ended.
    """
    if drafts:
        named = [(draft.id_, draft.patients) for draft in drafts]
        await note_broken_glass(released, named, writer, tools)
        return _recorded(released, await _append(drafts, writer, tools))
    told = await unrecorded(released, writer, tools)
    return (await record_all([told], writer, tools))[0]


async def unrecorded(released: Released, writer: Writer, tools: Tools) -> Unrecorded:
    """What was released, about to be recorded in this unit of work, with others.

    Raises:
        ConflictError: As ``record``.
    """
    events = [tell(each, tools) for each in await happenings_of(released, writer)]
    named = [(str(each.event["id"]), each.patients) for each in events]
    await note_broken_glass(released, named, writer, tools)
    asked = released.in_scope.asked
    headers = _traced(asked, released.headers)
    code = asked.interaction.code
    return Unrecorded(released.status, released.body, headers, released.stream, code, events)


async def record_all(
    answers: Sequence[Unrecorded], writer: Writer, tools: Tools
) -> Sequence[Recorded]:
    """Append several answers, stage by stage, which takes less than one after another (ADR 70)."""
    drafts = [draft_of(event, tools) for each in answers for event in each.events]
    numbers = iter(await _append(drafts, writer, tools))
    return [
        Recorded(
            each.status,
            each.body,
            each.headers,
            tuple(islice(numbers, len(each.events))),
            each.stream,
            each.code,
        )
        for each in answers
    ]


async def record_at_once(released: Released, telling: Telling, scribe: Scribe) -> Recorded | None:
    """The same without a unit of work, for an answer that wrote nothing; None if that can not be."""
    if may_break_glass(released.in_scope.asked.requester):
        return None
    numbers = await scribe.write(telling)
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
        told = await _happenings(asked, error.status, str(error), (), touched, writer)
    except KeyProviderUnavailableError:  # the patient's key can not be had: recorded for nobody
        told = [Happening(asked, error.status, str(error), "", (), ())]
    drafts = [draft_of(tell(each, tools), tools) for each in told]
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


async def _happenings(
    asked: Asked,
    status: int,
    why: str,
    records: Sequence[Record],
    touched: Sequence[str],
    reader: Reader,
    counted: Sequence[str] = (),
) -> list[Happening]:
    shared = [r for r in records if not r.patients]
    concerned = dict.fromkeys([*(p for r in records for p in r.patients if p), *counted])
    if not concerned and asked.requester.caller is not None:
        concerned = dict.fromkeys(await _asked_about(asked, touched, reader))
    named = [t for t in touched if not t.startswith("Patient/")]
    found = []
    for patient in concerned or [""]:
        own = [r for r in records if patient in r.patients] if patient else []
        found.append(Happening(asked, status, why, patient, [*own, *shared], named))
    return found


async def _append(drafts: Sequence[Draft], writer: Writer, tools: Tools) -> tuple[int, ...]:
    leaves = [leaf_of(draft, tools.new_secret) for draft in drafts]
    return tuple(await writer.record(zip(drafts, leaves, strict=True)))


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
