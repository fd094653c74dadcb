"""Which modifiers a search parameter takes, by its type (R4 search, 3.1.1.4.4).

``:above`` and ``:below`` of a reference go with versions of canonicals only: hierarchies of records (a location in a
building) are not followed.  A composite takes none, not even ``:missing``.
"""

from collections.abc import Mapping

from fhir_server.errors import InvalidParameterError
from fhir_server.search.values import WHOLE, ResourceValues
from profiles.definitions import SearchParameter

_MODIFIERS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"", "exact", "contains", "missing"}),
    "token": frozenset({"", "above", "below", "in", "missing", "not", "not-in", "of-type", "text"}),
    "reference": frozenset({"", "above", "below", "identifier", "missing"}),
    "date": frozenset({"", "missing"}),
    "number": frozenset({"", "missing"}),
    "quantity": frozenset({"", "missing"}),
    "uri": frozenset({"", "above", "below", "missing"}),
    "special": frozenset({"", "missing"}),
    "composite": frozenset({""}),
}


def require_modifier(values: ResourceValues, name: str, modifier: str) -> None:
    """Refuse a modifier that the parameter, asked for as ``name``, does not take.

    Raises:
        InvalidParameterError: It is none of its type's, nor a type that the parameter may refer to.
    """
    parameter = values.parameters[name.partition(":")[0]]
    if parameter.code in WHOLE:
        known = modifier == ""
    elif modifier in _MODIFIERS[parameter.type]:
        known = _goes_with(values, parameter, modifier)
    else:
        known = modifier in parameter.target
    if not known:
        raise InvalidParameterError(f"the modifier of search parameter '{name}' is not supported")


def _goes_with(values: ResourceValues, parameter: SearchParameter, modifier: str) -> bool:
    """Whether any element of the parameter has what the modifier looks at."""
    if modifier == "of-type":
        return "Identifier" in values.element_types(parameter)
    if modifier in ("above", "below") and parameter.type == "reference":
        return "canonical" in values.element_types(parameter)
    if modifier == "identifier":
        return "Reference" in values.element_types(parameter)
    return True
