"""From criteria to token groups: what the blind index is asked before anything is opened.

Every group gives a superset of what its criterion means; a criterion that the index cannot narrow (``:not``,
``:missing``, ``:contains``, ``ne``) gives none and is left to the exact check.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.criteria import Criterion, split_prefix, split_token, unescape
from fhir_server.search.dates import Interval, cover, days, interval
from fhir_server.search.tokens import COMPARTMENT, SCOPED, scoped, word_prefix
from fhir_server.search.values import ResourceValues, words

Group = tuple[bytes, ...]
_PATIENT = frozenset({"patient", "subject"})
_RANK = {"reference": 0, "uri": 1, "token": 2, "string": 3, "date": 4}


def groups(
    values: ResourceValues,
    criteria: Iterable[Criterion],
    blind: BlindIndex,
    base: str,
    now: datetime,
) -> tuple[Group, ...]:
    """The token groups of the criteria, the most selective kind first; ``base`` is the server's own FHIR base url."""
    usable = [c for c in criteria if c.modifier not in ("not", "missing", "contains")]
    owner = _one_patient(usable, blind, base)
    ranked = sorted(usable, key=lambda c: (not (owner and _is_scoped(c)), _RANK[c.parameter.type]))
    made = []
    for criterion in ranked:
        name = scoped(criterion.parameter.code, owner if _is_scoped(criterion) else "")
        terms = list(_terms(criterion, base, now))
        if terms and None not in terms:
            tokens = (blind.token(values.type_, name, *term) for term in terms if term is not None)
            made.append(tuple(dict.fromkeys(tokens)))
    return tuple(made)


def _one_patient(criteria: Iterable[Criterion], blind: BlindIndex, base: str) -> str:
    """The token, in hexadecimal, of the one patient whose records are asked for; empty if that can not be told."""
    for criterion in criteria:
        if criterion.parameter.code in _PATIENT and len(criterion.values) == 1:
            type_ = "Patient" if criterion.parameter.code == "patient" else criterion.modifier
            reference = local_reference(criterion.values[0], type_, base)
            if criterion.modifier in ("", "Patient") and reference.startswith("Patient/"):
                return blind.patient(reference).hex()
    return ""


def _is_scoped(criterion: Criterion) -> bool:
    return criterion.parameter.code in SCOPED and criterion.parameter.type == "token"


def compartment(type_: str, patient: bytes, blind: BlindIndex) -> Group:
    """The group that finds the records of one patient, by the patient's token."""
    return (blind.token(type_, COMPARTMENT, "patient", patient.hex()),)


def _terms(criterion: Criterion, base: str, now: datetime) -> Iterator[tuple[str, str] | None]:
    """(kind, text) of each token; None where an alternative cannot be narrowed."""
    read = _READERS[criterion.parameter.type]
    for value in criterion.values:
        yield from read(criterion, value, base, now)


def _token(
    criterion: Criterion, value: str, __: str, ___: datetime
) -> Iterator[tuple[str, str] | None]:
    system, code = split_token(value)
    if code == "false" and ".exists()" in criterion.parameter.expression:
        yield None  # "Patient.deceased": false also where nothing is said, which is not in the index
    elif system is None:
        yield "code", code
    elif code:
        yield "both", f"{system}|{code}"
    else:
        yield "system", system


def _reference(
    criterion: Criterion, value: str, base: str, _: datetime
) -> Iterator[tuple[str, str] | None]:
    if criterion.modifier == "identifier":
        system, code = split_token(value)
        yield ("identifier", f"{system}|{code}") if system is not None and code else None
    else:
        yield "reference", local_reference(value, criterion.modifier, base)


def local_reference(value: str, type_: str, base: str) -> str:
    """A reference as the index keeps it: relative if it is ours, with the type that the modifier names."""
    reference = unescape(value).removeprefix(f"{base}/").partition("/_history/")[0]
    return f"{type_}/{reference}" if type_ and "/" not in reference else reference


def _string(_: Criterion, value: str, __: str, ___: datetime) -> Iterator[tuple[str, str] | None]:
    found = words(unescape(value))
    yield ("prefix", word_prefix(max(found, key=len))) if found else None


def _uri(_: Criterion, value: str, __: str, ___: datetime) -> Iterator[tuple[str, str] | None]:
    yield "uri", unescape(value)


def _date(_: Criterion, value: str, __: str, now: datetime) -> Iterator[tuple[str, str] | None]:
    prefix, text = split_prefix(value)
    span = interval(text)
    if prefix == "ap":
        span = widened(span, now)
    first, last = days(span)
    bounds: tuple[str, int | None, int | None]
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
    for bucket in cover(low, high):
        yield "on", bucket
        yield kind, bucket


def widened(span: Interval, now: datetime) -> Interval:
    """``ap``: a tenth of the time between then and now, to both sides (R4 search, 3.1.1.4.7)."""
    tenth = abs(int(now.timestamp() * 1000) - span.low) // 10
    return Interval(span.low - tenth, span.high + tenth, span.shift, span.by_day)


_READERS: dict[str, Callable[[Criterion, str, str, datetime], Iterator[tuple[str, str] | None]]] = {
    "token": _token,
    "reference": _reference,
    "string": _string,
    "uri": _uri,
    "date": _date,
}
