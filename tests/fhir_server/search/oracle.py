"""A plain reading of R4 search, for tests: one resource, one parameter, one value at a time, without any index.

Written from the standard and not from the server: dates are ``datetime``, numbers ``Fraction``; whether two ranges of
numbers stand in a relation is asked of sample points on all sides of their ends.  It knows what the tests ask, no more.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

Json = dict[str, Any]
Holds = Callable[[Fraction], bool]
EPSILON = Fraction(1, 10**60)
FAR = Fraction(10**400)  # farther than any number that is searched for


# --- numbers and quantities -------------------------------------------------------------------------------------------


def rounding(text: str) -> tuple[Fraction, Fraction]:
    """What rounds to ``text``: first number in, first number out."""
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    if exponent and not decimals:
        decimals = 1
    half = Fraction(10) ** (int(exponent or 0) - decimals) / 2
    return Fraction(text) - half, Fraction(text) + half


def _points(ends: list[Fraction]) -> list[Fraction]:
    near = [point + shift for point in ends for shift in (-EPSILON, Fraction(0), EPSILON)]
    between = [(a + b) / 2 for a in ends for b in ends]
    return [-FAR, FAR, *near, *between]


def number_is(prefix: str, text: str, ends: list[Fraction], inside: Holds) -> bool:
    """Whether the numbers for which ``inside`` holds, between ``ends``, stand in a relation to the number ``text``."""
    exact, (low, high) = Fraction(text), rounding(text)
    tenth = abs(exact) / 10
    points = _points([*ends, exact, low, high, exact - tenth, exact + tenth])
    mine = [point for point in points if inside(point)]
    within = all(low <= point < high for point in mine)
    match prefix:
        case "" | "eq":
            return within
        case "ne":
            return not within
        case "gt":
            return any(point > exact for point in mine)
        case "lt":
            return any(point < exact for point in mine)
        case "ge":
            return any(p > exact for p in mine) or all(p == exact for p in mine)
        case "le":
            return any(p < exact for p in mine) or all(p == exact for p in mine)
        case "sa":
            return all(point > exact for point in mine)
        case "eb":
            return all(point < exact for point in mine)
        case _:  # ap
            return any(abs(point - exact) <= tenth or low <= point < high for point in mine)


def quantity_range(node: Json) -> tuple[list[Fraction], Holds] | None:
    """The numbers that a Quantity, Range, SampledData or Money means."""
    if "data" in node:
        return _sampled(node)
    if "low" in node or "high" in node:
        low = Fraction(node["low"]["value"]) if "low" in node else None
        high = Fraction(node["high"]["value"]) if "high" in node else None
        return [
            e for e in (low, high) if e is not None
        ], lambda n: (low is None or n >= low) and (high is None or n <= high)
    if "value" not in node:
        return None
    value = Fraction(node["value"])
    tests: dict[str, Holds] = {
        "": lambda n: n == value,
        "<": lambda n: n < value,
        "<=": lambda n: n <= value,
        ">": lambda n: n > value,
        ">=": lambda n: n >= value,
    }
    return [value], tests[node.get("comparator", "")]


def _sampled(node: Json) -> tuple[list[Fraction], Holds] | None:
    origin, factor = Fraction(node["origin"]["value"]), Fraction(node.get("factor", 1))
    samples = node["data"].split()
    found = [origin + Fraction(s) * factor for s in samples if s not in "EUL"]
    if not found and not {"U", "L"} & set(samples):
        return None
    below = "L" in samples
    above = "U" in samples
    if not found:
        return [], lambda n: True if below and above else n >= FAR if above else n <= -FAR
    return found, lambda n: (below or n >= min(found)) and (above or n <= max(found))


def unit_is(node: Json, system: str | None, code: str) -> bool:
    """Whether the unit is the one asked for; None as system: none was asked for."""
    if "currency" in node:
        node = {"system": "urn:iso:std:iso:4217", "code": node["currency"]}
    node = node.get("origin") or node.get("low") or node.get("high") or node
    if system is None:
        return True
    if system:
        return node.get("system") == system and (not code or node.get("code") == code)
    return not code or code in (node.get("code"), node.get("unit"))


def quantity_is(prefix: str, text: str, unit: tuple[str | None, str], node: Json) -> bool:
    """Whether one quantity element is what is asked for."""
    found = quantity_range(node)
    return (
        found is not None and unit_is(node, *unit) and number_is(prefix, text, found[0], found[1])
    )


# --- dates ------------------------------------------------------------------------------------------------------------

Span = tuple[datetime, datetime]


def span(text: str) -> Span:
    """All instants that a date may mean: first in, first out."""
    if "T" in text:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
        clock = text[11:].replace("Z", "").split("+")[0].split("-")[0]
        if "." in clock:
            return at, at + timedelta(milliseconds=1)
        return at, at + (timedelta(minutes=1) if clock.count(":") == 1 else timedelta(seconds=1))
    parts = [int(part) for part in text.split("-")]
    low = datetime(*[*parts, 1, 1][:3], tzinfo=UTC)  # type: ignore[misc,arg-type]
    if len(parts) == 1:
        return low, low.replace(year=low.year + 1)
    if len(parts) == 2:
        return low, (low + timedelta(days=32)).replace(day=1)
    return low, low + timedelta(days=1)


def date_is(prefix: str, asked: str, node: object, now: datetime) -> bool:
    """Whether a date or Period element stands in a relation to the date asked for."""
    want = span(asked)
    if prefix == "ap":
        tenth = abs(now - want[0]) / 10
        want = want[0] - tenth, want[1] + tenth
    spans = _spans(node, by_day="T" not in asked)
    if prefix == "ne":
        return not any(_relation("eq", mine, want) for mine in spans)
    return any(_relation(prefix, mine, want) for mine in spans)


def _spans(node: object, *, by_day: bool) -> Iterator[Span]:
    if isinstance(node, dict):
        long_ago = datetime(2, 1, 1, tzinfo=UTC)
        far_off = datetime(9990, 1, 1, tzinfo=UTC)
        yield (
            span(node["start"])[0] if "start" in node else long_ago,
            span(node["end"])[1] if "end" in node else far_off,
        )
        return
    low, high = span(str(node))
    yield low, high
    if by_day and "T" in str(node):  # where the writer's own clock had it
        yield low.replace(tzinfo=UTC), high.replace(tzinfo=UTC)


def _relation(prefix: str, mine: Span, want: Span) -> bool:
    within = want[0] <= mine[0] and mine[1] <= want[1]
    match prefix:
        case "" | "eq":
            return within
        case "gt":
            return mine[1] > want[1]
        case "lt":
            return mine[0] < want[0]
        case "ge":
            return mine[1] > want[1] or within
        case "le":
            return mine[0] < want[0] or within
        case "sa":
            return mine[0] >= want[1]
        case "eb":
            return mine[1] <= want[0]
        case _:  # ap and po: they overlap
            return mine[0] < want[1] and want[0] < mine[1]


# --- texts ------------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Without case, accents, and with single spaces."""
    found = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in found if not unicodedata.combining(c)).casefold().split())


