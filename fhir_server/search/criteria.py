"""One search parameter as asked: its modifier, its alternatives, and what a value's punctuation means (R4 search, 3.1.1.4).

Alternatives are separated by commas; ``|`` divides a system from a code, ``$`` the parts of a composite.  Each of them,
and the backslash, stands for itself behind a backslash (3.1.1.4.5, escaping search parameters).
"""

import re
from dataclasses import dataclass

from fhir_server.errors import InvalidParameterError
from fhir_server.search.modifiers import require_modifier
from fhir_server.search.values import ResourceValues
from profiles.definitions import SearchParameter

_PART = re.compile(r"(?:[^\\,]|\\.|\\$)*", re.DOTALL)  # up to a comma that is not escaped
_SYSTEM = re.compile(r"((?:[^\\|]|\\.)*)\|(.*)", re.DOTALL)  # up to a bar that is not escaped
_PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
_MOST_VALUES = 2000


@dataclass(frozen=True, slots=True)
class Criterion:
    """One search parameter as asked.

    Attributes:
        modifier: Without the colon; empty for none; a type name for ``subject:Patient``.
        values: Alternatives, still escaped.
    """

    parameter: SearchParameter
    modifier: str
    values: tuple[str, ...]


def read_criterion(values: ResourceValues, name: str, value: str) -> Criterion:
    """Read what is asked as ``name=value``; ``name`` is a parameter that ``values`` reads, and its modifier.

    Raises:
        InvalidParameterError: The modifier does not go with the parameter, or the value can not be used.
    """
    code, _, modifier = name.partition(":")
    parameter = values.parameters[code]
    require_modifier(name, parameter, modifier)
    if modifier == "missing" and value not in ("true", "false"):
        raise InvalidParameterError(f"search parameter '{name}' must be true or false")
    if value.count(",") >= _MOST_VALUES:
        raise InvalidParameterError(f"search parameter '{name}' has too many alternatives")
    return Criterion(parameter, modifier, tuple(split_values(value)))


def split_values(value: str) -> list[str]:
    """The alternatives of a value, still escaped."""
    parts = [_PART.match(value, 0)]
    while parts[-1] is not None and parts[-1].end() < len(value):
        parts.append(_PART.match(value, parts[-1].end() + 1))
    return [part.group() for part in parts if part is not None]


def unescape(value: str) -> str:
    """Take ``\\,`` ``\\|`` ``\\$`` and ``\\\\`` back to the characters they stand for."""
    return re.sub(r"\\([,|$\\])", r"\1", value)


def split_token(value: str) -> tuple[str | None, str]:
    """``system|code`` as (system or None where not given, code); ``|code`` has the empty system."""
    match = _SYSTEM.fullmatch(value)
    if match is None:
        return None, unescape(value)
    return unescape(match[1]), unescape(match[2])


def split_prefix(value: str) -> tuple[str, str]:
    """``ge2020`` as (``ge``, ``2020``); no prefix means ``eq``."""
    match = _PREFIX.fullmatch(value)
    assert match is not None
    return match[1] or "eq", match[2]
