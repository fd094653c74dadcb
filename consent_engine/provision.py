"""A provision of a Consent as a tree of rules, compiled once.

Implements the static half of consent.md, Step 5: which elements a nested provision takes over from
its parent, and whether it is an exception, an additional rule or a narrowing.  Not here: what the
tree says about a request (``evaluation.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .decision import Kind
from .elements import Json, Problem, forbid_others, read_objects, read_period, read_text
from .matching import Ask, Read, make_asks, make_reads
from .periods import Interval
from .selectors import Purposes, Reader, Selector

MAX_DEPTH = 8  # Step 3; the root provision is the first level
SELECTORS = frozenset(
    {"actor", "action", "purpose", "securityLabel", "class", "code", "dataPeriod", "data"}
)
_ELEMENTS = SELECTORS | {"id", "extension", "type", "period", "provision"}

_Selectors = Mapping[str, Selector]


@dataclass(frozen=True, slots=True)
class Rule:
    """One provision.

    Attributes:
        path: FHIRPath within the Consent.
        type_: PERMIT or DENY.
        period: When the rule holds; None is always.
        asks: Checks of the request, inherited elements included.
        reads: Checks of the record, inherited elements included.
        exceptions: Nested rules of the opposite type.
        narrowing: Nested rules of the same type that only add elements.
        additional: Nested rules of the same type that replace an element.
        emergency: The purposes name BTG or ETREAT.
    """

    path: str
    type_: Kind
    period: Interval | None
    asks: tuple[Ask, ...]
    reads: tuple[Read, ...]
    exceptions: tuple["Rule", ...]
    narrowing: tuple["Rule", ...]
    additional: tuple["Rule", ...]
    emergency: bool


@dataclass(frozen=True, slots=True)
class _Parent:
    """What a nested provision takes over.

    Attributes:
        named: Every element in force, which tells an additional rule from a narrowing.
        matched: Those of them that the nested rule has to match again.
    """

    named: _Selectors
    matched: _Selectors


def compile_root(provision: Json, type_: Kind, reader: Reader) -> Rule:
    """Compile the root provision as a rule of this type; problems go to the reader."""
    return _compile(provision, type_, "provision", 1, _Parent({}, {}), reader)


def _compile(
    provision: Json, type_: Kind, path: str, depth: int, parent: _Parent, reader: Reader
) -> Rule:
    at = f"Consent.{path}"
    forbid_others(provision, _ELEMENTS, at, reader.problems)
    own = reader.read(provision, at)
    here = _Parent({**parent.named, **own}, {**parent.matched, **own})
    children = _compile_children(provision, type_, path, depth, here, reader)
    purposes = here.named.get("purpose")
    return Rule(
        path,
        type_,
        read_period(provision, "period", at, reader.config.zone, reader.problems),
        make_asks(here.matched, type_),
        make_reads(here.matched, type_),
        tuple(rule for rule, _ in children if rule.type_ is not type_),
        tuple(rule for rule, adds in children if rule.type_ is type_ and adds),
        tuple(rule for rule, adds in children if rule.type_ is type_ and not adds),
        isinstance(purposes, Purposes) and purposes.emergency,
    )


def _compile_children(
    provision: Json, type_: Kind, path: str, depth: int, here: _Parent, reader: Reader
) -> list[tuple[Rule, bool]]:
    """The nested rules, each with whether it only adds elements."""
    nested = read_objects(provision, "provision", f"Consent.{path}", reader.problems)
    if nested and depth >= MAX_DEPTH:
        reader.problems.append(Problem(f"Consent.{path}", "provisions are nested too deep"))
        return []
    found: list[tuple[Rule, bool]] = []
    for at, child in nested:
        child_type = read_type(child, at, reader)
        # An exception lives inside its parent, which has matched when it is asked.  A deny must not
        # be narrowed by what the parent matched as a permit (a label R permits N as well).
        inside = child_type is Kind.DENY and type_ is Kind.PERMIT
        parent = _Parent(here.named, {} if inside else here.matched)
        rule = _compile(child, child_type, at.removeprefix("Consent."), depth + 1, parent, reader)
        found.append((rule, not (SELECTORS & child.keys() & here.named.keys())))
    return found


def read_type(provision: Json, path: str, reader: Reader) -> Kind:
    """The type of a provision that must have one; DENY, with a Problem, if it has none."""
    text = read_text(provision, "type", path, reader.problems)
    if text in (Kind.PERMIT, Kind.DENY):
        return Kind(text)
    reader.problems.append(Problem(f"{path}.type", "a provision is of type permit or deny"))
    return Kind.DENY
