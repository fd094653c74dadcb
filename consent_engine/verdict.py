"""What a policy says to one request: at once as far as no record is needed, or for one record.

Implements consent.md, Step 1 (self), Step 7 (deny overrides between Consents, a mandated policy goes first) and Step 8
(break-glass).  What depends on records depends on nothing but the answers to the rules' questions to them, and on labels: so
records that answer alike are decided once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from .consent import Status
from .decision import Basis, Config, DecidedBy, Decision, Kind
from .evaluation import Branch
from .explaining import lines, looking
from .matching import Read
from .obligations import BREAK_GLASS_LIFETIME, BREAK_GLASS_OBLIGATIONS, label_obligations
from .record import Graph, Record, labels_of
from .rulings import Pending, Ruling

_DENYING = (Status.DENY, Status.INDETERMINATE)
# Step 7: whoever speaks first in this order decides.
PRECEDENCE = (
    (_DENYING, Kind.DENY),
    ((Status.PERMIT,), Kind.PERMIT),
    ((Status.BASE_DENY,), Kind.DENY),
)
_MEMO_SIZE = 64  # distinct decisions remembered per verdict
NO_GRAPH: Graph = {}

_Item = Ruling | Pending
_Answers = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One request to one policy.

    Attributes:
        default: What holds when nobody has decided.
        is_self: The subject is among the actors.
        breaks_glass: The purpose is BTG and the requester belongs to a group that may.
        time: Of the request.
        valid_until: First later boundary of any Consent.
        config: Of the deployment: how its records write dates and references.
    """

    default: Kind
    is_self: bool
    breaks_glass: bool
    time: datetime
    valid_until: datetime | None
    config: Config


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
    _case: Case
    _reads: tuple[Read, ...]
    _memo: dict[_Answers, Decision] = field(default_factory=dict, compare=False, repr=False)

    def decide(self, resource: Mapping[str, object], graph: Graph = NO_GRAPH) -> Decision:
        """Decide for one record (R4 JSON, labelled), with every Consent asked and all obligations.

        Always agrees with ``kind`` where that is PERMIT or DENY.
        """
        labels = labels_of(resource)
        answers: _Answers = (labels.all, labels.readable)
        if self._reads:
            record = Record(resource, graph, self._case.config)
            answers += tuple([read.matches(record) for read in self._reads])
        known = self._memo.get(answers)
        if known is not None:
            return known
        decision = self._decide(Record(resource, graph, self._case.config))
        if len(self._memo) >= _MEMO_SIZE:
            self._memo.clear()
        self._memo[answers] = decision
        return decision

    def _decide(self, record: Record) -> Decision:
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


def verdict(mandatory: tuple[_Item, ...], ordinary: tuple[_Item, ...], case: Case) -> Verdict:
    """The verdict that follows from what each Consent says."""
    pending = [each for each in (*mandatory, *ordinary) if isinstance(each, Pending)]
    needs: frozenset[str] = frozenset().union(*[each.branch.needs for each in pending])
    asked = dict.fromkeys(read for each in pending for read in _reads(each.branch))
    reads = tuple(read for read in asked if not read.of_labels)  # labels are looked at anyway
    if pending and _foresee(mandatory, ordinary, case) is Kind.DEPENDS:
        return Verdict(Kind.DEPENDS, None, needs, mandatory, ordinary, case, reads)
    decision = _settle(mandatory, ordinary, case)
    return Verdict(decision.decision, decision, needs, mandatory, ordinary, case, reads)


def _reads(branch: Branch) -> tuple[Read, ...]:
    """All questions to a record that are asked here or below."""
    below = (*branch.exceptions, *branch.narrowing, *branch.additional)
    return (*branch.reads, *(read for child in below for read in _reads(child)))


def _foresee(mandatory: tuple[_Item, ...], ordinary: tuple[_Item, ...], case: Case) -> Kind:
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


def _settle(mandatory: Sequence[_Item], ordinary: Sequence[_Item], case: Case) -> Decision:
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
    for statuses, kind in PRECEDENCE:
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


def _break_glass(case: Case, lines: tuple[str, ...]) -> Decision:
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
