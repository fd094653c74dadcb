"""What a tree of rules says, first as far as the request decides it, then with the record.

Implements EVAL of consent.md, Step 5.  ``specialise`` answers everything that looks at the request
and the time and leaves a tree of ``Branch``; ``evaluate`` finishes it for one record.
"""

from dataclasses import dataclass
from functools import reduce

from .decision import AccessRequest, Kind
from .matching import Read
from .provision import Rule
from .record import Record

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Branch:
    """A rule for one request.

    Attributes:
        rule: The rule.
        failing: Path of the element that does not match the request; None if all of them do.
        reads: What is still to be asked of the record.
        exceptions: As in ``Rule``, without those that are out of their period.
        narrowing: As in ``Rule``, without those that are out of their period.
        additional: As in ``Rule``, without those that are out of their period.
        looks: Something here or below has to look at the record.
        may_permit: A permit may come out of it.
        may_deny: A deny may come out of it.
        needs: References whose outgoing references have to be known.
    """

    rule: Rule
    failing: str | None
    reads: tuple[Read, ...]
    exceptions: tuple["Branch", ...]
    narrowing: tuple["Branch", ...]
    additional: tuple["Branch", ...]
    looks: bool
    may_permit: bool
    may_deny: bool
    needs: frozenset[str]


def specialise(rule: Rule, request: AccessRequest) -> Branch | None:
    """The rule for one request; None if it does not hold at the time of the request."""
    if rule.period is not None and not rule.period.contains(request.time):
        return None
    failing = _first_failing(rule, request)
    matched = failing is None
    if not (rule.exceptions or rule.narrowing or rule.additional):
        return _leaf(rule, failing, rule.reads if matched else ())
    exceptions = _specialise_all(rule.exceptions if matched else (), request)
    narrowing = _specialise_all(rule.narrowing if matched and _is_open(rule) else (), request)
    additional = _specialise_all(rule.additional, request)
    reads = rule.reads if matched else ()
    children = exceptions + narrowing + additional
    needs = [read.needs for read in reads if read.needs]
    return Branch(
        rule,
        failing,
        reads,
        exceptions,
        narrowing,
        additional,
        bool(reads) or any(child.looks for child in children),
        (matched and rule.type_ is Kind.PERMIT) or any(child.may_permit for child in children),
        (matched and rule.type_ is Kind.DENY) or any(child.may_deny for child in children),
        frozenset().union(*needs, *(child.needs for child in children)),
    )


def _leaf(rule: Rule, failing: str | None, reads: tuple[Read, ...]) -> Branch:
    """The branch of a rule without nested rules."""
    permits = rule.type_ is Kind.PERMIT
    matched = failing is None
    needs = reads[0].needs.union(*[read.needs for read in reads]) if reads else _NOTHING
    looks = bool(reads)
    may_permit, may_deny = matched and permits, matched and not permits
    return Branch(rule, failing, reads, (), (), (), looks, may_permit, may_deny, needs)


def _is_open(rule: Rule) -> bool:
    """Tell whether narrowing says anything: a deny denies anyhow, unless it is a frame."""
    return rule.type_ is Kind.PERMIT or not (rule.asks or rule.reads)


def _specialise_all(rules: tuple[Rule, ...], request: AccessRequest) -> tuple[Branch, ...]:
    if not rules:
        return ()
    branches = (specialise(rule, request) for rule in rules)
    return tuple(branch for branch in branches if branch is not None)


def _first_failing(rule: Rule, request: AccessRequest) -> str | None:
    for ask in rule.asks:
        if not ask.matches(request):
            return f"{rule.path}.{ask.element}"
    return None


def evaluate(branch: Branch, record: Record | None) -> Rule | str:
    """The rule that decides, whose type is the effect; else the path of the element that failed.

    ``record`` may be None if nothing looks at it.
    """
    found = _evaluate_inside(branch, record)
    if not branch.additional:
        return found
    return reduce(stronger, (evaluate(child, record) for child in branch.additional), found)


def _evaluate_inside(branch: Branch, record: Record | None) -> Rule | str:
    """Step 5a: the rule itself, with what lives inside it."""
    if branch.failing is not None:
        return branch.failing
    for read in branch.reads:
        if record is None or not read.matches(record):
            return f"{branch.rule.path}.{read.element}"
    for child in branch.exceptions:
        found = evaluate(child, record)
        if isinstance(found, Rule) and found.type_ is child.rule.type_:
            return found
    if branch.rule.narrowing and branch.rule.type_ is Kind.PERMIT:
        return evaluate_narrowing(branch, record)
    return branch.rule


def evaluate_narrowing(branch: Branch, record: Record | None) -> Rule | str:
    """What the nested rules say that only add elements: deny, else permit, else nothing."""
    nothing: Rule | str = f"{branch.rule.path}.provision"
    return reduce(stronger, (evaluate(child, record) for child in branch.narrowing), nothing)


def stronger(first: Rule | str, second: Rule | str) -> Rule | str:
    """Step 5c: a deny before a permit before nothing; the first of equals."""
    if isinstance(first, str):
        return second if isinstance(second, Rule) else first
    if first.type_ is Kind.PERMIT and isinstance(second, Rule) and second.type_ is Kind.DENY:
        return second
    return first
