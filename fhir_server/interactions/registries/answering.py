"""What the chain says about requests for access, written here; and what was answered here, wanted on the chain.

Of the same request whichever answer comes first holds.  Being told twice changes nothing.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from anchoring.registry.grants import Said, Status
from fhir_server.errors import InvalidParameterError, InvalidResourceError
from fhir_server.forms import Json
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.lifecycle.kept import coded
from fhir_server.interactions.lifecycle.requests import Wish, consent_of, last_second, wish_of
from fhir_server.interactions.lifecycle.writing import put_own, seconds
from fhir_server.interactions.registries.acting import rewrite, sign_for, tell
from fhir_server.interactions.registries.hearing import current, end_consent
from fhir_server.interactions.registries.links import Kept
from fhir_server.interactions.registries.requesting import REQUESTS, Requesting, expiry_after
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Writer

_REQUESTED = "the requester has asked for access on the chain"
_APPROVED = "the patient's key has approved this request on the chain"
_DENIED = "the patient's key has denied this request on the chain"


@dataclass(frozen=True, slots=True)
class Heard:
    """What an event said, and its transaction (``eip155:CHAIN:HASH``); ``at``: now, milliseconds since 1970 UTC."""

    said: Said
    transaction: str
    at: int


async def hear(writer: Writer, tools: Tools, heard: Heard) -> bool:
    """Write what an event of the registry means here; whether it meant anything."""
    kept, said = await REQUESTS.find(writer, heard.said.id), heard.said
    if kept is None:
        return False
    link = kept.link
    if (link.request.holder, link.requester) != (said.holder, said.requester):
        return False  # somebody else, under an id of ours
    if said.status is Status.REVOKED:
        return bool(link.consent) and await end_consent(
            writer, tools, link.consent, link.patient, heard.transaction, heard.at
        )
    found = await current(writer, "Task", link.task)
    needed = "draft" if said.status is Status.REQUESTED else "requested"
    if found is None or found[1].value.get("status") != needed:
        return False
    if said.status is Status.APPROVED:
        return await _approve(writer, tools, kept, heard)
    changes: dict[str, object] = {"status": "rejected", "lastModified": seconds(_time(heard.at))}
    words, who = _DENIED, None
    if said.status is Status.REQUESTED:
        changes["status"], words, who = "requested", _REQUESTED, found[1].value.get("requester")
    written = await rewrite(writer, tools, *found, changes, heard.at)
    same = (link.patient, words, heard.transaction, heard.at)
    await tell(writer, tools, [written], *same, who)
    return True


async def _approve(writer: Writer, tools: Tools, kept: Kept[Requesting], heard: Heard) -> bool:
    """Grant what was asked: a Consent, as ``$approve-access`` makes it, and the Task that names it."""
    link, now = kept.link, _time(heard.at)
    found = await current(writer, "Task", link.task)
    assert found is not None, "it was just there"
    task = found[1].value
    try:
        wish = _wish(task, link.patient, tools, now)
    except InvalidResourceError:  # its time is over
        return False
    reference, id_ = f"Task/{link.task}", tools.new_id()
    consent = consent_of(wish, reference, link.patient, now)
    await put_own(writer, tools, consent, link.patient, heard.at, id_)
    changes: dict[str, object] = {
        "status": "completed",
        "lastModified": seconds(now),
        "restriction": {"period": {"start": seconds(wish.start), "end": seconds(wish.end)}},
        "output": [{"type": coded("consent"), "valueReference": {"reference": f"Consent/{id_}"}}],
    }
    written = await rewrite(writer, tools, *found, changes, heard.at)
    version = f"Consent/{id_}/_history/1"
    same = (link.patient, _APPROVED, heard.transaction, heard.at)
    await sign_for(writer, tools, version, *same)
    await tell(writer, tools, [written, version], *same)
    return True


async def compare_task(
    writer: Writer, tools: Tools, kept: Kept[Requesting], task: Json, at: int
) -> None:
    """Want on the chain what a Task says: that it was granted, or refused."""
    link = kept.link
    if link.wanted is not Status.NONE:
        return
    if task.get("status") == "rejected":
        await _want(writer, tools, kept.version, replace(link, wanted=Status.DENIED), at)
    consent = _granted(task)
    if consent:
        expiry = expiry_after(_end(task, link.expiry))
        approved = replace(link, wanted=Status.APPROVED, consent=consent, expiry=expiry)
        await _want(writer, tools, kept.version, approved, at)


async def compare_consent(
    writer: Writer, tools: Tools, kept: Kept[Requesting], consent: Json, at: int
) -> None:
    """Want on the chain that a grant is revoked whose Consent has ended."""
    if kept.link.wanted is Status.APPROVED and consent.get("status") != "active":
        await _want(writer, tools, kept.version, replace(kept.link, wanted=Status.REVOKED), at)


async def _want(
    writer: Writer, tools: Tools, version: SealedVersion, link: Requesting, at: int
) -> None:
    await REQUESTS.put(writer, tools, link, at, version)


def _wish(task: Json, patient: str, tools: Tools, now: datetime) -> Wish:
    requester = task.get("requester")
    recipient = requester.get("reference") if isinstance(requester, dict) else None
    return wish_of(task, patient, str(recipient), tools.definitions.resource_types, now)


def _granted(task: Json) -> str:
    """The logical id of the Consent that a Task names as what it led to; empty for none."""
    outputs = task.get("output")
    for output in outputs if isinstance(outputs, list) else []:
        named = output.get("valueReference") if isinstance(output, dict) else None
        reference = named.get("reference") if isinstance(named, dict) else None
        if isinstance(reference, str) and reference.startswith("Consent/"):
            return reference.removeprefix("Consent/")
    return ""


def _end(task: Json, otherwise: int) -> int:
    """The end of what was granted, seconds since 1970."""
    restriction = task.get("restriction")
    period = restriction.get("period") if isinstance(restriction, dict) else None
    end = period.get("end") if isinstance(period, dict) else None
    try:
        return int(last_second(str(end)).timestamp()) if isinstance(end, str) else otherwise
    except InvalidParameterError:
        return otherwise


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