def string_is(modifier: str, want: str, have: str) -> bool:
    """``""`` (a word begins so), ``exact``, ``contains``; and ``eq sw ew co`` of ``_filter``."""
    mine, asked = plain(have), plain(want)
    tests = {
        "": f" {asked}" in f" {mine}",
        "exact": have == want,
        "contains": asked in mine,
        "co": asked in mine,
        "eq": asked == mine,
        "sw": mine.startswith(asked),
        "ew": mine.endswith(asked),
    }
    return tests[modifier]


def text_words(text: str) -> set[str]:
    """The words of a text."""
    return set("".join(c if c.isalnum() else " " for c in plain(text)).split())


# --- codes ------------------------------------------------------------------------------------------------------------


def codings(node: object) -> list[tuple[str, str]]:
    """(system, code) of each coding of a CodeableConcept, Coding, Identifier or plain value."""
    if isinstance(node, dict):
        parts = node.get("coding", [node] if "coding" not in node and "text" not in node else [])
        return [(p.get("system", ""), p.get("code", p.get("value", ""))) for p in parts]
    return [("", {True: "true", False: "false"}.get(node, str(node)) if isinstance(node, bool) else str(node))]  # fmt: skip


def coding_is(system: str | None, code: str, have: tuple[str, str]) -> bool:
    """``code`` (None as system), ``system|code``, ``|code``, ``system|``."""
    if system is not None and have[0] != system:
        return False
    return have[1] == code if code else bool(system)


def reference_is(type_: str, want: str, node: Json, base: str) -> bool:
    """Whether a Reference points at ``want``: an id, ``Type/id`` or an absolute url."""
    literal = node.get("reference", "").removeprefix(f"{base}/").split("/_history/")[0]
    want = want.removeprefix(f"{base}/").split("/_history/")[0]
    if "/" in want:
        return bool(literal == want)
    if type_:
        return bool(literal == f"{type_}/{want}")
    return bool(literal) and literal.split("/")[-1] == want


# --- places -----------------------------------------------------------------------------------------------------------


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The distance of two places (latitude, longitude in degrees), by the spherical law of cosines."""
    north, south = math.radians(a[0]), math.radians(b[0])
    east = math.radians(a[1] - b[1])
    angle = math.sin(north) * math.sin(south) + math.cos(north) * math.cos(south) * math.cos(east)
    return 6_371_008.8 * math.acos(max(-1.0, min(1.0, angle)))
