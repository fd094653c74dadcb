"""The audit record: no answer without one.  The only maker of ``Recorded``.

AuditEvents are resources like others, sealed for the patient whom they concern; each has a leaf in the audit log, appended
in the same commit.  For a writing interaction that is the commit of the write.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import orjson

from fhir_server.errors import FhirError
from fhir_server.forms import Asked, Pairs, Record, Recorded, Released
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.leaf import put_with_leaf
from fhir_server.pipeline.audit_event import Happening, audit_event
from fhir_server.pipeline.redact import outcome
from fhir_server.vault.vault import Draft, Writer

_SUBJECT_PARAMETERS = frozenset({"patient", "subject", "subject:Patient", "_id"})


async def record(released: Released, writer: Writer, tools: Tools) -> Recorded:
    """Append what was released to the audit log."""
    asked = released.in_scope.asked
    numbers = await _append(
        asked, released.status, "", released.disclosed, released.touched, writer, tools
    )
    return Recorded(released.status, released.body, _traced(asked, released.headers), numbers)


async def record_refusal(asked: Asked, error: FhirError, writer: Writer, tools: Tools) -> Recorded:
    """Append a refusal to the audit log; the answer is an OperationOutcome."""
    interaction = asked.interaction
    touched = (
        (f"{interaction.type_}/{interaction.id_}",)
        if interaction.id_ and asked.requester.caller
        else ()
    )
    numbers = await _append(asked, error.status, str(error), (), touched, writer, tools)
    headers: Pairs = (
        (("WWW-Authenticate", 'Bearer realm="fhir", error="invalid_token"'),)
        if error.status == 401
        else ()
    )
    return Recorded(error.status, outcome(error.issues), _traced(asked, headers), numbers)


def _traced(asked: Asked, headers: Pairs) -> Pairs:
    return (*headers, ("X-Request-Id", asked.received.request_id))


async def _append(
    asked: Asked,
    status: int,
    why: str,
    records: Sequence[Record],
    touched: Sequence[str],
    writer: Writer,
    tools: Tools,
) -> tuple[int, ...]:
    shared = [r for r in records if not r.patients]
    concerned = dict.fromkeys(p for r in records for p in r.patients if p)
    if not concerned and asked.requester.caller is not None:
        concerned = dict.fromkeys(await _asked_about(asked, touched, writer))
    named = [t for t in touched if not t.startswith("Patient/")]
    numbers = []
    for patient in concerned or [""]:
        own = [r for r in records if patient in r.patients] if patient else []
        happening = Happening(asked, status, why, patient, [*own, *shared], named)
        numbers.append(await _append_event(happening, writer, tools))
    return tuple(numbers)


async def _append_event(happening: Happening, writer: Writer, tools: Tools) -> int:
    id_ = tools.new_id()
    at = happening.asked.received.at
    event = audit_event(happening, id_, at, tools.base, tools.custodian)
    patients = (
        (happening.patient,) if happening.patient else ()
    )  # not the agent: whoever is spied on must see by whom
    draft = Draft(
        type_="AuditEvent",
        id_=id_,
        version=1,
        at=at,
        text=orjson.dumps(event).decode(),
        patients=patients,
        tokens=tools.tokenizer.tokens("AuditEvent", event, patients),
    )
    _, number = await put_with_leaf(writer, draft, tools.new_secret)
    return number


async def _asked_about(asked: Asked, touched: Sequence[str], writer: Writer) -> list[str]:
    """Patients whom a request was about although it got nothing: they see that, too.  Unknown patients are left out."""
    found: list[str] = []
    for reference in touched:
        type_, _, id_ = reference.partition("/")
        version = await writer.find(type_, id_)
        if version is not None:
            found += [p for p in await writer.patients(version) if p]
    type_ = asked.interaction.type_
    for name, value in asked.interaction.query:
        if name in _SUBJECT_PARAMETERS and (name != "_id" or type_ == "Patient"):
            found += [
                r for r in _patient_references(value) if await writer.name(writer.blind.patient(r))
            ]
    return found


def _patient_references(value: str) -> list[str]:
    """The Patient references in a search value, relative."""
    ids = [urlsplit(part).path.rpartition("/")[2] for part in value.split(",")]
    return [f"Patient/{id_}" for id_ in ids if id_]
