"""One search parameter as asked: its modifier, its alternatives, and what a value's punctuation means (R4 search, 3.1.1.4).

Alternatives are separated by commas; ``|`` divides a system from a code, ``$`` the parts of a composite.  Each of them,
and the backslash, stands for itself behind a backslash (3.1.1.4.3, escaping search parameters).  Lengths are limited, so
that no value makes a search slow; nothing here or behind it runs a caller's text as a regular expression.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_server.errors import InvalidParameterError
from fhir_server.search.modifiers import require_modifier
from fhir_server.search.values import ResourceValues
from profiles.definitions import SearchParameter
from profiles.terminology import Concepts

_PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
_MOST_VALUES = 2000  # of what is looked up
_MOST_COMPARED = 500  # of what is compared one by one
_LONGEST = 200_000
_LONGEST_PART = 4_096
_LOOKED_UP = frozenset({"token", "reference", "uri"})


@dataclass(frozen=True, slots=True)
class Criterion:
    """One search parameter as asked.

    Attributes:
        modifier: Without the colon; empty for none; a type name for ``subject:Patient``.
        values: Alternatives, still escaped.
        sets: Members of the value sets that it names and that were found among the records, by url as asked.
    """

    parameter: SearchParameter
    modifier: str
    values: tuple[str, ...]
    sets: Mapping[str, Concepts] = field(default_factory=dict)


def read_criterion(values: ResourceValues, name: str, value: str) -> Criterion:
    """Read what is asked as ``name=value``; ``name`` is a parameter that ``values`` reads, and its modifier.

    Raises:
        InvalidParameterError: The modifier does not go with the parameter, or the value can not be used.
    """
    code, _, modifier = name.partition(":")
    parameter = values.parameters[code]
    require_modifier(values, name, modifier)
    if modifier == "missing" and value not in ("true", "false"):
        raise InvalidParameterError(f"search parameter '{name}' must be true or false")
    if code == "_filter":
        return Criterion(parameter, modifier, (value,))
    most = _MOST_VALUES if parameter.type in _LOOKED_UP else _MOST_COMPARED
    if len(value) > _LONGEST or value.count(",") >= most:
        raise InvalidParameterError(f"search parameter '{name}' has too many alternatives")
    alternatives = tuple(split_values(value))
    if not all(alternatives):
        raise InvalidParameterError(f"search parameter '{name}' has an empty alternative")
    if any(len(alternative) > _LONGEST_PART for alternative in alternatives):
        raise InvalidParameterError(f"search parameter '{name}' is too long")
    return Criterion(parameter, modifier, alternatives)


def split_values(value: str, separator: str = ",") -> list[str]:
    """The parts of a value between separators that are not escaped; still escaped."""
    pieces = value.split(separator)
    parts = [pieces[0]]
    for piece in pieces[1:]:
        if _ends_escaping(parts[-1]):
            parts[-1] = f"{parts[-1]}{separator}{piece}"
        else:
            parts.append(piece)
    return parts


def _ends_escaping(part: str) -> bool:
    """Whether an odd number of backslashes ends a part."""
    return (len(part) - len(part.rstrip("\\"))) % 2 == 1


def unescape(value: str) -> str:
    """Take ``\\,`` ``\\|`` ``\\$`` and ``\\\\`` back to the characters they stand for."""
    return re.sub(r"\\([,|$\\])", r"\1", value)


def escape(value: str) -> str:
    """The opposite of ``unescape``: every character stands for itself."""
    return re.sub(r"([,|$\\])", r"\\\1", value)


def split_token(value: str) -> tuple[str | None, str]:
    """``system|code`` as (system or None where not given, code); ``|code`` has the empty system."""
    system, *rest = split_values(value, "|")
    if not rest:
        return None, unescape(value)
    return unescape(system), unescape("|".join(rest))


def split_prefix(value: str) -> tuple[str, str]:
    """``ge2020`` as (``ge``, ``2020``); no prefix means ``eq``."""
    match = _PREFIX.fullmatch(value)
    assert match is not None
    return match[1] or "eq", match[2]
