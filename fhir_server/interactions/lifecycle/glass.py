"""What a broken glass leaves behind (consent.md, Step 8; ADR 0041): a notice to the patient, and a review to be judged.

An episode is of one person, one patient and one reason.  It begins with the first access and ends after ``LIMIT``; then the
same words open nothing for a while: whoever goes on says why anew.  Notice and review are written in the commit of the
AuditEvent of that first access, so there is no access without them.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from consent_engine import Basis
from fhir_server.errors import ConflictError
from fhir_server.forms import Released, Requester
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.lifecycle.kept import GLASS_NOTICE, GLASS_REVIEW, coded
from fhir_server.interactions.lifecycle.signing import who
from fhir_server.interactions.lifecycle.writing import put_own, seconds
from fhir_server.vault.vault import Writer

Named = tuple[str, tuple[str, ...]]  # an AuditEvent's id, and the patients whom it concerns
LIMIT = timedelta(hours=4)
AGAIN = timedelta(hours=24)
PERSON, REASON = "person", "reason"
_BREAK_GLASS = "BTG"
_ENDED = "the time for this reason has ended: say in X-Break-Glass-Reason why it is needed now"


async def note_broken_glass(
    released: Released, events: Sequence[Named], writer: Writer, tools: Tools
) -> None:
    """Write what has to be written for each patient whose glass this request has broken.

    Args:
        events: The AuditEvents of the request.

    Raises:
        ConflictError: The time for the reason has ended; nothing may be released.
    """
    if not may_break_glass(released.in_scope.asked.requester):
        return
    for patient in dict.fromkeys(_broken(released)):
        named = [id_ for id_, patients in events if patients == (patient,)]
        await _begin(released, patient, named, writer, tools)


def may_break_glass(requester: Requester) -> bool:
    """Whether a request may have broken a glass: then its record is not all that has to be written."""
    return requester.purpose == _BREAK_GLASS and requester.caller is not None


def _broken(released: Released) -> Iterator[str]:
    """The patients whose records were shown by breaking the glass, or counted for that purpose."""
    for record in released.disclosed:
        if record.patients:  # else it is nobody's, and a policy alone has decided
            whose = zip(record.patients, record.decisions, strict=True)
            yield from (p for p, d in whose if p and d.basis is Basis.BREAK_GLASS)
    yield from released.counted


async def _begin(
    released: Released, patient: str, events: Sequence[str], writer: Writer, tools: Tools
) -> None:
    received, requester = released.in_scope.asked.received, released.in_scope.asked.requester
    number = 0
    while True:
        id_ = _episode(requester, patient, number, writer)
        began = await _beginning(id_, writer)
        if began is None:
            break
        if received.now - began < LIMIT:
            return
        if received.now - began < AGAIN:
            raise ConflictError(_ENDED)
        number += 1
    focus = [{"reference": f"AuditEvent/{event}"} for event in events]
    review = _review(requester, patient, focus, received.now, tools.custodian)
    notice = _notice(requester, patient, focus, received.now, tools.custodian)
    await put_own(writer, tools, review, patient, received.at, id_)
    await put_own(writer, tools, notice, patient, received.at)


def _episode(requester: Requester, patient: str, number: int, writer: Writer) -> str:
    """The id of the review of an episode: a keyed hash, so that nobody can try out whose it might be."""
    caller = requester.caller
    assert caller is not None, "nobody without a token breaks a glass"
    words = " ".join(requester.reason.casefold().split())
    parts = (caller.user or caller.client_id, patient, words, str(number))
    place = sha256("\x1f".join(parts).encode()).hexdigest()
    return writer.blind.row("Task", f"{GLASS_REVIEW}|{place}").hex()[:32]


async def _beginning(id_: str, writer: Writer) -> datetime | None:
    """When an episode began, UTC; None if there is no such one."""
    found = await writer.find("Task", id_)
    if found is None:
        return None
    first = await writer.find("Task", id_, 1) or found
    return datetime.fromtimestamp(first.at / 1000, UTC)


def _review(
    requester: Requester,
    patient: str,
    focus: Sequence[dict[str, str]],
    now: datetime,
    custodian: str,
) -> dict[str, object]:
    caller = requester.caller
    assert caller is not None
    review: dict[str, object] = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "code": coded(GLASS_REVIEW),
        "for": {"reference": patient},
        "authoredOn": seconds(now),
        "lastModified": seconds(now),
        "requester": {"reference": custodian},
        "owner": {"reference": custodian},
        "restriction": {"period": {"start": seconds(now), "end": seconds(now + LIMIT)}},
        "input": [
            {"type": coded(PERSON), "valueReference": who(caller)},
            {"type": coded(REASON), "valueString": requester.reason},
        ],
    }
    return {**review, "focus": focus[0]} if focus else review


def _notice(
    requester: Requester,
    patient: str,
    about: Sequence[dict[str, str]],
    now: datetime,
    custodian: str,
) -> dict[str, object]:
    caller = requester.caller
    assert caller is not None
    name = caller.user_name or caller.user or caller.client_name
    notice: dict[str, object] = {
        "resourceType": "Communication",
        "status": "completed",
        "category": [coded(GLASS_NOTICE)],
        "priority": "urgent",
        "subject": {"reference": patient},
        "sent": seconds(now),
        "recipient": [{"reference": patient}, {"reference": custodian}],
        "sender": {"reference": custodian},
        "payload": [
            {
                "contentString": f"{name} opened your record in an emergency, past what you allow. "
                f"The reason given: {requester.reason}. A privacy officer will judge it; "
                "your access log says what was seen."
            }
        ],
    }
    return {**notice, "about": list(about)} if about else notice
