"""A request for access (ADR 0040): a Task of the code ``access-request``, as it is sent, kept, and made into a Consent.

Inputs, each with a code of ``kept.SYSTEM`` as its type: ``purpose`` (Coding of v3-ActReason, at least one), ``class``
(Coding: an R4 resource type; none for all), ``label`` (Coding of v3-ActCode: sensitive records that are asked for, too) and
``period`` (with an end).  What is granted never reaches beyond what was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fhir_server.errors import InvalidResourceError
from fhir_server.forms import Json
from fhir_server.interactions.lifecycle.kept import ACCESS_REQUEST, coded, of_input
from fhir_server.interactions.lifecycle.writing import seconds
from fhir_server.search.dates import interval

_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_TYPES = "http://hl7.org/fhir/resource-types"
_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
_ROLE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
_SYSTEMS = {"purpose": _ACT_REASON, "class": _TYPES, "label": _ACT_CODE}
_NOT_ASKED = frozenset({"BTG"})  # the glass is broken, not asked for
_HARMLESS = "DEMO"  # a permit that lists a sensitivity covers no record with another one (Step 6)
_MOST = 50


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, or granted.

    Attributes:
        recipient: Reference of who may see it.
        purposes: v3-ActReason codes, at least one.
        classes: Resource types; empty for all.
        labels: v3-ActCode sensitivities; records with any other are left out.
        start: First instant, UTC.
        end: Last instant, UTC.
    """

    patient: str
    recipient: str
    purposes: tuple[str, ...]
    classes: tuple[str, ...]
    labels: tuple[str, ...]
    start: datetime
    end: datetime


def wish_of(task: Json, patient: str, recipient: str, types: frozenset[str], now: datetime) -> Wish:
    """Read what a Task asks for.

    Args:
        types: Resource types that there are.
        now: Where the period begins if it does not say so, UTC.

    Raises:
        InvalidResourceError: It asks for nothing that can be granted: no purpose or end, or something unknown.
    """
    codes = {name: _codes(task, name) for name in _SYSTEMS}
    if not codes["purpose"] or not _NOT_ASKED.isdisjoint(codes["purpose"]):
        raise InvalidResourceError("a request names its purposes, and not BTG", "Task.input")
    if not types.issuperset(codes["class"]):
        raise InvalidResourceError("a 'class' is an R4 resource type", "Task.input")
    start, end = _period(task, now)
    own = (codes["purpose"], codes["class"], codes["label"])
    return Wish(patient, recipient, *own, start, end)


def task_of(wish: Wish, about: str, now: datetime) -> dict[str, object]:
    """The Task that is kept; ``about`` is what the patient reads, in the requester's words."""
    codes = {"purpose": wish.purposes, "class": wish.classes, "label": wish.labels}
    inputs: list[dict[str, object]] = [
        {"type": coded(name), "valueCoding": _coding(_SYSTEMS[name], code)}
        for name, values in codes.items()
        for code in values
    ]
    period = {"start": seconds(wish.start), "end": seconds(wish.end)}
    task: dict[str, object] = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": coded(ACCESS_REQUEST),
        "for": {"reference": wish.patient},
        "authoredOn": seconds(now),
        "lastModified": seconds(now),
        "requester": {"reference": wish.recipient},
        "owner": {"reference": wish.patient},
        "input": [*inputs, {"type": coded("period"), "valuePeriod": period}],
    }
    return {**task, "description": about} if about else task


def narrowed(
    wish: Wish,
    purposes: Sequence[str],
    classes: Sequence[str],
    labels: Sequence[str] | None,
    until: datetime | None,
) -> Wish:
    """What a patient grants of a wish; what is empty or None stays as it was asked.

    Raises:
        InvalidResourceError: It would be more than was asked.
    """
    granted = replace(
        wish,
        purposes=tuple(purposes) or wish.purposes,
        classes=tuple(classes) or wish.classes,
        labels=wish.labels if labels is None else tuple(labels),
        end=until or wish.end,
    )
    within = (
        set(granted.purposes) <= set(wish.purposes)
        and (not wish.classes or set(granted.classes) <= set(wish.classes))
        and set(granted.labels) <= set(wish.labels)
        and granted.end <= wish.end
    )
    if not within:
        raise InvalidResourceError("what is granted reaches beyond what was asked", "Parameters")
    return granted


def consent_of(granted: Wish, task: str, performer: str, now: datetime) -> dict[str, object]:
    """The Consent that grants a wish, resourceType and all but an id.

    Records without a sensitive label are covered, and those all of whose labels are in the wish (consent.md, Step 6).
    """
    provision: dict[str, object] = {
        "type": "permit",
        "period": {"start": seconds(granted.start), "end": seconds(granted.end)},
        "actor": [
            {
                "role": {"coding": [_coding(_ROLE, "IRCP")]},
                "reference": {"reference": granted.recipient},
            }
        ],
        "action": [{"coding": [_coding(_ACTION, "access")]}],
        "securityLabel": [
            _coding(_CONFIDENTIALITY, "R" if granted.labels else "N"),
            *(_coding(_ACT_CODE, code) for code in granted.labels or (_HARMLESS,)),
        ],
        "purpose": [_coding(_ACT_REASON, code) for code in granted.purposes],
    }
    if granted.classes:
        provision["class"] = [_coding(_TYPES, code) for code in granted.classes]
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [_coding(_SCOPE, "patient-privacy")]},
        "category": [{"coding": [_coding("http://loinc.org", "59284-0")]}],
        "patient": {"reference": granted.patient},
        "dateTime": seconds(now),
        "performer": [{"reference": performer}],
        "policyRule": {"text": f"approval of {task}"},
        "provision": provision,
    }


def last_second(text: str) -> datetime:
    """The last second of a FHIR date or dateTime, UTC.

    Raises:
        InvalidParameterError: It is none.
    """
    return datetime.fromtimestamp(interval(text).high // 1000 - 1, UTC)


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}


def _codes(task: Json, name: str) -> tuple[str, ...]:
    """The codes of the inputs of a name."""
    found = [each.get("valueCoding") for each in of_input(task, name)]
    codes = [
        str(coding.get("code"))
        for coding in found
        if isinstance(coding, dict) and coding.get("system") == _SYSTEMS[name]
    ]
    if len(codes) < len(found) or len(codes) > _MOST:
        raise InvalidResourceError(
            f"'{name}' is a valueCoding of {_SYSTEMS[name]}, at most {_MOST}", "Task.input"
        )
    return tuple(dict.fromkeys(codes))


def _period(task: Json, now: datetime) -> tuple[datetime, datetime]:
    found = of_input(task, "period")
    period = found[0].get("valuePeriod") if len(found) == 1 else None
    if not isinstance(period, dict) or not isinstance(period.get("end"), str):
        raise InvalidResourceError("a request has one 'period', with an end", "Task.input")
    begins = period.get("start")
    start = now
    if isinstance(begins, str):
        start = datetime.fromtimestamp(interval(begins).low // 1000, UTC)
    end = last_second(str(period["end"]))
    if end <= max(start, now):
        raise InvalidResourceError("the period of a request has not ended yet", "Task.input")
    return start, end
