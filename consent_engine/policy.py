"""The Consents of one patient as one policy, and its verdicts.

Implements consent.md, Step 1 (self), Step 7 (deny overrides between Consents, a mandated policy
goes first), Step 8 (break-glass) and Step 9 (every patient of a record has to permit).  Evaluation
is partial: ``Policy.narrow`` answers what does not look at the record, ``Verdict.decide`` the rest.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo

from . import terms
from .consent import CompiledConsent, Status, compile_consent
from .decision import (
    AccessRequest,
    Basis,
    Coding,
    Config,
    DecidedBy,
    Decision,
    Kind,
    without_version,
)
from .explaining import lines, looking
from .obligations import BREAK_GLASS_LIFETIME, BREAK_GLASS_OBLIGATIONS, label_obligations
from .record import Graph, Record
from .rulings import Pending, Ruling, rule_on

_BREAK_GLASS = Coding(terms.ACT_REASON, terms.BREAK_GLASS)
_DENYING = (Status.DENY, Status.INDETERMINATE)
# Step 7: whoever speaks first in this order decides.
_PRECEDENCE = (
    (_DENYING, Kind.DENY),
    ((Status.PERMIT,), Kind.PERMIT),
    ((Status.BASE_DENY,), Kind.DENY),
)
_MEMO_SIZE = 1024  # distinct requesters remembered per patient
_NO_GRAPH: Graph = {}

_Item = Ruling | Pending
_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """One request to one policy.

    Attributes:
        default: What holds when nobody has decided.
        is_self: The subject is among the actors.
        breaks_glass: The purpose is BTG and the requester belongs to a group that may.
        time: Of the request.
        valid_until: First later boundary of any Consent.
        zone: Zone of dates that carry none.
    """

    default: Kind
    is_self: bool
    breaks_glass: bool
    time: datetime
    valid_until: datetime | None
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says to one requester about one patient's records.

    Attributes:
        kind: PERMIT or DENY for every record, or DEPENDS.
        decision: The decision for every record, without the obligations that its labels add; None
            if ``kind`` is DEPENDS.
        needs: The references whose outgoing references ``decide`` must find in its graph.  Give a
            record that does not exist an empty sequence: one that is missing counts as unknown.
    """

    kind: Kind
    decision: Decision | None
    needs: frozenset[str]
    _mandatory: tuple[_Item, ...]
    _ordinary: tuple[_Item, ...]
    _case: _Case

    def decide(self, resource: Mapping[str, object], graph: Graph = _NO_GRAPH) -> Decision:
        """Decide for one record (R4 JSON, labelled), with every Consent asked and all obligations.

        Always agrees with ``kind`` where that is PERMIT or DENY.
        """
        record = Record(resource, graph, self._case.zone)
        decision = self.decision
        if decision is None or _has_pending(self._mandatory) or _has_pending(self._ordinary):
            mandatory = [_finish(item, record) for item in self._mandatory]
            ordinary = [_finish(item, record) for item in self._ordinary]
            decision = _settle(mandatory, ordinary, self._case)
        if decision.decision is Kind.DENY:
            return decision
        added = label_obligations(record)
        return replace(decision, obligations=decision.obligations + added) if added else decision

    def explain(self) -> tuple[str, ...]:
        """One line for each Consent: what it says, or which of its rules have to look at the record."""
        return lines((*self._mandatory, *self._ordinary))

    def looking(self) -> tuple[DecidedBy, ...]:
        """The rules on whose look at the record the decision may depend."""
        return looking((*self._mandatory, *self._ordinary))

    @property
    def valid_until(self) -> datetime | None:
        """The first later instant at which the answer may change by passing of time alone."""
        return self._case.valid_until if self.decision is None else self.decision.valid_until


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that decides about the records of one subject, compiled.

    Attributes:
        subject: "Patient/1"; None for records that belong to no patient.
        config: The deployment's policy.
        mandatory: Mandated admin policies.
        consents: The patient's Consents and the other admin policies.
        boundaries: Every instant at which an answer may change, ascending.
    """

    subject: str | None
    config: Config
    mandatory: tuple[CompiledConsent, ...]
    consents: tuple[CompiledConsent, ...]
    boundaries: tuple[datetime, ...]
    _memo: dict[_Key, Verdict] = field(default_factory=dict, compare=False, repr=False)

    def narrow(self, request: AccessRequest) -> Verdict:
        """Answer the request as far as no record is needed.

        Between two boundaries the answer does not depend on the time, so verdicts are remembered;
        not those of a broken glass, which expire by the clock.
        """
        window = bisect_right(self.boundaries, request.time)
        purpose = request.purpose
        key = (
            window,
            request.actors,
            request.identifiers,
            purpose and purpose.system,
            purpose and purpose.code,
            request.action,
            request.custodian,
            request.custodian_identifiers,
        )
        remembered = self._memo.get(key)
        if remembered is not None:
            return remembered
        case = self._case(request, window)
        verdict = _narrow(self, request, case)
        if not case.breaks_glass:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = verdict
        return verdict

    def _case(self, request: AccessRequest, window: int) -> _Case:
        config = self.config
        breaks = request.purpose == _BREAK_GLASS
        return _Case(
            Kind.PERMIT if config.default == Kind.PERMIT else Kind.DENY,
            self.subject is not None and self.subject in request.actors,
            breaks and not config.break_glass.isdisjoint(request.actors),
            request.time,
            self.boundaries[window] if window < len(self.boundaries) else None,
            config.zone,
        )


def compile_policy(
    consents: Sequence[Mapping[str, object]], config: Config, subject: str | None = None
) -> Policy:
    """Compile the Consents of one subject with the admin policies of the deployment.

    ``consents`` are those selected for the subject's reference; one of another patient is ignored,
    one that cannot be interpreted denies.  Never raises for the content of a Consent.
    """
    bare = None if subject is None else without_version(subject)
    zone = config.zone
    own = [compile_consent(each, bare, zone) for each in consents]
    admin = [compile_consent(each, bare, zone, is_admin=True) for each in config.admin_policies]
    mandatory = tuple(
        compile_consent(each, bare, zone, is_admin=True) for each in config.mandatory_policies
    )
    everything = (*mandatory, *own, *admin)
    boundaries = {instant for each in everything for instant in each.boundaries}
    return Policy(bare, config, mandatory, (*own, *admin), tuple(sorted(boundaries)))


def decide(
    subjects: Iterable[str],
    consents: Sequence[Mapping[str, object]],
    request: AccessRequest,
    resource: Mapping[str, object],
    config: Config,
    graph: Graph = _NO_GRAPH,
) -> Decision:
    """Decide about a record of all these subjects (Step 9: each has to permit).

    ``consents`` are those of all subjects together.  No subject means that only admin policies and
    the default decide.
    """
    verdicts = narrow_subjects(subjects, consents, request, config)
    return join_subjects([verdict.decide(resource, graph) for verdict in verdicts])


def narrow_subjects(
    subjects: Iterable[str],
    consents: Sequence[Mapping[str, object]],
    request: AccessRequest,
    config: Config,
) -> tuple[Verdict, ...]:
    """One verdict for each subject, or a single one if a record belongs to no patient."""
    named: list[str | None] = list(dict.fromkeys(without_version(each) for each in subjects))
    verdicts = []
    for subject in named or [None]:
        others = frozenset(other for other in named if other != subject)
        own = [each for each in consents if _patient(each) not in others]
        verdicts.append(compile_policy(own, config, subject).narrow(request))
    return tuple(verdicts)


def join_subjects(decisions: Sequence[Decision]) -> Decision:
    """The decision about a record from those of each of its subjects (Step 9).

    Raises:
        ValueError: There is no decision, so nothing may be concluded.
    """
    if not decisions:
        raise ValueError("a record needs at least one decision")
    denied = [each for each in decisions if each.decision is not Kind.PERMIT]
    speaking = denied or list(decisions)
    # A broken glass must not hide behind another patient's consent.
    first = next((d for d in speaking if d.basis is Basis.BREAK_GLASS), speaking[0])
    ends = [each.valid_until for each in decisions if each.valid_until is not None]
    return Decision(
        first.decision,
        first.basis,
        tuple(dict.fromkeys(by for each in speaking for by in each.decided_by)),
        tuple(dict.fromkeys(duty for each in speaking for duty in each.obligations)),
        min(ends, default=None),
        tuple(dict.fromkeys(line for each in decisions for line in each.explanation)),
    )


def _patient(consent: object) -> str | None:
    patient = consent.get("patient") if isinstance(consent, dict) else None
    reference = patient.get("reference") if isinstance(patient, dict) else None
    return without_version(reference) if isinstance(reference, str) else None


def _narrow(policy: Policy, request: AccessRequest, case: _Case) -> Verdict:
    mandatory = tuple(rule_on(each, request) for each in policy.mandatory)
    ordinary = tuple(rule_on(each, request) for each in policy.consents)
    pending = [each for each in (*mandatory, *ordinary) if isinstance(each, Pending)]
    needs: frozenset[str] = frozenset().union(*[each.branch.needs for each in pending])
    if pending and _foresee(mandatory, ordinary, case) is Kind.DEPENDS:
        return Verdict(Kind.DEPENDS, None, needs, mandatory, ordinary, case)
    decision = _settle(mandatory, ordinary, case)
    return Verdict(decision.decision, decision, needs, mandatory, ordinary, case)


def _foresee(mandatory: tuple[_Item, ...], ordinary: tuple[_Item, ...], case: _Case) -> Kind:
    """The answer for every record, or DEPENDS; pending Consents count as whatever they may say."""
    if _any(mandatory, *_DENYING):
        return Kind.DENY
    if _has_pending(mandatory):
        return Kind.DEPENDS
    relevant = (
        tuple(each for each in ordinary if each.consent.is_admin) if case.is_self else ordinary
    )
    pending = [each for each in relevant if isinstance(each, Pending)]
    if not pending or _any(mandatory, Status.PERMIT):
        return _settle(mandatory, ordinary, case).decision
    if case.breaks_glass:
        return Kind.DEPENDS  # whether the glass may be broken depends on every deny there is
    if _any(relevant, *_DENYING):
        return Kind.DENY
    may_deny = any(each.may_deny for each in pending)
    if case.is_self or _any(relevant, Status.PERMIT):
        return Kind.DEPENDS if may_deny else Kind.PERMIT
    may_permit = case.default is Kind.PERMIT or any(each.may_permit for each in pending)
    return Kind.DEPENDS if may_permit else Kind.DENY


def _settle(mandatory: Sequence[_Item], ordinary: Sequence[_Item], case: _Case) -> Decision:
    """Steps 1, 7 and 8 on what has been ruled; pending Consents are left out."""
    told = tuple(each.explain() for each in (*mandatory, *ordinary))
    asked = ordinary
    if not _any(mandatory, *_DENYING, Status.PERMIT):
        if case.is_self:
            asked = [each for each in ordinary if each.consent.is_admin]
            if not _any(asked, *_DENYING):
                return Decision(Kind.PERMIT, Basis.SELF, (), (), case.valid_until, told)
        kind, chosen = _combine(asked, case.default)
        if kind is Kind.DENY and case.breaks_glass and not any(each.emergency for each in chosen):
            return _break_glass(case, told)
    else:
        kind, chosen = _combine(mandatory, case.default)
    by = tuple(each.decided_by() for each in chosen)
    return Decision(kind, _basis(chosen), by, (), case.valid_until, told)


def _combine(items: Iterable[_Item], default: Kind) -> tuple[Kind, list[Ruling]]:
    """Step 7: the answer and the rulings that gave it, none for the default."""
    rulings = [each for each in items if isinstance(each, Ruling)]
    for statuses, kind in _PRECEDENCE:
        chosen = [each for each in rulings if each.status in statuses]
        if chosen:
            return kind, chosen
    return default, []


def _basis(chosen: Sequence[Ruling]) -> Basis:
    if not chosen:
        return Basis.DEFAULT
    if chosen[0].status is Status.BASE_DENY:
        return Basis.BASE
    understood = [each for each in chosen if each.status is not Status.INDETERMINATE]
    if not understood:
        return Basis.INDETERMINATE
    return Basis.ADMIN if all(each.consent.is_admin for each in understood) else Basis.CONSENT


def _break_glass(case: _Case, lines: tuple[str, ...]) -> Decision:
    expiry = case.time + BREAK_GLASS_LIFETIME
    until = expiry if case.valid_until is None else min(expiry, case.valid_until)
    duties = BREAK_GLASS_OBLIGATIONS
    return Decision(Kind.PERMIT, Basis.BREAK_GLASS, (), duties, until, lines)


def _finish(item: _Item, record: Record) -> Ruling:
    return item.rule(record) if isinstance(item, Pending) else item


def _has_pending(items: Iterable[_Item]) -> bool:
    return any(isinstance(each, Pending) for each in items)


def _any(items: Iterable[_Item], *statuses: Status) -> bool:
    return any(isinstance(each, Ruling) and each.status in statuses for each in items)
