"""Which modifiers a search parameter takes, by its type (R4 search, 3.1.1.4.4)."""

from collections.abc import Mapping

from fhir_server.errors import InvalidParameterError
from profiles.definitions import SearchParameter

_MODIFIERS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"", "exact", "contains", "missing"}),
    "token": frozenset({"", "not", "missing"}),
    "reference": frozenset({"", "identifier", "missing"}),
    "date": frozenset({"", "missing"}),
    "uri": frozenset({"", "missing"}),
}


def require_modifier(name: str, parameter: SearchParameter, modifier: str) -> None:
    """Refuse a modifier that the parameter, asked for as ``name``, does not take.

    Raises:
        InvalidParameterError: It is none of its type's, nor a type that the parameter may refer to.
    """
    if modifier not in _MODIFIERS[parameter.type] and modifier not in parameter.target:
        raise InvalidParameterError(f"the modifier of search parameter '{name}' is not supported")
