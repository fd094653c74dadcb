"""Does one element of a provision match the request or the record?

Implements consent.md, Step 6 and 2.11: whatever is unknown does not match a permit and does match
a deny.  Each selector becomes one or two checks for a rule of one type, made once per Consent: an
``Ask`` looks at the request only, a ``Read`` at the record.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .decision import AccessRequest, Kind
from .record import Record
from .selectors import (
    Actions,
    Actors,
    Classes,
    Codes,
    Data,
    DataPeriod,
    Labels,
    Parties,
    Purposes,
    Selector,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the request; ``element`` is the element name, for explanations."""

    element: str
    matches: Callable[[AccessRequest], bool]


@dataclass(frozen=True, slots=True)
class Read:
    """A question to the record.

    Attributes:
        element: The element name, for explanations.
        matches: The question.
        needs: References whose outgoing references it looks up in the graph.
        of_labels: The answer depends on the record's labels alone.
    """

    element: str
    matches: Callable[[Record], bool]
    needs: frozenset[str] = frozenset()
    of_labels: bool = False


def make_asks(selectors: Mapping[str, Selector], type_: Kind) -> tuple[Ask, ...]:
    """The checks of a rule of this type that look at the request only."""
    found: list[Ask] = []
    for element, selector in selectors.items():
        match selector:
            case Actors(recipients, custodians):
                if recipients is not None:
                    found.append(Ask(element, _ask_recipients(recipients, type_)))
                if custodians is not None:
                    found.append(Ask(element, _ask_custodian(custodians, type_)))
            case Actions():
                found.append(Ask(element, _ask_action(selector, type_)))
            case Purposes():
                found.append(Ask(element, _ask_purpose(selector, type_)))
    return tuple(found)


def make_reads(selectors: Mapping[str, Selector], type_: Kind) -> tuple[Read, ...]:
    """The checks of a rule of this type that look at the record."""
    found: list[Read] = []
    for element, selector in selectors.items():
        match selector:
            case Actors(authors=Parties() as authors):
                found.append(Read(element, _read_author(authors, type_)))
            case Labels():
                read = _read_labels_permit if type_ is Kind.PERMIT else _read_labels_deny
                found.append(Read(element, read(selector), of_labels=True))
            case Classes():
                found.append(Read(element, _read_class(selector, type_)))
            case Codes():
                found.append(Read(element, _read_code(selector)))
            case DataPeriod():
                found.append(Read(element, _read_data_period(selector, type_)))
            case Data():
                found.append(Read(element, _read_data(selector, type_), selector.related))
    return tuple(found)


def _ask_recipients(recipients: Parties, type_: Kind) -> Callable[[AccessRequest], bool]:
    references, identifiers, denies = (
        recipients.references,
        recipients.identifiers,
        type_ is Kind.DENY,
    )
    if denies and recipients.unnamed:
        return lambda _: True

    def matches(request: AccessRequest) -> bool:
        if not references.isdisjoint(request.actors):
            return True
        if identifiers and not identifiers.isdisjoint(request.identifiers):
            return True
        return denies and not request.actors and not request.identifiers

    return matches


def _ask_custodian(custodians: Parties, type_: Kind) -> Callable[[AccessRequest], bool]:
    references, identifiers, denies = (
        custodians.references,
        custodians.identifiers,
        type_ is Kind.DENY,
    )
    if denies and custodians.unnamed:
        return lambda _: True

    def matches(request: AccessRequest) -> bool:
        if request.custodian is None and not request.custodian_identifiers:
            return denies
        if request.custodian in references:
            return True
        return not identifiers.isdisjoint(request.custodian_identifiers)

    return matches


def _ask_action(actions: Actions, type_: Kind) -> Callable[[AccessRequest], bool]:
    codes, denies = actions.codes, type_ is Kind.DENY
    return lambda request: denies if request.action is None else request.action in codes


def _ask_purpose(purposes: Purposes, type_: Kind) -> Callable[[AccessRequest], bool]:
    covered, denies = purposes.covered, type_ is Kind.DENY

    def matches(request: AccessRequest) -> bool:
        purpose = request.purpose
        return denies if purpose is None else (purpose.system, purpose.code) in covered

    return matches


def _read_author(parties: Parties, type_: Kind) -> Callable[[Record], bool]:
    denies = type_ is Kind.DENY

    def matches(record: Record) -> bool:
        authors = record.authors
        return (
            not parties.references.isdisjoint(authors.references)
            or not parties.identifiers.isdisjoint(authors.identifiers)
            or (denies and (authors.unnamed or parties.unnamed))
        )

    return matches


def _read_labels_permit(listed: Labels) -> Callable[[Record], bool]:
    highest, covered = listed.highest, listed.covered

    def matches(record: Record) -> bool:
        labels = record.labels
        if not labels.readable or (highest is not None and labels.rank > highest):
            return False
        if covered is not None and not labels.sensitive <= covered:
            return False
        return highest is not None or not labels.all.isdisjoint(covered or ())

    return matches


def _read_labels_deny(listed: Labels) -> Callable[[Record], bool]:
    lowest, touched = listed.lowest, listed.touched

    def matches(record: Record) -> bool:
        labels = record.labels
        if not labels.readable or (lowest is not None and labels.rank >= lowest):
            return True
        return not labels.all.isdisjoint(touched)

    return matches


def _read_class(classes: Classes, type_: Kind) -> Callable[[Record], bool]:
    denies = type_ is Kind.DENY
    if denies and classes.unknown:
        return lambda _: True

    def matches(record: Record) -> bool:
        if record.type_ is None:
            return denies
        if record.type_ in classes.types or not classes.profiles.isdisjoint(record.profiles):
            return True
        mime_types = classes.mime_types
        return bool(mime_types) and not mime_types.isdisjoint(record.contents.mime_types)

    return matches


def _read_code(codes: Codes) -> Callable[[Record], bool]:
    listed = codes.codes
    return lambda record: not listed.isdisjoint(record.contents.codings)


def _read_data_period(period: DataPeriod, type_: Kind) -> Callable[[Record], bool]:
    interval = period.interval

    def inside(record: Record) -> bool:
        return record.time is not None and interval.encloses(record.time)

    def overlapping(record: Record) -> bool:
        return record.time is None or interval.overlaps(record.time)

    return inside if type_ is Kind.PERMIT else overlapping


def _read_data(data: Data, type_: Kind) -> Callable[[Record], bool]:
    denies = type_ is Kind.DENY
    if denies and data.unnamed:
        return lambda _: True
    is_authored = None if data.authors is None else _read_author(data.authors, type_)

    def matches(record: Record) -> bool:
        if record.reference in data.instances or (is_authored and is_authored(record)):
            return True
        if data.referred and not data.referred.isdisjoint(record.contents.references):
            return True
        return _is_referred(record, data, denies)

    return matches


def _is_referred(record: Record, data: Data, denies: bool) -> bool:
    """Tell whether a named record points at this one; unknown answers count as ``denies``."""
    if record.reference is None:
        return denies and bool(data.instances)
    if any(record.reference in record.outgoing(named) for named in data.related):
        return True
    return denies and any(named not in record.graph for named in data.related)
