"""Numbers as ranges, and the buckets that find them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import InvalidParameterError
from fhir_server.search.numbers import (
    GREATEST,
    LEAST,
    Amount,
    asked_number,
    buckets_of,
    cover,
    place,
)

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("1e2", "95", "105"),
        ("1.0e2", "95", "105"),
        ("5.40e-3", "0.005395", "0.005405"),
        ("0", "-0.5", "0.5"),
        ("-5.4", "-5.45", "-5.35"),
    ],
)  # the standard's own examples are those with 100 and 5.40e-3 (R4 search, 3.1.1.4.6)
def test_a_number_means_what_rounds_to_it(text: str, low: str, high: str) -> None:
    number = asked_number(text)
    assert (number.low, number.high) == ((Decimal(low), 0), (Decimal(high), -1))


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.", ".5", "+1", "1,0", "1e", "1e1.5", "0x10", "NaN", "Infinity", "1_0", " 1", "1\n", "١",
     "1e1000", "9" * 41],
)  # fmt: skip
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterError):
        asked_number(text)


BELOW_5 = Amount(LEAST, (Decimal(5), -1))
UP_TO_5 = Amount(LEAST, (Decimal(5), 0))
ABOVE_5 = Amount((Decimal(5), 1), GREATEST)
FROM_5 = Amount((Decimal(5), 0), GREATEST)


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        (BELOW_5, {"ne", "lt", "le", "eb", "ap"}),
        (UP_TO_5, {"ne", "lt", "le", "ap"}),
        (ABOVE_5, {"ne", "gt", "ge", "sa", "ap"}),
        (FROM_5, {"ne", "gt", "ge", "ap"}),
        (Amount((Decimal(5), 0), (Decimal(5), 0)), {"eq", "ge", "le", "ap"}),
    ],
)
def test_a_comparator_leaves_its_end_in_or_out(value: Amount, holds: set[str]) -> None:
    asked = asked_number("5")
    prefixes = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
    assert {prefix for prefix in prefixes if asked.meets(prefix, value)} == holds


@given(NUMBERS, NUMBERS)
def test_a_greater_number_never_lies_in_a_lower_bucket(one: Decimal, other: Decimal) -> None:
    low, high = sorted((one, other))
    assert place(low) <= place(high)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_cover_holds_the_numbers_of_its_range(one: Decimal, two: Decimal, three: Decimal) -> None:
    low, middle, high = sorted((one, two, three))
    found = list(cover(low, high))
    assert set(buckets_of(place(middle))) & set(found)
    assert set(buckets_of(place(middle))) & set(cover(None, high))
    assert set(buckets_of(place(middle))) & set(cover(low, None))
    assert len(found) == len(set(found)) <= 63


@given(st.integers(-253, 253), st.integers(-253, 253), st.integers(-253, 253))
def test_a_cover_holds_no_bucket_outside_of_its_range(first: int, last: int, other: int) -> None:
    inside = bool(set(buckets_of(other)) & set(cover(number_in(first), number_in(last))))
    assert inside == (first <= other <= last)


def number_in(bucket: int) -> Decimal:
    """The least number, in size, of a fine bucket."""
    octave, quarter = divmod(abs(bucket) - 1, 4)
    size = Decimal(2) ** (octave - 20) * (4 + quarter) / 4 if bucket else Decimal(0)
    return size.copy_sign(bucket)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1e-999", "0.0000000001"])
def test_numbers_beyond_the_buckets_lie_in_the_last_or_with_zero(text: str) -> None:
    assert place(asked_number(text).exact) in (253, -253, 0)
    assert set(buckets_of(place(Decimal(text)))) & set(cover(Decimal(text), Decimal(text)))
