"""Invariants of R4's clinical, administrative and financial resources, by key (see ``datatypes.py``)."""

from collections.abc import Callable, Mapping

from profiles.rules.datatypes import not_after, number
from profiles.rules.members import (
    Json,
    chosen,
    exactly_one,
    has,
    has_coding,
    objects,
)

_ALLERGY = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
_CONDITION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_UNPLANNED = frozenset({"proposed", "cancelled", "waitlist"})


def _mistaken(element: Json, system: str) -> bool:
    return has_coding(element, "verificationStatus", system, "entered-in-error")


def _ended(element: Json) -> bool:
    ended = has_coding(element, "clinicalStatus", _CLINICAL, "resolved", "remission", "inactive")
    return ended or not chosen(element, "abatement")


def _planned(element: Json) -> bool:
    timed = has(element, "start") and has(element, "end")
    return timed or element.get("status") in _UNPLANNED


def _cancelled(element: Json) -> bool:
    ended = element.get("status") in ("no-show", "cancelled")
    return ended or not has(element, "cancelationReason")


def _own_code(element: Json) -> bool:
    """A component does not have the code of the Observation where that has a value (obs-7)."""
    if "component" not in element or not chosen(element, "value"):
        return True
    own = [c for concept in objects(element, "code") for c in objects(concept, "coding")]
    inner = [
        coding
        for component in objects(element, "component")
        for concept in objects(component, "code")
        for coding in objects(concept, "coding")
    ]
    return not any(coding in own for coding in inner)


def _home(element: Json, name: str) -> bool:
    return any(part.get("use") == "home" for part in objects(element, name))


def _probability(element: Json) -> bool:
    likely = number(element, "probabilityDecimal")
    return likely is None or likely <= 100


def _in_order(element: Json, first: str, second: str) -> bool:
    before, after = element.get(first), element.get(second)
    if not isinstance(before, str) or not isinstance(after, str):
        return True
    return not_after(before, after)


def _one_sequence(element: Json) -> bool:
    names = ("genomeBuild", "referenceSeqId", "referenceSeqPointer", "referenceSeqString")
    return exactly_one(*(has(element, name) for name in names))


def _strata(element: Json) -> bool:
    return all(
        bool(chosen(stratum, "value") or has(stratum, "value")) != has(stratum, "component")
        for group in objects(element, "group")
        for stratifier in objects(group, "stratifier")
        for stratum in objects(stratifier, "stratum")
    )


def _stratifiers(element: Json) -> bool:
    return all(
        has(stratifier, "code", "description", "criteria") != has(stratifier, "component")
        for group in objects(element, "group")
        for stratifier in objects(group, "stratifier")
    )


def _parameter(element: Json) -> bool:
    value, resource = bool(chosen(element, "value")), has(element, "resource")
    if has(element, "part"):
        return not value and not resource
    return value != resource


def _marked(element: Json, name: str) -> bool:
    return any(has(entry, name) for entry in objects(element, "entry"))


HOLDS: Mapping[str, Callable[[Json], bool]] = {
    "ait-1": lambda e: _mistaken(e, _ALLERGY) or has(e, "clinicalStatus"),
    "ait-2": lambda e: not _mistaken(e, _ALLERGY) or not has(e, "clinicalStatus"),
    "app-1": lambda e: has(e, "type", "actor"),
    "app-2": lambda e: has(e, "start") == has(e, "end"),
    "app-3": _planned,
    "app-4": _cancelled,
    "apr-1": lambda e: has(e, "participantType", "actor"),
    "sev-1": lambda e: not has(e, "name") or not has(e, "query"),
    "cpl-3": lambda e: not has(e, "detail") or not has(e, "reference"),
    "ces-1": lambda e: has(e, "category") != has(e, "productOrService"),
    "cmp-1": lambda e: has(e, "text", "entry", "section"),
    "cmp-2": lambda e: not has(e, "emptyReason") or not has(e, "entry"),
    "con-1": lambda e: has(e, "summary", "assessment"),
    "con-2": lambda e: has(e, "code", "detail"),
    "con-4": _ended,
    "con-5": lambda e: not _mistaken(e, _CONDITION) or not has(e, "clinicalStatus"),
    "ppc-1": lambda e: has(e, "policy", "policyRule"),
    "fhs-1": lambda e: not chosen(e, "age") or not chosen(e, "born"),
    "fhs-2": lambda e: bool(chosen(e, "age")) or not has(e, "estimatedAge"),
    "gol-1": lambda e: not chosen(e, "detail") or has(e, "measure"),
    "grp-1": lambda e: not has(e, "member") or e.get("actual") is True,
    "imm-1": lambda e: has(e, "documentType", "reference"),
    "imr-1": lambda e: has(e, "vaccineCode", "targetDisease"),
    "ipn-1": lambda e: has(e, "identifier", "name"),
    "lnk-1": lambda e: len(objects(e, "item")) > 1,
    "lst-1": lambda e: not has(e, "emptyReason") or not has(e, "entry"),
    "lst-2": lambda e: e.get("mode") == "changes" or not _marked(e, "deleted"),
    "lst-3": lambda e: e.get("mode") == "working" or not _marked(e, "date"),
    "mad-1": lambda e: has(e, "dose") or bool(chosen(e, "rate")),
    "mdd-1": lambda e: _in_order(e, "whenPrepared", "whenHandedOver"),
    "mea-1": _stratifiers,
    "mrp-1": lambda e: e.get("type") != "data-collection" or not has(e, "group"),
    "mrp-2": _strata,
    "msq-3": lambda e: e.get("coordinateSystem", 0) in (0, 1),
    "msq-5": lambda e: has(e, "chromosome") == has(e, "genomeBuild"),
    "msq-6": _one_sequence,
    "nor-1": lambda e: has(e, "oralDiet", "supplement", "enteralFormula"),
    "obs-3": lambda e: has(e, "low", "high", "text"),
    "obs-6": lambda e: not has(e, "dataAbsentReason") or not chosen(e, "value"),
    "obs-7": _own_code,
    "org-1": lambda e: has(e, "identifier", "name"),
    "org-2": lambda e: not _home(e, "address"),
    "org-3": lambda e: not _home(e, "telecom"),
    "pat-1": lambda e: has(e, "name", "telecom", "address", "organization"),
    "prr-1": lambda e: not has(e, "orderDetail") or has(e, "code"),
    "qrs-1": lambda e: not (has(e, "answer") and has(e, "item")),
    "ras-2": _probability,
    "rqg-1": lambda e: has(e, "resource") != has(e, "action"),
}
# three rules of R4 are called inv-1: which one is meant, the element says
OF_PATH: Mapping[tuple[str, str], Callable[[Json], bool]] = {
    ("Parameters.parameter", "inv-1"): _parameter,
    ("Task", "inv-1"): lambda e: _in_order(e, "authoredOn", "lastModified"),
    ("TestReport.setup.action", "inv-1"): lambda e: has(e, "operation") != has(e, "assert"),
}
