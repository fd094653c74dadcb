"""Decisions as parameters: what ``$access-explain`` and ``$decide`` answer."""

from collections.abc import Sequence

import orjson

from consent_engine import DecidedBy, Decision, Kind, Verdict
from fhir_server.forms import Json
from fhir_server.resource_text import instant

_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

Part = dict[str, object]


def settled(decision: Decision | None, verdict: Verdict) -> list[Part]:
    """What is decided, or on which rules it depends; until when, and the line of each Consent."""
    parts = decided(decision) if decision else depending(verdict)
    if verdict.valid_until:
        at = instant(int(verdict.valid_until.timestamp() * 1000))
        parts.append({"name": "valid-until", "valueInstant": at})
    for line in decision.explanation if decision else verdict.explain():
        parts.append({"name": "explanation", "valueString": line})
    return parts


def actor_parts(actors: Sequence[str]) -> list[Part]:
    """Who asks."""
    return [{"name": "actor", "valueReference": {"reference": actor}} for actor in actors]


def asked_for(purpose: str, action: str) -> list[Part]:
    """Why, and for what."""
    coding = {"system": _ACT_REASON, "code": purpose}
    why: list[Part] = [{"name": "purpose", "valueCoding": coding}] if purpose else []
    return [*why, {"name": "action", "valueCode": action}]


def decided(decision: Decision) -> list[Part]:
    """The decision: its basis, rules and obligations."""
    duties: list[Part] = [{"name": "obligation", "valueString": d} for d in decision.obligations]
    return [
        {"name": "decision", "valueCode": str(decision.decision)},
        {"name": "basis", "valueCode": str(decision.basis)},
        *rules("decided-by", decision.decided_by),
        *duties,
    ]


def depending(verdict: Verdict) -> list[Part]:
    """It depends on the record: by which rules."""
    said: Part = {"name": "decision", "valueCode": str(Kind.DEPENDS)}
    return [said, *rules("depends-on", verdict.looking())]


def rules(name: str, given: Sequence[DecidedBy]) -> list[Part]:
    """Rules by their Consents, with version, and their paths; each once."""
    return [{"name": name, "part": _rule(rule)} for rule in dict.fromkeys(given)]


def _rule(rule: DecidedBy) -> list[Part]:
    version = f"/_history/{rule.version}" if rule.version else ""
    return [
        {"name": "consent", "valueReference": {"reference": f"{rule.consent}{version}"}},
        {"name": "path", "valueString": rule.path},
    ]


def parameters(answers: Sequence[Json]) -> bytes:
    """The answer, as JSON."""
    return orjson.dumps({"resourceType": "Parameters", "parameter": list(answers)})
