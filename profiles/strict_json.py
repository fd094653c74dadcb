"""JSON as FHIR allows it (R4 json.html; RFC 8259): read strictly, with decimals as they were written.

Refused: duplicate member names, ``NaN`` and ``Infinity``, lone surrogates, a byte order mark inside, other encodings than
UTF-8, nesting deeper than 64, numbers that no double holds.  Numbers with a fraction or exponent become ``Decimal``,
which keeps trailing zeros.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from profiles.errors import JsonError

MAX_DEPTH = 64
_MOST_DIGITS = 300  # of an integer, so that it fits a double
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SPACE = re.compile(r"[ \t\r\n]*")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise JsonError("a member name occurs twice in one object")
    return made


def _constant(name: str) -> object:
    raise JsonError(f"{name} is not JSON")


def _decimal(text: str) -> Decimal:
    if math.isinf(float(text)):  # other readers would refuse what we had stored
        raise JsonError("a number is too large")
    return Decimal(text)


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise JsonError("a number is too large")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_decimal,
    parse_int=_integer,
    parse_constant=_constant,
)


def decode(body: bytes) -> str:
    """The text of a UTF-8 body; a byte order mark at its beginning is taken off.

    Raises:
        JsonError: It is not UTF-8.
    """
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JsonError(f"the body is not UTF-8 at byte {error.start}") from error


def read(text: str) -> object:
    """Read one JSON value and nothing behind it.

    Raises:
        JsonError: The text is not JSON as FHIR allows it; the message says where.
    """
    start = _skip(text, 0)
    value, end = read_value(text, start)
    if _skip(text, end) != len(text):
        raise JsonError(f"unexpected text after the end, {_place(text, end)}")
    check_depth(value)
    if _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def read_value(text: str, start: int) -> tuple[object, int]:
    """Read the value that begins at ``start``; return it and the place behind it.  Depth is not checked.

    Raises:
        JsonError: There is no JSON value.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise JsonError(f"not JSON: {error.msg}, {_place(text, error.pos)}") from error
    except RecursionError as error:
        raise JsonError(f"nested deeper than {MAX_DEPTH}") from error


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object and where it stands in the text.

    Attributes:
        start: Where the name begins (at its quote).
        value_start: Where the value begins.
        end: Behind the value.
    """

    name: str
    value: object
    start: int
    value_start: int
    end: int


def members(text: str, start: int = 0) -> Iterator[Member]:
    """Walk the members of the object that begins at or after ``start``, each read whole, with its place.

    Raises:
        JsonError: There is no object.
    """
    at = _first(text, start)
    while at is not None:
        name, value_start = _name(text, at)
        value, end = read_value(text, value_start)
        yield Member(name, value, at, value_start, end)
        at = _next(text, end)


def value_start(text: str, name: str) -> int | None:
    """Where the value of the first member ``name`` of an object begins, without reading it; None if there is none."""
    at = _first(text, 0)
    while at is not None:
        found, start = _name(text, at)
        if found == name:
            return start
        at = _next(text, read_value(text, start)[1])
    return None


def _first(text: str, start: int) -> int | None:
    """Where the first member of an object begins; None for an empty one."""
    at = _skip(text, start)
    if text[at : at + 1] != "{":
        raise JsonError(f"an object was expected, {_place(text, at)}")
    at = _skip(text, at + 1)
    return None if text[at : at + 1] == "}" else at


def _name(text: str, at: int) -> tuple[str, int]:
    """The name of the member at ``at``, and where its value begins."""
    name, end = read_value(text, at)
    colon = _skip(text, end)
    if not isinstance(name, str) or text[colon : colon + 1] != ":":
        raise JsonError(f"a member was expected, {_place(text, at)}")
    return name, _skip(text, colon + 1)


def _next(text: str, end: int) -> int | None:
    """Where the member behind ``end`` begins; None if the object ends there."""
    at = _skip(text, end)
    if text[at : at + 1] == "}":
        return None
    if text[at : at + 1] != ",":
        raise JsonError(f"a comma or brace was expected, {_place(text, at)}")
    return _skip(text, at + 1)


def items(text: str, start: int) -> Iterator[int]:
    """Where each item of the array at ``start`` begins.  The array must have been read without an error before."""
    at = _skip(text, start + 1)
    while text[at] != "]":
        yield at
        _, end = read_value(text, at)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def check_depth(value: object) -> None:
    """Raise ``JsonError`` if ``value`` nests deeper than 64."""
    level: list[object] = [value]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise JsonError(f"nested deeper than {MAX_DEPTH}")
        deeper: list[object] = []
        for container in level:
            if type(container) is dict:
                deeper.extend(v for v in container.values() if type(v) is dict or type(v) is list)
            elif type(container) is list:
                deeper.extend(v for v in container if type(v) is dict or type(v) is list)
        level = deeper


def _check_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise JsonError("a string holds half of a surrogate pair") from error


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    return f"line {line} column {column}"
