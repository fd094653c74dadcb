"""What one Consent says about one request, at once or when the record is known.

Implements consent.md, Step 2 (time), Step 3 and the outcome of Step 4.
"""

from dataclasses import dataclass

from .consent import CompiledConsent, Root, Status
from .decision import AccessRequest, DecidedBy, Kind
from .evaluation import Branch, evaluate, evaluate_narrowing, specialise
from .provision import Rule
from .record import Record

POLICY_RULE = "policyRule"


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer of one Consent.

    Attributes:
        consent: The Consent.
        status: Its answer.
        path: What gave the answer; for IGNORED and ABSTAIN the element that did not match.
        failing: The first element that did not match, where the policyRule answered instead.
        emergency: The rule names BTG or ETREAT.
    """

    consent: CompiledConsent
    status: Status
    path: str
    failing: str | None = None
    emergency: bool = False

    def decided_by(self) -> DecidedBy:
        """The rule, as a Decision names it."""
        return DecidedBy(self.consent.reference, self.consent.version, self.path)

    def explain(self) -> str:
        """One line: status and the first element that did not match."""
        line = f"{self.consent.reference}: {self.status}"
        if self.status is Status.INDETERMINATE:
            return f"{line}: {self.path}: {self.consent.problems[0].reason}"
        if self.status in (Status.IGNORED, Status.ABSTAIN):
            return f"{line}: {self.path} does not match"
        end = f", {self.failing} does not match" if self.failing else ""
        return f"{line} by {self.path}{end}"


@dataclass(frozen=True, slots=True)
class Pending:
    """A Consent that has to see the record."""

    consent: CompiledConsent
    root: Root
    branch: Branch

    @property
    def may_deny(self) -> bool:
        """Tell whether a deny may come out of it."""
        return self.branch.may_deny

    @property
    def may_permit(self) -> bool:
        """Tell whether a permit may come out of it."""
        return self.root.grants and (self.branch.may_permit or self.root.unmatched is Status.PERMIT)

    def rule(self, record: Record) -> Ruling:
        """Its answer for one record."""
        return _conclude(self.consent, self.root, self.branch, record)

    def explain(self) -> str:
        """The line for an answer that was found without asking this Consent."""
        return f"{self.consent.reference}: not asked: it cannot change the answer"


def rule_on(consent: CompiledConsent, request: AccessRequest) -> Ruling | Pending:
    """What the Consent says about the request, evaluating all that does not need the record."""
    if consent.ignored is not None:
        return Ruling(consent, Status.IGNORED, consent.ignored)
    for path, window in consent.windows:
        if not window.contains(request.time):
            return Ruling(consent, Status.IGNORED, path)
    root = consent.root
    if root is None:
        path = consent.problems[0].path.removeprefix("Consent.")
        return Ruling(consent, Status.INDETERMINATE, path, emergency=consent.emergency)
    branch = None if root.rule is None else specialise(root.rule, request)
    if branch is None:
        return _grant(Ruling(consent, root.unmatched, POLICY_RULE), root)
    if branch.looks:
        return Pending(consent, root, branch)
    return _conclude(consent, root, branch, None)


def _conclude(
    consent: CompiledConsent, root: Root, branch: Branch, record: Record | None
) -> Ruling:
    found = evaluate(branch, record)
    if root.framed and found is root.rule:
        found = evaluate_narrowing(branch, record)
        if isinstance(found, str):
            return Ruling(consent, Status.BASE_DENY, POLICY_RULE, found)
    if isinstance(found, Rule):
        status = Status.PERMIT if found.type_ is Kind.PERMIT else Status.DENY
        return _grant(Ruling(consent, status, found.path, emergency=found.emergency), root)
    if root.unmatched is Status.ABSTAIN:
        return Ruling(consent, Status.ABSTAIN, found)
    return _grant(Ruling(consent, root.unmatched, POLICY_RULE, found), root)


def _grant(ruling: Ruling, root: Root) -> Ruling:
    """2.17: a Consent whose verification failed cannot grant."""
    if ruling.status is Status.PERMIT and not root.grants:
        return Ruling(ruling.consent, Status.ABSTAIN, "verification")
    return ruling
