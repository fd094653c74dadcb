"""Invariants of R4's data types (datatypes.html, metadatatypes.html).

Each function tells whether the rule of that key holds for an element of its type; members of the wrong shape never reach it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from profiles.rules.members import UCUM, Json, chosen, distinct, has, objects, strings, texts

_PATH = re.compile(
    r"[^\s.,:;'\"/|?!@#$%&*()\[\]{}]{1,64}"
    r"(\.[^\s.,:;'\"/|?!@#$%&*()\[\]{}]{1,64}(\[x\])?(:[^\s.]+)?)*"
)
_SLICE = re.compile(r"[a-zA-Z0-9/\-_\[\]@]+")
_BINDABLE = frozenset({"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"})
_REFERRING = frozenset({"Reference", "canonical"})
_EVENTS = frozenset({"C", "CM", "CD", "CV"})
_TYPED = ("default", "fixed", "pattern", "example", "minValue", "maxValue")


def number(element: Json, name: str) -> Decimal | int | float | None:
    """A number, or None."""
    found = element.get(name)
    return found if isinstance(found, (int, float, Decimal)) and found is not True else None


def _at_least(element: Json, name: str, least: int) -> bool:
    found = number(element, name)
    return found is None or found >= least


def _ucum(element: Json) -> bool:
    """A code wherever there is a value, and no system but UCUM."""
    coded = has(element, "code") or not has(element, "value")
    return coded and element.get("system", UCUM) == UCUM


def _age(element: Json) -> bool:
    value = number(element, "value")
    return _ucum(element) and (value is None or value > 0)


def _count(element: Json) -> bool:
    whole = "." not in str(element.get("value", ""))
    return _ucum(element) and element.get("code", "1") == "1" and whole


def _duration(element: Json) -> bool:
    return not has(element, "code") or (element.get("system") == UCUM and has(element, "value"))


def _period(element: Json) -> bool:
    start, end = element.get("start"), element.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    return not_after(start, end)


def not_after(start: str, end: str) -> bool:
    """Whether a dateTime is not after another; True where their precisions leave it open (FHIRPath ``<=``)."""
    if "T" in start and "T" in end:
        first, second = _instant(start), _instant(end)
        return first is None or second is None or first <= second
    shorter = min(len(start.partition("T")[0]), len(end.partition("T")[0]))
    return start[:shorter] <= end[:shorter]


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _range(element: Json) -> bool:
    bounds = [objects(element, name) for name in ("low", "high")]
    if not all(bounds):
        return True
    (low, *_), (high, *_) = bounds
    if any(low.get(name) != high.get(name) for name in ("system", "code", "unit")):
        return True  # amounts in different units are not compared
    least, most = number(low, "value"), number(high, "value")
    return least is None or most is None or least <= most


def _ratio(element: Json) -> bool:
    both = has(element, "numerator") == has(element, "denominator")
    return both and has(element, "numerator", "extension")


def _trigger(element: Json) -> bool:
    type_ = str(element.get("type", ""))
    named = type_ != "named-event" or has(element, "name")
    timed = type_ != "periodic" or bool(chosen(element, "timing"))
    return named and timed and (not type_.startswith("data-") or has(element, "data"))


def _sound_bounds(element: Json) -> bool:
    least, most = number(element, "min"), element.get("max")
    if least is None or not isinstance(most, str) or not most.isdigit():
        return True
    return least <= int(most)


def _bound_type(element: Json) -> bool:
    codes = texts(objects(element, "type"), "code")
    return not has(element, "binding") or not codes or bool(_BINDABLE.intersection(codes))


def _offset(element: Json) -> bool:
    if not has(element, "offset"):
        return True
    return has(element, "when") and not _EVENTS.intersection(strings(element, "when"))


def _referring(element: Json) -> bool:
    return element.get("code") in _REFERRING


def _matches(pattern: re.Pattern[str], element: Json, name: str) -> bool:
    return all(pattern.fullmatch(text) for text in strings(element, name))


def _canonical(element: Json) -> bool:
    found = strings(element, "valueSet")
    return all(text.startswith(("http:", "https", "urn:", "#")) for text in found)


HOLDS: Mapping[str, Callable[[Json], bool]] = {
    "age-1": _age,
    "att-1": lambda e: not has(e, "data") or has(e, "contentType"),
    "cpt-2": lambda e: not has(e, "value") or has(e, "system"),
    "cnt-3": _count,
    "drq-1": lambda e: has(e, "path") != has(e, "searchParam"),
    "drq-2": lambda e: has(e, "path") != has(e, "searchParam"),
    "dis-1": _ucum,
    "drt-1": _duration,
    "eld-1": lambda e: has(e, "discriminator", "description"),
    "eld-2": _sound_bounds,
    "eld-4": lambda e: not has(e, "aggregation") or _referring(e),
    "eld-5": lambda e: (
        not has(e, "contentReference")
        or not (has(e, "type", "maxLength", "binding") or any(chosen(e, n) for n in _TYPED))
    ),
    "eld-6": lambda e: not chosen(e, "fixed") or len(objects(e, "type")) <= 1,
    "eld-7": lambda e: not chosen(e, "pattern") or len(objects(e, "type")) <= 1,
    "eld-8": lambda e: not chosen(e, "pattern") or not chosen(e, "fixed"),
    "eld-11": _bound_type,
    "eld-12": _canonical,
    "eld-13": lambda e: distinct(texts(objects(e, "type"), "code")),
    "eld-14": lambda e: distinct(texts(objects(e, "constraint"), "key")),
    "eld-15": lambda e: not chosen(e, "defaultValue") or not has(e, "meaningWhenMissing"),
    "eld-16": lambda e: _matches(_SLICE, e, "sliceName"),
    "eld-17": lambda e: _referring(e) or not has(e, "targetProfile"),
    "eld-18": lambda e: e.get("isModifier") is not True or has(e, "isModifierReason"),
    "eld-19": lambda e: _matches(_PATH, e, "path"),
    "eld-22": lambda e: not has(e, "sliceIsConstraining") or has(e, "sliceName"),
    "exp-1": lambda e: has(e, "expression", "reference"),
    "per-1": _period,
    "qty-3": lambda e: not has(e, "code") or has(e, "system"),
    "rat-1": _ratio,
    "rng-2": _range,
    "tim-1": lambda e: not has(e, "duration") or has(e, "durationUnit"),
    "tim-2": lambda e: not has(e, "period") or has(e, "periodUnit"),
    "tim-4": lambda e: _at_least(e, "duration", 0),
    "tim-5": lambda e: _at_least(e, "period", 0),
    "tim-6": lambda e: not has(e, "periodMax") or has(e, "period"),
    "tim-7": lambda e: not has(e, "durationMax") or has(e, "duration"),
    "tim-8": lambda e: not has(e, "countMax") or has(e, "count"),
    "tim-9": _offset,
    "tim-10": lambda e: not has(e, "timeOfDay") or not has(e, "when"),
    "trd-1": lambda e: not has(e, "data") or not chosen(e, "timing"),
    "trd-2": lambda e: not has(e, "condition") or has(e, "data"),
    "trd-3": _trigger,
}
