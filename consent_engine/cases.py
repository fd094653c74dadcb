"""Cases of the command line: one JSON object that holds everything a decision depends on.

Liberal about shapes (a reference may be a string or a Reference, a purpose a code or a Coding),
strict about content: what cannot be understood is an error, never a guess.  A case describes its
whole world, so a record that its graph does not mention refers to nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from . import terms
from .decision import AccessRequest, Coding, Config, Decision, Kind
from .elements import EMPTY, Json
from .errors import CaseError
from .periods import parse_date_time
from .policy import join_subjects, narrow_subjects
from .record import Graph


@dataclass(frozen=True, slots=True)
class Case:
    """A case that has been read.

    Attributes:
        subjects: References of the patients of the record; empty if it belongs to none.
        resource: The record; None to ask for the answer that holds for every record.
        graph: Outgoing references by reference.
    """

    subjects: tuple[str, ...]
    consents: tuple[Json, ...]
    request: AccessRequest
    resource: Json | None
    config: Config
    graph: Graph


def answer_case(case: object) -> dict[str, object]:
    """The answer to a decoded case, ready to be written as JSON.

    Raises:
        CaseError: The case cannot be read, or it needs a record and has none.
    """
    return _show(decide_case(read_case(case)))


def decide_case(case: Case) -> Decision:
    """Decide a case.

    Raises:
        CaseError: The answer depends on the record and the case has none.
    """
    verdicts = narrow_subjects(case.subjects, case.consents, case.request, case.config)
    if case.resource is None:
        if any(verdict.decision is None for verdict in verdicts):
            raise CaseError("resource: missing, and the decision depends on it")
        return join_subjects([each.decision for each in verdicts if each.decision is not None])
    graph = {needed: () for verdict in verdicts for needed in verdict.needs} | dict(case.graph)
    return join_subjects([verdict.decide(case.resource, graph) for verdict in verdicts])


def read_case(case: object) -> Case:
    """Read a decoded case.

    Raises:
        CaseError: It cannot be read.
    """
    top = _object(case, "case")
    request = _object(top.get("request", EMPTY), "request")
    config = _read_config(_object(top.get("config") or EMPTY, "config"))
    resource = top.get("resource")
    return Case(
        _read_subjects(top, request),
        _read_consents(top.get("consents")),
        _read_request(request, config.zone),
        None if resource is None else _object(resource, "resource"),
        config,
        _read_graph(request.get("graph") or top.get("graph") or EMPTY),
    )


def _show(decision: Decision) -> dict[str, object]:
    until = decision.valid_until
    return {
        "decision": decision.decision.value,
        "basis": decision.basis.value,
        "decided_by": [asdict(by) for by in decision.decided_by],
        "obligations": list(decision.obligations),
        "valid_until": None if until is None else until.isoformat().replace("+00:00", "Z"),
        "explanation": list(decision.explanation),
    }


def _read_request(request: Json, zone: tzinfo) -> AccessRequest:
    references, identifiers = _parties(request.get("actors"), "request.actors")
    _, more = _parties(request.get("actor_identifiers"), "request.actor_identifiers")
    custodians, custodian_ids = _parties(request.get("custodian"), "request.custodian")
    if len(custodians) > 1:
        raise CaseError("request.custodian: more than one")
    return AccessRequest(
        frozenset(references),
        frozenset(identifiers | more),
        _read_purpose(request.get("purpose")),
        _read_action(request.get("action")),
        _read_time(request.get("time"), zone),
        next(iter(custodians), None),
        frozenset(custodian_ids),
    )


def _read_purpose(value: object) -> Coding | None:
    """Step 0: one purpose; a bare code is one of v3-ActReason."""
    codings = _codings(value, "request.purpose", terms.ACT_REASON)
    if len(codings) > 1:
        raise CaseError("request.purpose: more than one; the caller picks one per request")
    return codings[0] if codings else None


def _read_action(value: object) -> str | None:
    codings = _codings(value, "request.action", terms.CONSENT_ACTION)
    if len(codings) > 1:
        raise CaseError("request.action: more than one")
    return codings[0].code if codings else None


def _codings(value: object, path: str, system: str) -> list[Coding]:
    if value is None:
        return []
    if isinstance(value, list):
        return [coding for each in value for coding in _codings(each, path, system)]
    if isinstance(value, str) and value:
        return [Coding(system, value)]
    if isinstance(value, dict) and "coding" in value:
        return _codings(value["coding"], path, system)
    if isinstance(value, dict) and isinstance(value.get("code"), str):
        return [Coding(_text(value.get("system", system), f"{path}.system"), value["code"])]
    raise CaseError(f"{path}: neither a code nor a Coding")


def _read_time(value: object, zone: tzinfo) -> datetime:
    try:
        return parse_date_time(_text(value, "request.time"), zone).start
    except ValueError as error:
        raise CaseError("request.time: not a FHIR instant") from error


def _read_subjects(top: Json, request: Json) -> tuple[str, ...]:
    for place, content in (("request.", request), ("", top)):
        for name in ("subjects", "subject"):
            if name in content:
                references, _ = _parties(content[name], place + name)
                if content[name] and not references:
                    raise CaseError(f"{place}{name}: a patient is named by a reference")
                return tuple(references)
    raise CaseError("request.subject: missing; null means that the record belongs to no patient")


def _read_consents(value: object) -> tuple[Json, ...]:
    """The Consents as they are; one that is no object is for the engine to judge."""
    if isinstance(value, dict) and value.get("resourceType") == "Bundle":
        entries = value.get("entry", [])
        value = [_object(each, "consents.entry").get("resource") for each in entries]
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (_object(value, "consents"),)


def _read_config(config: Json) -> Config:
    default = config.get("default", "deny")
    if default not in (Kind.PERMIT, Kind.DENY):
        raise CaseError("config.default: neither permit nor deny")
    groups = config.get("break_glass")
    groups = groups.get("groups") if isinstance(groups, dict) and "groups" in groups else groups
    references, _ = _parties(groups, "config.break_glass")
    return Config(
        str(default),
        _read_zone(config.get("zone", "UTC")),
        _read_consents(config.get("admin_policies")),
        frozenset(references),
        _read_consents(config.get("mandatory_policies")),
        _read_base(config.get("base")),
    )


def _read_base(value: object) -> str:
    return "" if value is None else _text(value, "config.base").rstrip("/")


def _read_zone(value: object) -> tzinfo:
    name = _text(value, "config.zone")
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise CaseError("config.zone: no such zone") from error


def _read_graph(value: object) -> Graph:
    graph = _object(value, "graph")
    return {named: tuple(_parties(each, f"graph.{named}")[0]) for named, each in graph.items()}


def _parties(value: object, path: str) -> tuple[dict[str, None], set[tuple[str, str]]]:
    """References, in order, and identifiers out of whatever names a party."""
    references: dict[str, None] = {}
    identifiers: set[tuple[str, str]] = set()
    if isinstance(value, str) and value:
        references[value] = None
    elif isinstance(value, list):
        for each in value:
            found, more = _parties(each, path)
            references |= found
            identifiers |= more
    elif isinstance(value, dict) and "value" in value:
        system = _text(value.get("system"), f"{path}.system")
        identifiers.add((system, _text(value["value"], f"{path}.value")))
    elif isinstance(value, dict) and ("reference" in value or "identifier" in value):
        for name in ("reference", "identifier"):
            found, more = _parties(value.get(name), f"{path}.{name}")
            references |= found
            identifiers |= more
    elif value is not None:
        raise CaseError(f"{path}: neither a reference nor an identifier")
    return references, identifiers


def _object(value: object, path: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise CaseError(f"{path}: not an object")
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise CaseError(f"{path}: missing or not a string")
    return value
