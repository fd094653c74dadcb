"""One Consent, compiled: is it a candidate, can it be interpreted, what does its root mean?

Implements consent.md, Steps 2, 3 and 4.  Compiling never raises: what cannot be read makes the
Consent INDETERMINATE, which denies.  A Consent that is readably no candidate (not active, of
another patient, of another scope) is IGNORED whatever else is wrong with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum

from . import terms
from .decision import Config, Kind, literal
from .elements import (
    EMPTY,
    Json,
    Problem,
    Problems,
    forbid_others,
    read_codings,
    read_date_time,
    read_object,
    read_objects,
    read_period,
    read_text,
)
from .periods import END_OF_TIME, Interval
from .provision import SELECTORS, Rule, compile_root, read_type
from .selectors import Actors, Reader

_STATUSES = frozenset({"draft", "proposed", "active", "rejected", "inactive", "entered-in-error"})
_SCOPES = frozenset({"patient-privacy", "research"})
_BASES = {
    "OPTIN": Kind.PERMIT,
    "OPTINR": Kind.PERMIT,
    "OPTOUT": Kind.DENY,
    "OPTOUTE": Kind.DENY,
}
_ROOT = "Consent"
# R4 Consent; implicitRules and modifierExtension are noted by Step 3, wherever they are.
_ELEMENTS = frozenset(
    {
        *("resourceType", "id", "meta", "implicitRules", "language", "text", "contained"),
        *("extension", "modifierExtension", "identifier", "status", "scope", "category"),
        *("patient", "dateTime", "performer", "organization", "sourceAttachment"),
        *("sourceReference", "policy", "policyRule", "verification", "provision"),
    }
)


class Status(StrEnum):
    """What one Consent says about one request (Steps 2 to 4)."""

    IGNORED = "ignored"
    INDETERMINATE = "indeterminate"
    DENY = "deny"
    BASE_DENY = "base-deny"
    PERMIT = "permit"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class Root:
    """The meaning of the root provision and the policyRule together (Step 4).

    Attributes:
        rule: The root provision; None if the policyRule says everything.
        unmatched: What the Consent says when the rule says nothing.
        framed: An untyped OPTOUT root that only frames nested rules: by itself a weak deny.
        grants: False if some verification failed, so that a permit becomes an abstention.
    """

    rule: Rule | None
    unmatched: Status
    framed: bool
    grants: bool


@dataclass(frozen=True, slots=True)
class CompiledConsent:
    """A Consent as far as it does not depend on the request.

    Attributes:
        reference: "Consent/id".
        version: ``meta.versionId``, if readable.
        is_admin: It is a policy of the organization.
        ignored: Path of the element that makes it no candidate at any time; None if none does.
        windows: Intervals in which it is a candidate, each with the path of its element.
        problems: Why it cannot be interpreted; empty if it can.
        root: What it says; None if it cannot be interpreted.
        emergency: Whatever it is, it names BTG or ETREAT somewhere.
        boundaries: Every instant at which its answer may change.
    """

    reference: str
    version: str | None
    is_admin: bool
    ignored: str | None
    windows: tuple[tuple[str, Interval], ...]
    problems: tuple[Problem, ...]
    root: Root | None
    emergency: bool
    boundaries: tuple[datetime, ...]


def compile_consent(
    consent: object, subject: str | None, config: Config, *, is_admin: bool = False
) -> CompiledConsent:
    """Compile a Consent for a subject ("Patient/1"; None for records that belong to no patient).

    Never raises: see ``CompiledConsent.problems``.
    """
    problems: Problems = []
    if not isinstance(consent, dict):
        problems.append(Problem(_ROOT, "not a JSON object"))
        consent = EMPTY
    content: Json = consent
    forbid_others(content, _ELEMENTS, _ROOT, problems)
    emergency = _check_modifiers(content, problems)
    ignored = _read_candidacy(content, subject, is_admin, config.base, problems)
    windows = _read_windows(content, config.zone, problems)
    root = _read_root(content, Reader(config, _contained(content), problems))
    id_, version = content.get("id"), _version(content)
    return CompiledConsent(
        f"Consent/{id_ if isinstance(id_, str) and id_ else '?'}",
        version,
        is_admin,
        ignored,
        windows,
        tuple(dict.fromkeys(problems)),
        None if problems else root,
        emergency,
        () if ignored else _boundaries(windows, root),
    )


def _check_modifiers(consent: Json, problems: Problems) -> bool:
    """Step 3: note modifiers, which must not be overlooked; tell whether BTG or ETREAT occurs."""
    emergency = False
    nodes: list[object] = [consent]
    for node in nodes:  # those below it come behind it
        if isinstance(node, dict):
            if "modifierExtension" in node or "implicitRules" in node:
                name = "modifierExtension" if "modifierExtension" in node else "implicitRules"
                problems.append(Problem(f"{_ROOT}.{name}", "not understood, so not processed"))
            emergency = emergency or node.get("code") in ("BTG", "ETREAT")
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return emergency


def _read_candidacy(
    consent: Json, subject: str | None, is_admin: bool, base: str, problems: Problems
) -> str | None:
    """Step 2 without time: path of the element that makes it no candidate, else None."""
    if consent.get("resourceType", _ROOT) != _ROOT:
        problems.append(Problem(f"{_ROOT}.resourceType", "not a Consent"))
    status = read_text(consent, "status", _ROOT, problems)
    if status not in _STATUSES:
        problems.append(Problem(f"{_ROOT}.status", "not a status of R4"))
    reasons = {
        "status": status in _STATUSES and status != "active",
        "patient": _is_of_another(consent, subject, is_admin, base, problems),
        "scope": _is_of_another_scope(consent, problems),
    }
    return next((name for name, holds in reasons.items() if holds), None)


def _is_of_another(
    consent: Json, subject: str | None, is_admin: bool, base: str, problems: Problems
) -> bool:
    if is_admin and "patient" not in consent:
        return False
    patient = read_object(consent, "patient", _ROOT, problems) or EMPTY
    reference = read_text(patient, "reference", f"{_ROOT}.patient", problems)
    if reference is None:
        problems.append(Problem(f"{_ROOT}.patient", "no reference, so it may be any patient's"))
        return False
    return subject is None or literal(reference, base) != literal(subject, base)


def _is_of_another_scope(consent: Json, problems: Problems) -> bool:
    scope = read_object(consent, "scope", _ROOT, problems) or EMPTY
    scopes = read_codings(scope, "coding", f"{_ROOT}.scope", problems)
    categories = read_objects(consent, "category", _ROOT, problems)
    found = [c for at, each in categories for c in read_codings(each, "coding", at, problems)]
    if any(c.system == terms.CONSENT_SCOPE and c.code in _SCOPES for c in (*scopes, *found)):
        return False
    if not scopes:
        problems.append(Problem(f"{_ROOT}.scope", "no coding, so it may be about privacy"))
    return bool(scopes)


def _read_windows(
    consent: Json, zone: tzinfo, problems: Problems
) -> tuple[tuple[str, Interval], ...]:
    """Step 2, time: since dateTime, and within the period of the root provision."""
    given = read_date_time(consent, "dateTime", _ROOT, zone, problems)
    windows = [] if given is None else [("dateTime", Interval(given.start, END_OF_TIME))]
    provision = consent.get("provision")
    if isinstance(provision, dict):
        period = read_period(provision, "period", f"{_ROOT}.provision", zone, problems)
        windows.extend([] if period is None else [("provision.period", period)])
    return tuple(windows)


def _read_root(consent: Json, reader: Reader) -> Root | None:
    base = _read_base(consent, reader.problems)
    grants = _read_verifications(consent, reader.problems)
    if "provision" not in consent:
        if base is None:
            reader.problems.append(Problem(f"{_ROOT}.policyRule", "neither rule nor opt-in or out"))
        return Root(None, Status.PERMIT if base is Kind.PERMIT else Status.DENY, False, grants)
    provision = read_object(consent, "provision", _ROOT, reader.problems)
    return None if provision is None else _read_provision(provision, base, grants, reader)


def _read_provision(provision: Json, base: Kind | None, grants: bool, reader: Reader) -> Root:
    if "type" in provision:
        rule = compile_root(provision, read_type(provision, f"{_ROOT}.provision", reader), reader)
        opted_in = Status.PERMIT if rule.type_ is Kind.DENY else Status.ABSTAIN
        unmatched = {Kind.PERMIT: opted_in, Kind.DENY: Status.BASE_DENY, None: Status.ABSTAIN}[base]
        return Root(rule, unmatched, False, grants)
    if base is None:
        problem = Problem(
            f"{_ROOT}.provision.type", "neither a type nor an opt-in or out policyRule"
        )
        reader.problems.append(problem)
    if not SELECTORS & provision.keys():
        framed = base is Kind.DENY and "provision" in provision
        return Root(
            compile_root(provision, base or Kind.DENY, reader), Status.ABSTAIN, framed, grants
        )
    denies = base is Kind.PERMIT or not _has_recipient(provision, reader)
    rule = compile_root(provision, Kind.DENY if denies else Kind.PERMIT, reader)
    unmatched = Status.PERMIT if base is Kind.PERMIT else Status.BASE_DENY
    return Root(rule, unmatched, False, grants)


def _has_recipient(provision: Json, reader: Reader) -> bool:
    """Tell whether some actor is neither custodian nor author, so that the rule names a reader."""
    actors = reader.read(provision, f"{_ROOT}.provision").get("actor")
    return isinstance(actors, Actors) and actors.recipients is not None


def _read_base(consent: Json, problems: Problems) -> Kind | None:
    """What the policyRule opts for; one that R4 does not define says nothing."""
    rule = read_object(consent, "policyRule", _ROOT, problems) or EMPTY
    path = f"{_ROOT}.policyRule"
    codings = read_codings(rule, "coding", path, problems) if "coding" in rule else []
    bases = {_BASES[c.code] for c in codings if c.system == terms.ACT_CODE and c.code in _BASES}
    if len(bases) > 1:
        problems.append(Problem(path, "opts in and out"))
    return bases.pop() if bases else None


def _read_verifications(consent: Json, problems: Problems) -> bool:
    """2.17: tell whether every verification succeeded; one without ``verified`` did not."""
    grants = True
    for path, each in read_objects(consent, "verification", _ROOT, problems):
        verified = each.get("verified", False)
        if not isinstance(verified, bool):
            problems.append(Problem(f"{path}.verified", "not a boolean"))
        grants = grants and verified is True
    return grants


def _contained(consent: Json) -> Mapping[str, Json]:
    listed = consent.get("contained")
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {f"#{each['id']}": each for each in found if isinstance(each.get("id"), str)}


def _version(consent: Json) -> str | None:
    meta = consent.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    return version if isinstance(version, str) else None


def _boundaries(
    windows: tuple[tuple[str, Interval], ...], root: Root | None
) -> tuple[datetime, ...]:
    found = [instant for _, window in windows for instant in window.boundaries()]
    waiting = [] if root is None or root.rule is None else [root.rule]
    while waiting:
        rule = waiting.pop()
        found.extend(() if rule.period is None else rule.period.boundaries())
        waiting.extend((*rule.exceptions, *rule.narrowing, *rule.additional))
    return tuple(found)
