"""``GET Patient/[id]/$access-explain``: who may see what, and which Consent and provision decides.

``actor`` (references with commas between: one requester who is all of them), ``purpose`` (v3-ActReason), ``action``
(consentaction) and ``resource`` (``Type/id``: for that one record) say whom and what is asked about.  The patient, her
proxy and the privacy officer (``oversight.py``) may ask about anybody, and without ``actor`` are told of the custodian and
of everybody whom her Consents name.  Anybody else is told only why the record that he sees is shown to him: of what is
withheld, and of others, nothing; a patient whom he does not see is as unknown.
"""

import re
from collections.abc import Sequence

from consent_engine import AccessRequest, Kind, Verdict
from fhir_server.errors import InvalidParameterError, NotFoundError, ScopeError
from fhir_server.forms import InScope, Opened, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.operations.explained import (
    Part,
    actor_parts,
    asked_for,
    parameters,
    rules,
    settled,
)
from fhir_server.interactions.operations.oversight import oversees, patient_of
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.search.finding import Budget, Reach
from fhir_server.interactions.search.joining import finder_of
from fhir_server.interactions.stages import document, located
from fhir_server.search.criteria import read_criterion
from fhir_server.search.joins import Wanted

_PARAMETERS = ("actor", "purpose", "action", "resource")
_ACTIONS = frozenset({"collect", "access", "use", "disclose", "correct"})
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_CODE = re.compile(r"[A-Za-z0-9_\-]{1,64}")
_MOST_ACTORS = 20
_DEFAULT = "TREAT"


async def access_explain(in_scope: InScope, desk: Desk) -> Opened:
    """Parameters with one ``answer`` for each requester asked about.

    Raises:
        NotFoundError: The patient or the record is missing, deleted or not permitted.
        ScopeError: Another requester is asked about, or the token's scopes do not let search Consents.
        InvalidParameterError: A parameter can not be used.
    """
    asked = Parameters(in_scope.asked.interaction.query, _PARAMETERS)
    actors, action = _actors(asked), asked.text("action") or "access"
    if action not in _ACTIONS:
        raise InvalidParameterError(f"'action' must be one of {', '.join(sorted(_ACTIONS))}")
    patient = await patient_of(in_scope, desk)
    record = await _record(asked.text("resource"), patient, in_scope, desk)
    shown = [patient] if record is None or record is patient else [patient, record]
    if not await oversees(in_scope, desk, patient):
        answers = [await _own(in_scope, desk, asked, patient.reference, record or patient)]
        return document(in_scope, parameters(answers), shown)
    consents = await _consents(in_scope, desk, patient)
    purpose = asked.text("purpose") or _DEFAULT
    if not _CODE.fullmatch(purpose):
        raise InvalidParameterError("'purpose' must be a code of v3-ActReason")
    requesters = [actors] if actors else _named(consents, desk.tools.custodian)
    answers = []
    for requester in requesters:
        question = await desk.gate.question(action, requester, purpose)
        verdict = await desk.gate.verdict(patient.reference, question)
        answers.append(_answer(requester, question, verdict, record))
    return document(in_scope, parameters(answers), [*shown, *consents])


def _actors(asked: Parameters) -> tuple[str, ...]:
    actors = asked.names("actor")
    if len(actors) > _MOST_ACTORS or not all(_REFERENCE.fullmatch(a) for a in actors):
        raise InvalidParameterError(
            f"'actor' must name at most {_MOST_ACTORS} references, as Organization/1"
        )
    return actors


async def _record(text: str, patient: Record, in_scope: InScope, desk: Desk) -> Record | None:
    """The record asked about, if the caller may see it and it is the patient's."""
    if not text or text == patient.reference:
        return patient if text else None
    if not _REFERENCE.fullmatch(text):
        raise InvalidParameterError("'resource' must be a reference, as Observation/1")
    type_, _, id_ = text.partition("/")
    reach = Reach(in_scope, desk, Budget(1))
    covering = reach.require(type_, "resource")
    version = await desk.reader.find(type_, id_)
    living = () if version is None or version.deleted else (version,)
    found = await desk.gate.admit(located(in_scope, living, covering=covering)) if living else ()
    if not found or patient.reference not in found[0].patients:
        raise NotFoundError(MISSING)
    return found[0]


async def _own(
    in_scope: InScope, desk: Desk, asked: Parameters, patient: str, record: Record
) -> Part:
    """Why the requester sees a record that he sees."""
    question = await desk.gate.question("access")
    own_purpose = in_scope.asked.requester.purpose
    others = set(_actors(asked)) - question.actors
    if others or asked.text("action") not in ("", "access"):
        raise ScopeError("you may ask why you see what you see, not what others may")
    if asked.text("purpose") not in ("", own_purpose):
        raise ScopeError("ask for another purpose with that purpose")
    decision = record.decisions[record.patients.index(patient)]  # of another patient's nothing
    parts = [
        *actor_parts(sorted(question.actors)),
        *asked_for(own_purpose, "access"),
        {"name": "resource", "valueReference": {"reference": record.reference}},
        {"name": "decision", "valueCode": str(Kind.PERMIT)},
        {"name": "basis", "valueCode": str(decision.basis)},
        *rules("decided-by", decision.decided_by),
    ]
    return {"name": "answer", "part": parts}


async def _consents(in_scope: InScope, desk: Desk, patient: Record) -> list[Record]:
    """The patient's Consents; those that the caller may see."""
    reach = Reach(in_scope, desk, Budget(desk.tools.max_candidates))
    covering = reach.require("Consent", "$access-explain")
    values = desk.tools.searchable.of("Consent")
    criteria = (read_criterion(values, "patient", patient.reference),)
    finder = await finder_of(reach, Wanted("Consent", criteria), covering)
    return [record async for record in finder.find(finder.selection)]


def _named(consents: Sequence[Record], custodian: str) -> Sequence[tuple[str, ...]]:
    """The custodian, and each actor whom an active Consent names."""
    found = dict.fromkeys([custodian])
    for record in consents:
        if record.value.get("status") == "active":
            found.update(dict.fromkeys(_actors_in(record.value.get("provision"))))
    return [(actor,) for actor in found if _REFERENCE.fullmatch(actor)][:_MOST_ACTORS]


def _actors_in(provision: object) -> list[str]:
    if not isinstance(provision, dict):
        return []
    listed = provision.get("actor")
    actors = [a for a in listed if isinstance(a, dict)] if isinstance(listed, list) else []
    references = [a["reference"] for a in actors if isinstance(a.get("reference"), dict)]
    named = [str(r.get("reference", "")).partition("/_history/")[0] for r in references]
    nested = provision.get("provision")
    children = nested if isinstance(nested, list) else []
    return [*named, *(actor for child in children for actor in _actors_in(child))]


def _answer(
    actors: Sequence[str], question: AccessRequest, verdict: Verdict, record: Record | None
) -> Part:
    """What one requester may see of all the patient's records, or of one of them."""
    decision = verdict.decision
    denied = decision is not None and decision.decision is Kind.DENY
    if (
        record is not None and not denied and not verdict.needs
    ):  # what else it needs is not read here
        decision = verdict.decide(record.value)
    purpose = question.purpose.code if question.purpose else ""
    parts: list[Part] = [
        *actor_parts(actors),
        *asked_for(purpose, question.action or "access"),
    ]
    if record is not None:
        parts.append({"name": "resource", "valueReference": {"reference": record.reference}})
    parts += settled(decision, verdict)
    return {"name": "answer", "part": parts}
