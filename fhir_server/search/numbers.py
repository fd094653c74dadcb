"""Numbers and quantities as ranges, and the buckets under which the blind index keeps them (R4 search, 3.1.1.4.6).

A value in a resource is exact: a point, unless it is a Range, SampledData or has a comparator (``< 5`` is everything
below 5).  A value that is searched for means all numbers that round to it: ``100`` is [99.5, 100.5).  In exponential
form a whole mantissa counts as one with one decimal, as the standard's own examples have it: ``1e2`` is [95, 105).
``gt lt ge le sa eb`` take it exactly; ``ap`` means a tenth of it to both sides.

Buckets: the numbers between 2**-20 and 2**43 lie in four buckets an octave, each a fifth of its numbers wide; what is
smaller is with zero, what is larger with the last.  A range of numbers becomes at most 63 buckets, sixteen to a coarse one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from math import frexp

from fhir_server.errors import InvalidParameterError

Bound = tuple[
    Decimal, int
]  # a number, and whether just below it (-1), it (0), or just above it (1)
LEAST: Bound = (Decimal("-Infinity"), 0)
GREATEST: Bound = (Decimal("Infinity"), 0)

_NUMBER = re.compile(r"(-?\d{1,40})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
_EXACT = Context(prec=400)  # more digits than two of the above can have between them
_TINY, _HUGE = 2.0**-20, 2.0**43
_COARSE = 16
_FIRST, _LAST = -16 * _COARSE, 16 * _COARSE - 1


@dataclass(frozen=True, slots=True)
class Amount:
    """The numbers that a number or quantity may mean, bounds included, and its unit.

    Attributes:
        system: Of the unit's code, or of a currency; empty for none.
        unit: What a person reads.
    """

    low: Bound
    high: Bound
    system: str = ""
    code: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class AskedNumber:
    """A number that is searched for: itself, and the range of what rounds to it."""

    exact: Decimal
    low: Bound
    high: Bound

    def meets(self, prefix: str, value: Amount) -> bool:
        """Whether ``value`` stands in the relation ``prefix`` to this number (R4 search, 3.1.1.4.5)."""
        at = (self.exact, 0)
        match prefix:
            case "eq":
                return self.low <= value.low and value.high <= self.high
            case "ne":
                return not (self.low <= value.low and value.high <= self.high)
            case "gt":
                return value.high > at
            case "lt":
                return value.low < at
            case "ge":
                return value.high > at or value.low == value.high == at
            case "le":
                return value.low < at or value.low == value.high == at
            case "sa":
                return value.low > at
            case "eb":
                return value.high < at
            case _:  # ap
                low, high = self.around()
                return value.low <= high and value.high >= low

    def around(self) -> tuple[Bound, Bound]:
        """``ap``: a tenth of the number to both sides, or what rounds to it if that is more."""
        tenth = _EXACT.divide(_EXACT.abs(self.exact), Decimal(10))
        low = (_EXACT.subtract(self.exact, tenth), 0)
        return min(low, self.low), max((_EXACT.add(self.exact, tenth), 0), self.high)


def asked_number(text: str) -> AskedNumber:
    """Read a number as it stands in a search, without prefix.

    Raises:
        InvalidParameterError: It is not one, or has more than 40 digits before or after the point.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise InvalidParameterError("a number must look like 100, -5.40 or 1.5e3")
    _whole, fraction, exponent = match.groups()
    places = len(fraction) if fraction else int(exponent is not None)
    half = Decimal((0, (5,), int(exponent or 0) - places - 1))
    exact = Decimal(text)
    return AskedNumber(exact, (_EXACT.subtract(exact, half), 0), (_EXACT.add(exact, half), -1))


def place(number: Decimal) -> int:
    """The fine bucket of a number; a greater number never lies in a lower one."""
    size = abs(float(number))
    if size < _TINY:
        return 0
    mantissa, exponent = frexp(min(size, _HUGE))
    at = 1 + 4 * (exponent + 19) + int(8 * mantissa) - 4
    return at if number > 0 else -at


def buckets_of(at: int) -> Iterator[str]:
    """The names of a fine bucket and of the coarse one around it."""
    yield f"0:{at}"
    yield f"1:{at // _COARSE}"


def cover(first: Decimal | None, last: Decimal | None) -> Iterator[str]:
    """The fewest buckets that hold the numbers ``first`` to ``last``, both included; None for no bound."""
    low = _FIRST if first is None else place(first)
    high = _LAST if last is None else place(last)
    while low <= high:
        if low % _COARSE == 0 and low + _COARSE - 1 <= high:
            yield f"1:{low // _COARSE}"
            low += _COARSE
        else:
            yield f"0:{low}"
            low += 1
