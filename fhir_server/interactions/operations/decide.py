"""``POST Consent/$decide``: other systems ask the engine without storing anything here.

With one or more ``consent`` parameters (resources) it decides by those alone, or by those and a policy ``template`` of ours:
nothing stored is looked at, so the answer tells of nobody.  Without any it decides by what is stored of ``subject``: for the
patient, her proxy, the privacy officer (``oversight.py``) and the custodian's own systems only; who may not see the patient
is answered as if there were none.

``subject`` (reference), ``actor`` (references and identifiers, all of one requester), ``purpose``, ``action``, ``time``,
``custodian`` and ``resource`` (with ``meta.security``: a resource, or just what is known of it) say what is asked.
"""

from collections.abc import Sequence
from dataclasses import replace

from consent_engine import (
    TEMPLATES,
    AccessRequest,
    Case,
    CaseError,
    Decision,
    Kind,
    Verdict,
    join_subjects,
    load_template,
    narrow_subjects,
    read_case,
)
from fhir_server.errors import InvalidParameterError, ScopeError
from fhir_server.forms import InScope, Json, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.explained import Part, asked_for, parameters, settled
from fhir_server.interactions.operations.oversight import oversees, patient_of
from fhir_server.interactions.stages import document

_ONE = frozenset({"purpose", "action", "time", "custodian", "resource", "template"})
_MANY = frozenset({"subject", "actor", "consent"})
_MOST_CONSENTS = 100
_MOST = 50  # of each other parameter


async def decide(in_scope: InScope, desk: Desk) -> Opened:
    """Parameters with one ``answer``.

    Raises:
        InvalidParameterError: A parameter is missing or can not be used.
        NotFoundError: The stored patient asked about is missing or not permitted.
        ScopeError: What is stored is not for this caller to ask.
    """
    sent = _sent(in_scope)
    case = _case(sent, in_scope, desk)
    if "consent" in sent:
        config = replace(case.config, admin_policies=_template(sent, desk))
        verdicts = narrow_subjects(case.subjects, case.consents, case.request, config)
        return document(in_scope, _answered(case, verdicts))
    if "template" in sent or not case.subjects:
        raise InvalidParameterError("send a consent, or the subject whose stored ones are meant")
    patients, own = await _stored(case, in_scope, desk)
    stored = [await desk.gate.verdict(p.reference, own) for p in patients]
    return document(in_scope, _answered(case, stored), patients)


async def _stored(case: Case, in_scope: InScope, desk: Desk) -> tuple[list[Record], AccessRequest]:
    """The patients whose stored Consents decide, and the question, with the organizations that the actors belong to."""
    patients = []
    for subject in dict.fromkeys(case.subjects):
        type_, _, id_ = subject.partition("/")
        patient = await patient_of(in_scope, desk, id_ if type_ == "Patient" else subject)
        if not await _may_ask(in_scope, desk, patient):
            raise ScopeError(
                "what is stored may be asked by the patient, her proxy, the privacy officer and the custodian's systems"
            )
        patients.append(patient)
    asked = case.request
    question = await desk.gate.question(asked.action or "access", sorted(asked.actors))
    return patients, replace(asked, actors=question.actors)


async def _may_ask(in_scope: InScope, desk: Desk, patient: Record) -> bool:
    caller = in_scope.asked.requester.caller
    question = await desk.gate.question("access")
    if caller and caller.system and desk.tools.custodian in question.actors:
        return True
    return await oversees(in_scope, desk, patient)


def _sent(in_scope: InScope) -> dict[str, list[Json]]:
    """The parameters by their names, as FHIR's datatypes."""
    content = in_scope.asked.interaction.content
    listed = content.value.get("parameter") if content else None
    found: dict[str, list[Json]] = {}
    for one in listed if isinstance(listed, list) else []:
        name = str(one["name"])
        if name not in _ONE | _MANY:
            raise InvalidParameterError(f"this operation has no parameter '{name[:64]}'")
        found.setdefault(name, []).append(one)
    for name, given in found.items():
        most = 1 if name in _ONE else _MOST_CONSENTS if name == "consent" else _MOST
        if len(given) > most:
            raise InvalidParameterError(f"'{name}' may be given {most} times at most")
    return found


def _case(sent: dict[str, list[Json]], in_scope: InScope, desk: Desk) -> Case:
    """What is asked, read by the engine's own reader; what it says of a value is not passed on."""
    asked: dict[str, object] = {
        "subjects": [_value(p) for p in sent.get("subject", [])],
        "actors": [_value(p) for p in sent.get("actor", [])],
        "time": in_scope.asked.received.now.isoformat(),
        "action": "access",
        "custodian": desk.tools.custodian,
    }
    for name in ("purpose", "action", "time", "custodian"):
        if name in sent:
            asked[name] = _value(sent[name][0])
    try:
        case = read_case(
            {
                "consents": [p.get("resource") for p in sent.get("consent", [])],
                "request": asked,
                "resource": sent["resource"][0].get("resource") if "resource" in sent else None,
            }
        )
        return replace(case, config=replace(case.config, zone=desk.tools.zone))
    except (CaseError, ValueError) as error:
        told = str(error).partition(":")[0].removeprefix("request.").removesuffix("s")
        raise InvalidParameterError(f"the parameter '{told[:64]}' can not be used") from error


def _value(parameter: Json) -> object:
    return next((v for name, v in parameter.items() if name.startswith("value")), None)


def _template(sent: dict[str, list[Json]], desk: Desk) -> tuple[Json, ...]:
    """The admin policies that are to hold beside the Consents sent."""
    if "template" not in sent:
        return ()
    name = _value(sent["template"][0])
    if not isinstance(name, str) or name not in TEMPLATES:
        raise InvalidParameterError(f"'template' must be one of {', '.join(TEMPLATES)}")
    return load_template(name, desk.tools.custodian)


def _answered(case: Case, verdicts: Sequence[Verdict]) -> bytes:
    purpose = case.request.purpose.code if case.request.purpose else ""
    decision = _decision(case, verdicts)
    first = next((v for v in verdicts if v.decision is None), verdicts[0])
    parts: list[Part] = [
        *asked_for(purpose, case.request.action or "access"),
        *settled(decision, first),
    ]
    return parameters([{"name": "answer", "part": parts}])


def _decision(case: Case, verdicts: Sequence[Verdict]) -> Decision | None:
    """The decision of all subjects together; None if it depends on a record that was not sent."""
    if case.resource is not None:
        graph = {needed: () for verdict in verdicts for needed in verdict.needs}
        return join_subjects([verdict.decide(case.resource, graph) for verdict in verdicts])
    known = [v.decision for v in verdicts if v.decision is not None]
    denied = [d for d in known if d.decision is Kind.DENY]
    if denied or len(known) == len(verdicts):
        return join_subjects(known)
    return None
