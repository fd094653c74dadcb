"""From criteria to token groups: what the blind index is asked before anything is opened.

Every group gives a superset of what its criterion means; a criterion that the index cannot narrow (``:not``,
``:missing``, ``:contains``, ``:text``, ``ne``, ``near``, ``_text``, ``_content``) gives none and is left to the exact
check; so is a custom parameter while its tokens are being brought in, and one whose tokens lie within patients in a
search without a patient.
A composite asks for the tokens of its components, ``_filter`` for those of what is joined by ``and``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search import numbers
from fhir_server.search.concepts import asked_concepts
from fhir_server.search.conditions import (
    asked_quantity,
    composite_texts,
    local_reference,
    of_type,
    split_canonical,
)
from fhir_server.search.criteria import Criterion, split_prefix, split_token, unescape
from fhir_server.search.dates import cover, days, interval, widened
from fhir_server.search.filter import Both, Either, Leaf, Node, filter_of
from fhir_server.search.strings import words
from fhir_server.search.tokens import COMPARTMENT, SCOPED, scoped, within_patients, word_prefix
from fhir_server.search.values import WHOLE, ResourceValues

Group = tuple[bytes, ...]
_T = TypeVar("_T", int, Decimal)
Term = tuple[str, str]  # kind, text
_PATIENT = frozenset({"patient", "subject"})
_RANK = ("reference", "uri", "token", "string", "quantity", "number", "date")
_MOST_CONCEPTS = 500
_NOT_NARROWED = frozenset({"not", "not-in", "missing", "contains", "ends", "text"})
_NARROWED_URI = frozenset({"", "above"})


def groups(
    values: ResourceValues,
    criteria: Iterable[Criterion],
    blind: BlindIndex,
    base: str,
    now: datetime,
) -> tuple[Group, ...]:
    """The token groups of the criteria, the most selective kind first; ``base`` is the server's own FHIR base url."""
    usable = list(criteria)
    owner = _one_patient(usable, blind, base)
    planner = _Planner(values, blind, owner, base, now)
    made = [group for criterion in usable for group in planner.of(criterion)]
    made.sort(key=lambda group: group.rank)
    return tuple(group.tokens for group in made)


def compartment(type_: str, patient: bytes, blind: BlindIndex) -> Group:
    """The group that finds the records of one patient, by the patient's token."""
    return (blind.token(type_, COMPARTMENT, "patient", patient.hex()),)


def _one_patient(criteria: Iterable[Criterion], blind: BlindIndex, base: str) -> str:
    """The token, in hexadecimal, of the one patient whose records are asked for; empty if that can not be told."""
    for criterion in criteria:
        parameter = criterion.parameter
        if (
            parameter.code in _PATIENT
            and parameter.type == "reference"
            and len(criterion.values) == 1
        ):
            type_ = "Patient" if criterion.parameter.code == "patient" else criterion.modifier
            reference = local_reference(criterion.values[0], type_, base)
            if criterion.modifier in ("", "Patient") and reference.startswith("Patient/"):
                return blind.patient(reference).hex()
    return ""


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A group, and where it comes among others: the smaller, the more selective its kind."""

    tokens: Group
    rank: int


class _Planner:
    """Makes the groups of one search."""

    def __init__(
        self, values: ResourceValues, blind: BlindIndex, owner: str, base: str, now: datetime
    ) -> None:
        self._values = values
        self._blind = blind
        self._owner = owner
        self._base = base
        self._now = now

    def of(self, criterion: Criterion) -> Iterator[_Ranked]:
        if criterion.parameter.code == "_filter":
            yield from self._of_node(filter_of(criterion, self._values))
        elif criterion.parameter.component:
            yield from self._of_composite(criterion)
        elif criterion.parameter.code not in WHOLE:
            yield from self._of_one(criterion)

    def _of_one(self, criterion: Criterion) -> Iterator[_Ranked]:
        type_ = criterion.parameter.type
        if type_ not in _READERS or criterion.modifier in _NOT_NARROWED:
            return
        if not self._values.is_complete(criterion.parameter.code):
            return
        for owner, readers, rank in self._ways(criterion):
            terms = list(readers[type_](criterion, self._values, self._base, self._now))
            known = [term for term in terms if term is not None]
            if known and len(known) == len(terms):
                yield _Ranked(self._tokens(criterion, owner, known), rank)
                return

    def _ways(self, criterion: Criterion) -> Iterator[tuple[str, Mapping[str, "_Reader"], int]]:
        """By the tokens of the one patient, if there are such; then by those of everybody's records."""
        code, type_ = self._values.indexed_as(criterion.parameter.code), criterion.parameter.type
        only = within_patients(self._values, code, self._blind)
        if self._owner and (only or (code in SCOPED and type_ == "token")):
            yield self._owner, _READERS_WITHIN, -1
        if not only:
            yield "", _READERS, _RANK.index(type_)

    def _tokens(self, criterion: Criterion, owner: str, terms: Iterable[Term]) -> Group:
        name = scoped(self._values.indexed_as(criterion.parameter.code), owner)
        made = (self._blind.token(self._values.type_, name, *term) for term in terms)
        return tuple(dict.fromkeys(made))

    def _of_composite(self, criterion: Criterion) -> Iterator[_Ranked]:
        """For each component one group: every alternative needs its own part there."""
        [parts, *_] = self._values.parts(criterion.parameter).values()
        texts = [composite_texts(criterion, value, len(parts)) for value in criterion.values]
        for part, wanted in zip(parts, zip(*texts, strict=True), strict=True):
            if self._values.parameters.get(part.parameter.code) == part.parameter:
                yield from self._of_one(Criterion(part.parameter, "", wanted))

    def _of_node(self, node: Node) -> Iterator[_Ranked]:
        match node:
            case Leaf(criterion, unequal) if not unequal:
                yield from self.of(criterion)
            case Both(nodes):
                for each in nodes:
                    yield from self._of_node(each)
            case Either(nodes):
                several = [next(self._of_node(each), None) for each in nodes]
                known = [group for group in several if group is not None]
                if len(known) == len(several):
                    tokens = dict.fromkeys(token for group in known for token in group.tokens)
                    yield _Ranked(tuple(tokens), max(group.rank for group in known))


