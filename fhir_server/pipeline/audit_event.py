"""AuditEvents in the shape of IHE Basic Audit Log Patterns (BALP 1.1): who did what to whose data, why, and why it was let.

One event names the records of one patient only, so that it can be sealed for that patient, shown to that patient and
proved to anyone without telling of others (BALP: "one AuditEvent for every Patient identified").  The events of one
request share its ``X-Request-Id``.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlencode

from fhir_server.forms import Asked, Record
from fhir_server.resource_text import instant

Entity = dict[str, object]

_V3 = "http://terminology.hl7.org/CodeSystem"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_BALP = "https://profiles.ihe.net/ITI/BALP"
_ACTIONS = {
    "create": "C",
    "read": "R",
    "vread": "R",
    "history-instance": "R",
    "history-type": "R",
    "history-system": "R",
    "update": "U",
    "patch": "U",
    "delete": "D",
}
_PATTERNS = {
    "create": "Create",
    "read": "Read",
    "vread": "Read",
    "update": "Update",
    "patch": "Update",
    "delete": "Delete",
}
_WRITES = frozenset({"create", "update", "patch", "delete", "batch", "transaction"})
_SEARCHES = frozenset({"search-type", "search-system"})
_QUERIES = _SEARCHES | {"history-type", "history-system", "operation"}
_MOST_NAMED = 1000
_SUBJECTS = frozenset({"patient", "subject"})


@dataclass(frozen=True, slots=True)
class Happening:
    """What one AuditEvent tells.

    Attributes:
        status: HTTP status of the answer.
        why: For a refusal, the error in words; else empty.
        patient: Reference of the patient it concerns, or empty.
        records: Records disclosed or written, of that patient or of nobody.
        touched: References asked for but not given.
    """

    asked: Asked
    status: int
    why: str
    patient: str
    records: Sequence[Record]
    touched: Sequence[str]


def audit_event(happening: Happening, id_: str, at: int, base: str, custodian: str) -> Entity:
    """The AuditEvent resource, version 1."""
    asked = happening.asked
    code = asked.interaction.code
    event: Entity = {
        "resourceType": "AuditEvent",
        "id": id_,
        "meta": {"versionId": "1", "lastUpdated": instant(at), **_profile(code, happening)},
        "type": {
            "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
            "code": "rest",
            "display": "RESTful Operation",
        },
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": code}],
        "action": _ACTIONS.get(code, "E"),
        "recorded": instant(asked.received.at),
        "outcome": "0" if happening.status < 400 else "4" if happening.status < 500 else "8",
    }
    if happening.why:
        event["outcomeDesc"] = happening.why
    if asked.requester.purpose:
        event["purposeOfEvent"] = [
            {"coding": [{"system": _ACT_REASON, "code": asked.requester.purpose}]}
        ]
    event["agent"] = _agents(happening, base)
    event["source"] = {
        "site": base,
        "observer": {"reference": custodian, "display": "Consentry"},
        "type": [
            {"system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4"}
        ],
    }
    event["entity"] = _entities(happening)
    return event


def _profile(code: str, happening: Happening) -> Entity:
    pattern = "Query" if code in _SEARCHES else _PATTERNS.get(code)
    if pattern is None or happening.status >= 400:
        return {}
    subject = "Patient" if happening.patient else ""
    return {"profile": [f"{_BALP}/StructureDefinition/IHE.BasicAudit.{subject}{pattern}"]}


def _agents(happening: Happening, base: str) -> list[Entity]:
    asked = happening.asked
    caller = asked.requester.caller
    writes = asked.interaction.code in _WRITES
    network = {"address": asked.received.address, "type": "2"}
    server: Entity = {
        "type": _dcm("110152" if writes else "110153"),
        "who": {"display": "Consentry"},
        "requestor": False,
        "network": {"address": base, "type": "5"},
    }
    if caller is None:
        nobody: Entity = {
            "who": {"display": "not authenticated"},
            "requestor": True,
            "network": network,
        }
        return [nobody, server]
    client: Entity = {
        "type": _dcm("110153" if writes else "110152"),
        "who": {"identifier": {"value": caller.client_id}, "display": caller.client_name},
        "requestor": caller.user is None,
        "network": network,
    }
    agents = [client, server]
    policies = _policies(happening)
    if caller.user:
        user: Entity = {
            "type": {"coding": [{"system": f"{_V3}/v3-ParticipationType", "code": "IRCP"}]},
            "who": {
                "reference": caller.user,
                **({"display": caller.user_name} if caller.user_name else {}),
            },
            "requestor": True,
        }
        agents.insert(0, user)
    if policies:
        agents[0]["policy"] = policies
    agents += [
        {
            "type": {"coding": [{"system": f"{_V3}/v3-RoleClass", "code": "PROV"}]},
            "who": {"reference": organization},
            "requestor": False,
        }
        for organization in caller.organizations
    ]
    return agents


def _dcm(code: str) -> Entity:
    return {"coding": [{"system": _DCM, "code": code}]}


def _policies(happening: Happening) -> list[str]:
    """The Consents, with version and provision, by which the records were permitted."""
    found = {
        f"{rule.consent}{f'/_history/{rule.version}' if rule.version else ''}#{rule.path}": None
        for record in happening.records
        for decision in record.decisions
        for rule in decision.decided_by
    }
    return list(found)


def _entities(happening: Happening) -> list[Entity]:
    asked = happening.asked
    found: list[Entity] = []
    if happening.patient:
        found.append({"what": {"reference": happening.patient}, **_kind("1", "1")})
    named = [f"{r.reference}/_history/{r.version.version}" for r in happening.records if r.value]
    references = [*named[:_MOST_NAMED], *happening.touched]
    found += [{"what": {"reference": reference}, **_kind("2", "4")} for reference in references]
    if asked.interaction.code in _QUERIES or not named:
        found.append({**_kind("2", "24"), "query": _query(happening)})
    trace = trace_entity(asked.received.request_id)
    details = _details(happening)
    if details:
        trace["detail"] = details
    return [*found, trace]


def trace_entity(request_id: str) -> Entity:
    """The ``X-Request-Id`` under which the events of one request are found."""
    return {
        "what": {"identifier": {"value": request_id}},
        "type": {"system": f"{_BALP}/CodeSystem/BasicAuditEntityType", "code": "XrequestId"},
    }


def _details(happening: Happening) -> list[Entity]:
    """Why it was let and on what terms: bases of decisions, obligations, and the words with which the glass was broken."""
    bases = sorted({str(d.basis) for r in happening.records for d in r.decisions})
    details: list[Entity] = [{"type": "consent-basis", "valueString": basis} for basis in bases]
    duties = sorted({o for r in happening.records for d in r.decisions for o in d.obligations})
    details += [{"type": "obligation", "valueString": duty} for duty in duties]
    redacted = sorted({r.reference for r in happening.records if r.withheld})
    details += [{"type": "redacted", "valueString": reference} for reference in redacted]
    reason = happening.asked.requester.reason
    if reason:
        details.append({"type": "break-glass-reason", "valueString": reason})
    return details


@cache
def _kind(type_: str, role: str) -> Entity:
    """Type and role of an entity; shared, never changed."""
    return {
        "type": {"system": _ENTITY_TYPE, "code": type_},
        "role": {"system": _OBJECT_ROLE, "code": role},
    }


def _query(happening: Happening) -> str:
    """The request, base64.  In an event about one patient, no other patient's reference is told."""
    received = happening.asked.received
    type_ = happening.asked.interaction.type_
    pairs = [(name, _own(type_, name, value, happening.patient)) for name, value in received.query]
    query = f"?{urlencode(pairs)}" if pairs else ""
    target = _own_target(
        received.target, happening.asked.interaction.compartment, happening.patient
    )
    if happening.asked.interaction.operation == "erase":  # whose id it was is not to be kept
        target = "Patient/-/$erase"
    text = f"{received.method} {target}{query}"
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def names_patients(type_: str, name: str) -> bool:
    """Whether a search parameter's value may refer to patients; of a chain or ``_has``, what comes last decides."""
    *before, last = [part for part in re.split(r"[.:]", name) if part != "Patient"] or [""]
    if last == "_id":
        return type_ in ("Patient", "") or "Patient" in name or not _SUBJECTS.isdisjoint(before)
    return last in _SUBJECTS


def _own(type_: str, name: str, value: str, patient: str) -> str:
    if not patient:
        return value
    id_ = patient.partition("/")[2]
    naming = names_patients(type_, name)
    return ",".join(
        part
        for part in value.split(",")
        if part.rpartition("/")[2] == id_ or not (naming or "Patient/" in part)
    )


def _own_target(target: str, compartment: str, patient: str) -> str:
    """The path, without another patient whose compartment was searched."""
    if not patient or compartment == patient or not compartment.startswith("Patient/"):
        return target
    return target.replace(compartment, "Patient/-", 1)
