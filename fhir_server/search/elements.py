"""What an element offers to a search parameter of each type (R4 search, 3.1.1.4.6 to 3.1.1.4.14).

token: Coding, CodeableConcept, Identifier, ContactPoint, and what has no system of its own (code, boolean, string, uri);
a code carries the value set that it is bound to, which implies its system.  reference: Reference (literal or logical),
canonical (with its version apart), uri.  date: date, dateTime, instant, Period, Timing (its outer limits).  string:
string, markdown, HumanName and Address part by part.  number and quantity: decimal, integer, Quantity and what is
derived from it, Money (its currency is a code of ISO 4217), Range, SampledData.  An Extension offers its value.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial

from fhir_server.errors import InvalidParameterError
from fhir_server.search.dates import FOREVER, NEVER, Interval, interval
from fhir_server.search.numbers import GREATEST, LEAST, Amount, Bound
from profiles.fhirpath import Branch

Json = Mapping[str, object]
_CURRENCIES = "urn:iso:std:iso:4217"
_MOST_EXPONENT = 400  # no double has a larger one
_NOT_READ = frozenset({"use", "period", "type", "id", "extension"})


@dataclass(frozen=True, slots=True)
class TokenValue:
    """A coded value.

    Attributes:
        system: Empty for none.
        texts: What a person reads: text, display, the text of an identifier's type.
        types: System and code of an identifier's type.
        plain: Whether the element has no place for a system.
        binding: The value set that a ``code`` is bound to; it implies the system.
    """

    system: str
    code: str
    texts: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    plain: bool = False
    binding: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A reference: ``Type/id`` or an absolute url; or only a logical identifier; ``version`` is that of a canonical."""

    reference: str
    identifier: TokenValue | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """A place on Earth, in degrees (WGS84)."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Tuple:
    """One occurrence of a composite: the values of each of its components."""

    parts: tuple[tuple["Value", ...], ...]


Value = TokenValue | ReferenceValue | Interval | Amount | Position | Tuple | str
Reader = Callable[[Branch, object], Iterator[Value]]


def reader_of(type_: str, branch: Branch) -> Reader:
    """What reads the values that an element found by ``branch`` offers to a parameter of ``type_``."""
    return partial(_extension, type_) if branch.type == "Extension" else READERS[type_]


def _extension(type_: str, branch: Branch, node: object) -> Iterator[Value]:
    for name, value in node.items() if isinstance(node, dict) else ():
        if name.startswith("value"):
            kind = name[5:] if isinstance(value, dict) else name[5:6].lower() + name[6:]
            yield from READERS[type_](Branch(branch.steps, kind), value)


def _tokens(branch: Branch, node: object) -> Iterator[Value]:
    if isinstance(node, dict):
        match branch.type:
            case "CodeableConcept":
                yield from _concept(node)
            case "Coding":
                yield _coding(node, ())
            case "Identifier":
                yield _identifier(node)
            case "ContactPoint":
                yield TokenValue("", _text(node.get("value")), plain=True)
            case _:
                return
    elif isinstance(node, bool):
        yield TokenValue("", "true" if node else "false", plain=True)
    else:
        yield TokenValue("", str(node), plain=True, binding=branch.codes)


def _concept(node: Json) -> Iterator[Value]:
    text = _text(node.get("text"))
    texts = (text,) if text else ()
    codings = _dicts(node.get("coding"))
    if texts and not codings:
        yield TokenValue("", "", texts)
    for coding in codings:
        yield _coding(coding, texts)


def _coding(node: Json, texts: tuple[str, ...]) -> TokenValue:
    display = _text(node.get("display"))
    return TokenValue(
        _text(node.get("system")), _text(node.get("code")), (*texts, display) if display else texts
    )


def _identifier(node: Json) -> TokenValue:
    type_ = node.get("type")
    kind: Json = type_ if isinstance(type_, dict) else {}
    text = _text(kind.get("text"))
    types = tuple(
        (_text(c.get("system")), _text(c.get("code"))) for c in _dicts(kind.get("coding"))
    )
    return TokenValue(
        _text(node.get("system")), _text(node.get("value")), (text,) if text else (), types
    )


def _references(branch: Branch, node: object) -> Iterator[Value]:
    if isinstance(node, str):
        url, _, version = node.partition("|") if branch.type == "canonical" else (node, "", "")
        if url and not url.startswith("#"):
            yield ReferenceValue(url, version=version)
    elif isinstance(node, dict) and branch.type == "Resource":
        if node.get("id"):
            yield ReferenceValue(f"{_text(node.get('resourceType'))}/{_text(node.get('id'))}")
    elif isinstance(node, dict) and branch.type == "Reference":
        identifier = node.get("identifier")
        logical = _identifier(identifier) if isinstance(identifier, dict) else None
        reference = _text(node.get("reference")).partition("/_history/")[0]
        if logical or (reference and not reference.startswith("#")):
            yield ReferenceValue(reference, logical)


def _dates(branch: Branch, node: object) -> Iterator[Value]:
    found = list(_intervals(branch.type, node))
    if branch.type == "Timing" and len(found) > 1:  # only the outer limits matter (3.1.1.4.7)
        shift = found[0].shift if len({i.shift for i in found}) == 1 else 0
        yield Interval(min(i.low for i in found), max(i.high for i in found), shift)
    else:
        yield from found


def _intervals(type_: str, node: object) -> Iterator[Interval]:
    if isinstance(node, str):
        with suppress(InvalidParameterError):  # validated on write, unless stored leniently
            yield interval(node)
    elif isinstance(node, dict):
        if type_ == "Timing":
            events = node.get("event")
            for event in events if isinstance(events, list) else ():
                yield from _intervals("dateTime", event)
            repeat = node.get("repeat")
            node = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
        if isinstance(node, dict) and (node.get("start") or node.get("end")):
            with suppress(InvalidParameterError):
                yield _period(node)


def _period(node: Json) -> Interval:
    start, end = node.get("start"), node.get("end")
    low = interval(str(start)) if start else Interval(NEVER, NEVER)
    high = interval(str(end)) if end else Interval(FOREVER, FOREVER)
    return Interval(low.low, high.high, low.shift if low.shift == high.shift else 0)


def _strings(branch: Branch, node: object) -> Iterator[Value]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict) and branch.type in ("HumanName", "Address"):
        for key, part in node.items():
            if key not in _NOT_READ and not key.startswith("_"):
                parts = part if isinstance(part, list) else [part]
                yield from (p for p in parts if isinstance(p, str))


def _uris(branch: Branch, node: object) -> Iterator[Value]:
    if isinstance(node, str):
        yield node
        if branch.type == "canonical" and "|" in node:  # found with and without its version
            yield node.partition("|")[0]


def _amounts(branch: Branch, node: object) -> Iterator[Value]:
    if not isinstance(node, dict):
        number = _number(node)
        if number is not None:
            yield Amount((number, 0), (number, 0))
    elif branch.type == "Range":
        low, high = _quantity(node.get("low")), _quantity(node.get("high"))
        told = low or high
        if told:
            ends = (low.low if low else LEAST, high.high if high else GREATEST)
            yield Amount(*ends, told.system, told.code, told.unit)
    elif branch.type == "SampledData":
        yield from _sampled(node)
    else:
        quantity = _quantity(node)
        if quantity:
            yield quantity


def _quantity(node: object) -> Amount | None:
    number = _number(node.get("value")) if isinstance(node, dict) else None
    if number is None or not isinstance(node, dict):
        return None
    if "currency" in node:
        currency = _text(node["currency"])
        return Amount((number, 0), (number, 0), _CURRENCIES, currency, currency)
    low, high = _compared(number, node.get("comparator"))
    return Amount(
        low, high, _text(node.get("system")), _text(node.get("code")), _text(node.get("unit"))
    )


def _compared(number: Decimal, comparator: object) -> tuple[Bound, Bound]:
    match comparator:
        case "<":
            return LEAST, (number, -1)
        case "<=":
            return LEAST, (number, 0)
        case ">":
            return (number, 1), GREATEST
        case ">=":
            return (number, 0), GREATEST
        case _:
            return (number, 0), (number, 0)


def _sampled(node: Json) -> Iterator[Value]:
    """From the least to the greatest sample; ``E`` is none, ``L`` and ``U`` lie beyond the limits of detection."""
    origin, factor = _quantity(node.get("origin")), _number(node.get("factor", 1))
    if origin is None or factor is None:
        return
    samples = _text(node.get("data")).split()
    numbers = [n for n in (_number(s) for s in samples if s not in "ELU") if n is not None]
    found = [origin.low[0] + n * factor for n in numbers if abs(n.adjusted()) < _MOST_EXPONENT]
    ends: list[Bound] = [(min(found), 0), (max(found), 0)] if found else []
    ends += [LEAST] * ("L" in samples) + [GREATEST] * ("U" in samples)
    if ends:
        yield Amount(min(ends), max(ends), origin.system, origin.code, origin.unit)


def _number(node: object) -> Decimal | None:
    """A JSON number; one that was remembered as text, too (``values.pack``)."""
    if isinstance(node, bool) or not isinstance(node, int | str | float | Decimal):
        return None
    try:
        number = Decimal(str(node) if isinstance(node, float) else node)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _positions(_: Branch, node: object) -> Iterator[Value]:
    if isinstance(node, dict):
        latitude, longitude = _number(node.get("latitude")), _number(node.get("longitude"))
        if latitude is not None and longitude is not None:
            yield Position(float(latitude), float(longitude))


READERS: Mapping[str, Reader] = {
    "token": _tokens,
    "reference": _references,
    "date": _dates,
    "string": _strings,
    "uri": _uris,
    "number": _amounts,
    "quantity": _amounts,
    "special": _positions,
}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _dicts(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
