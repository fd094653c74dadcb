"""``POST Consent/$record-disclosure``: what the custodian has disclosed by letter or telephone, put on record here.

After HL7 Scalable Consent Management, with plain parameters instead of a ready AuditEvent, so that whoever records it need
not know how ours are made.  The patient finds it in her log, and in ``$accounting-of-disclosures`` where that tells it.
"""

import orjson

from fhir_server.errors import InvalidParameterError, NotFoundError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.leaf import put_with_leaf
from fhir_server.interactions.lifecycle.signing import who
from fhir_server.interactions.lifecycle.writers import subject_of
from fhir_server.interactions.lifecycle.writing import as_writing
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.stages import one
from fhir_server.interactions.suspension import SUSPENDED_UNTIL
from fhir_server.ownership import local
from fhir_server.resource_text import instant, read_resource, stamp
from fhir_server.vault.vault import Draft

_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_CODES = "http://terminology.hl7.org/CodeSystem"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_KNOWN = ("date", "patient", "recipient", "address", "description", "purpose", "consent")
_LONGEST = 1000


async def record_disclosure(in_scope: InScope, desk: Desk) -> Opened:
    """Append an AuditEvent of a disclosure; the answer (201) is that.

    Raises:
        InvalidParameterError: A parameter is missing, or can not be used.
        InvalidResourceError: ``date`` is no dateTime of R4.
        NotFoundError: There is no such patient, or consent does not permit to write about her.
        ScopeError: The token does not cover AuditEvents.
    """
    asked = Parameters(in_scope.asked.interaction.query, (*_KNOWN, SUSPENDED_UNTIL))
    named = {"patient": {"reference": asked.required("patient")}}
    patient = subject_of(named, desk.tools.base)
    if not patient:
        raise InvalidParameterError("'patient' must refer to a Patient")
    writing, tools = as_writing(in_scope, "AuditEvent"), desk.tools
    at, id_ = in_scope.asked.received.at, tools.new_id()
    content = read_resource(orjson.dumps(_event(asked, patient, in_scope, desk)))
    tools.require_valid(content)
    stamped = stamp(content, id_, 1, at)
    decisions = await desk.gate.require_write(writing, stamped.value, (patient,), "collect")
    if not await desk.reader.name(desk.reader.blind.patient(patient)):
        raise NotFoundError(MISSING)
    tokens = tools.tokenizer.tokens("AuditEvent", stamped.value, (patient,))
    draft = Draft("AuditEvent", id_, 1, at, stamped.text, (patient,), tokens)
    version, _ = await put_with_leaf(desk.unit(), draft, tools.new_secret)
    text, value = stamped.text.encode(), stamped.value
    record = desk.gate.written(version, text, value, (patient,), decisions)
    return one(in_scope, record, status=201)


def _event(asked: Parameters, patient: str, in_scope: InScope, desk: Desk) -> dict[str, object]:
    received, tools = in_scope.asked.received, desk.tools
    caller = in_scope.asked.requester.caller
    assert caller is not None, "only the custodian's own come here"
    asked.required("date")
    told = asked.date("date")
    if told is None or told.low > received.at:
        raise InvalidParameterError("'date' must not be in the future")
    return {
        "resourceType": "AuditEvent",
        "type": {"system": _DCM, "code": "110106", "display": "Export"},
        "action": "R",
        "period": {"start": asked.text("date")},
        "recorded": instant(received.at),
        "outcome": "0",
        "purposeOfEvent": [{"coding": [{"system": _ACT_REASON, "code": _purpose(asked)}]}],
        "agent": [
            {
                "type": _type("v3-ParticipationType", "IRCP"),
                "who": _recipient(asked, tools.base),
                "requestor": False,
                **_policy(asked, tools.base),
            },
            {"type": _type("v3-ParticipationType", "AUT"), "who": who(caller), "requestor": True},
        ],
        "source": {"site": tools.base, "observer": {"reference": tools.custodian}},
        "entity": [
            {"what": {"reference": patient}, "type": _code("audit-entity-type", "1"),
             "role": _code("object-role", "1")},
            {"type": _code("audit-entity-type", "2"), "role": _code("object-role", "4"),
             "description": asked.required("description")[:_LONGEST], **_suspension(asked)},
        ],
    }  # fmt: skip


def _purpose(asked: Parameters) -> str:
    system, _, code = f"|{asked.required('purpose')}".rpartition("|")
    if system.strip("|") not in ("", _ACT_REASON):
        raise InvalidParameterError("'purpose' must be a code of v3-ActReason")
    return code


def _recipient(asked: Parameters, base: str) -> dict[str, object]:
    """Reference to somebody here, or a name; with the address, if it is known (45 CFR 164.528(b)(2))."""
    named, address = asked.required("recipient")[:_LONGEST], asked.text("address")[:_LONGEST]
    type_, id_ = local(named, base)
    if not type_ or type_ == "Patient":
        return {"display": f"{named}, {address}" if address else named}
    found: dict[str, object] = {"reference": f"{type_}/{id_}"}
    return {**found, "display": address} if address else found


def _policy(asked: Parameters, base: str) -> dict[str, object]:
    named = asked.text("consent")
    type_, id_ = local(named, base)
    if named and type_ != "Consent":
        raise InvalidParameterError("'consent' must refer to a Consent of this server")
    return {"policy": [f"Consent/{id_}"]} if named else {}


def _suspension(asked: Parameters) -> dict[str, object]:
    """What an agency has asked for (``interactions/suspension.py``)."""
    asked.date(SUSPENDED_UNTIL)
    until = asked.text(SUSPENDED_UNTIL)
    return {"detail": [{"type": SUSPENDED_UNTIL, "valueString": until}]} if until else {}


def _type(system: str, code: str) -> dict[str, object]:
    return {"coding": [_code(system, code)]}


def _code(system: str, code: str) -> dict[str, object]:
    return {"system": f"{_CODES}/{system}", "code": code}