def _token(
    criterion: Criterion, values: ResourceValues, _: str, __: datetime
) -> Iterator[Term | None]:
    return _codes(criterion, plain=values.has_plain_codes(criterion.parameter))


def _token_within(
    criterion: Criterion, _: ResourceValues, __: str, ___: datetime
) -> Iterator[Term | None]:
    """Within one patient all codes lie without their systems."""
    return _codes(criterion, plain=True)


def _codes(criterion: Criterion, *, plain: bool) -> Iterator[Term | None]:
    if criterion.modifier in ("in", "above", "below"):
        concepts = asked_concepts(criterion)
        if not 0 < len(concepts) <= _MOST_CONCEPTS:
            yield None
        for system, code in concepts:
            yield ("code", code) if plain else ("both", f"{system}|{code}")
        return
    for value in criterion.values:
        if criterion.modifier == "of-type":
            yield "code", of_type(value)[2]
        else:
            yield _coded(criterion, value, plain=plain)


def _coded(criterion: Criterion, value: str, *, plain: bool) -> Term | None:
    system, code = split_token(value)
    if code == "false" and ".exists()" in criterion.parameter.expression:
        return (
            None  # "Patient.deceased": false also where nothing is said, which is not in the index
        )
    if code:
        return ("code", code) if plain or system is None else ("both", f"{system}|{code}")
    return None if plain or not system else ("system", system)


def _reference(
    criterion: Criterion, values: ResourceValues, base: str, _: datetime
) -> Iterator[Term | None]:
    parameter = criterion.parameter
    types = parameter.target if values.names_types(parameter.code) else ()
    for value in criterion.values:
        if criterion.modifier == "identifier":
            system, code = split_token(value)
            yield ("identifier", f"{system}|{code}") if system is not None and code else None
        else:
            type_ = "" if criterion.modifier in ("above", "below") else criterion.modifier
            reference = local_reference(split_canonical(value)[0], type_, base)
            yield "reference", reference
            if "/" not in reference:
                yield from (("reference", f"{each}/{reference}") for each in types)


def _string(
    criterion: Criterion, _: ResourceValues, __: str, ___: datetime
) -> Iterator[Term | None]:
    for value in criterion.values:
        found = words(unescape(value))
        yield ("prefix", word_prefix(max(found, key=len))) if found else None


def _uri(criterion: Criterion, _: ResourceValues, __: str, ___: datetime) -> Iterator[Term | None]:
    for value in criterion.values:
        if criterion.modifier not in _NARROWED_URI:
            yield None
        elif criterion.modifier == "above":
            yield from (("uri", above) for above in _above(unescape(value)))
        else:
            yield "uri", unescape(value)


def _above(uri: str) -> Iterator[str]:
    """The uri and every part of it that ends before or behind a slash."""
    yield uri
    for at, character in enumerate(uri):
        if character == "/":
            yield uri[:at]
            yield uri[: at + 1]


def _date(criterion: Criterion, _: ResourceValues, __: str, now: datetime) -> Iterator[Term | None]:
    for value in criterion.values:
        prefix, text = ("ap", value) if criterion.modifier == "overlaps" else split_prefix(value)
        span = interval(text)
        if prefix == "ap" and not criterion.modifier:
            span = widened(span, now)
        yield from _ranges(prefix, *days(span), cover)


def _amount(
    criterion: Criterion, _: ResourceValues, __: str, ___: datetime
) -> Iterator[Term | None]:
    for value in criterion.values:
        prefix, number, *_unit = asked_quantity(value)
        low, high = number.exact, number.exact
        if prefix == "eq":
            low, high = number.low[0], number.high[0]
        elif prefix == "ap":
            low, high = (bound[0] for bound in number.around())
        yield from _ranges(prefix, low, high, numbers.cover)


def _ranges(
    prefix: str, first: _T, last: _T, spread: Callable[[_T | None, _T | None], Iterator[str]]
) -> Iterator[Term | None]:
    """The buckets of what may stand in the relation ``prefix`` to the range from ``first`` to ``last``."""
    bounds: tuple[str, _T | None, _T | None]
    match prefix:
        case "ne":
            yield None
            return
        case "eq":
            bounds = ("start", first, last)
        case "ge" | "gt":
            bounds = ("end", first, None)
        case "sa":
            bounds = ("start", first, None)
        case "eb":
            bounds = ("end", None, last)
        case _:  # le, lt, ap
            bounds = ("start", None, last)
    kind, low, high = bounds
    for bucket in spread(low, high):
        yield "on", bucket
        yield kind, bucket


_Reader = Callable[[Criterion, ResourceValues, str, datetime], Iterator[Term | None]]
_READERS: dict[str, _Reader] = {
    "token": _token,
    "reference": _reference,
    "string": _string,
    "uri": _uri,
    "date": _date,
    "number": _amount,
    "quantity": _amount,
}
_READERS_WITHIN = {**_READERS, "token": _token_within}
