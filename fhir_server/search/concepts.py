"""Codes that a criterion names by a value set or by their place in a hierarchy (R4 search, 3.1.1.4.4).

``:in`` and ``:not-in`` take the url of a value set of R4, or of one stored here (``interactions/value_sets.py`` has put
its members into the criterion); ``:above`` and ``:below`` take ``system|code`` of a code system of R4.  Whatever needs a
terminology server is refused: an answer without it would look like "there is nothing".

A ``code`` has no system of its own; the value set that it is bound to implies one (3.1.1.4.10).
"""

from fhir_server.errors import InvalidParameterError
from fhir_server.search.criteria import Criterion, split_token, unescape
from fhir_server.search.elements import TokenValue
from profiles.terminology import Concepts, r4_terminology


def asked_concepts(criterion: Criterion) -> Concepts:
    """The concepts that a criterion with one of the four modifiers means.

    Raises:
        InvalidParameterError: A value set or a hierarchy is not known here.
    """
    if criterion.modifier in ("in", "not-in"):
        return frozenset().union(*(_members(criterion, value) for value in criterion.values))
    return frozenset().union(*(_line(criterion.modifier, value) for value in criterion.values))


def _members(criterion: Criterion, value: str) -> Concepts:
    url = unescape(value)
    known = criterion.sets[url] if url in criterion.sets else r4_terminology().members(url)
    if known is None:
        raise InvalidParameterError("this value set is not known here, or can not be enumerated")
    return known


def _line(modifier: str, value: str) -> Concepts:
    system, code = split_token(value)
    if not system or not code:
        raise InvalidParameterError("it must be system|code")
    terminology = r4_terminology()
    look = terminology.below if modifier == "below" else terminology.above
    codes = look(system, code)
    if codes is None:
        raise InvalidParameterError("the hierarchy of this code system is not known here")
    return frozenset((system, found) for found in codes)


def systems_of(value: TokenValue) -> tuple[str, ...]:
    """The systems in which a value can be asked for: its own, and the one that its binding implies."""
    if not value.binding:
        return (value.system,)
    return (value.system, r4_terminology().implied(value.binding, value.code))
