"""What a policy says to a requester before any record is known, in lines for people.

Each Consent has its line.  One that has to see the record names the rules that look at it: their type, their path, and the
elements of the record that they look at.
"""

from collections.abc import Iterable, Iterator

from .decision import DecidedBy
from .evaluation import Branch
from .rulings import Pending, Ruling


def lines(items: Iterable[Ruling | Pending]) -> tuple[str, ...]:
    """One line for each Consent; ids, codes and paths only."""
    return tuple(_pending(each) if isinstance(each, Pending) else each.explain() for each in items)


def looking(items: Iterable[Ruling | Pending]) -> tuple[DecidedBy, ...]:
    """The rules on whose look at the record it depends."""
    return tuple(
        DecidedBy(each.consent.reference, each.consent.version, branch.rule.path)
        for each in items
        if isinstance(each, Pending)
        for branch in _looking(each.branch)
    )


def _pending(pending: Pending) -> str:
    rules = [
        f"{branch.rule.type_} by {branch.rule.path} where {_elements(branch)} match"
        for branch in _looking(pending.branch)
    ]
    return f"{pending.consent.reference}: depends on the record: {', '.join(rules)}"


def _elements(branch: Branch) -> str:
    return " and ".join(dict.fromkeys(read.element for read in branch.reads))


def _looking(branch: Branch) -> Iterator[Branch]:
    """The rules that look at the record themselves, outer ones first."""
    if branch.reads:
        yield branch
    for child in (*branch.exceptions, *branch.narrowing, *branch.additional):
        yield from _looking(child)
