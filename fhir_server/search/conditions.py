"""What a value must be to meet a criterion, by the type of its parameter (R4 search, 3.1.1.4.5 to 3.1.1.4.14).

A criterion becomes one test for all of its alternatives, made once for a search: codes, references and uris are looked
up in sets, so that thousands of alternatives cost no more than one.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from math import asin, cos, radians, sin, sqrt

from fhir_server.errors import InvalidParameterError
from fhir_server.search.concepts import asked_concepts, systems_of
from fhir_server.search.criteria import Criterion, split_prefix, split_token, split_values, unescape
from fhir_server.search.dates import Interval, compare, interval, widened
from fhir_server.search.elements import Position, ReferenceValue, TokenValue, Tuple, Value
from fhir_server.search.numbers import Amount, AskedNumber, asked_number
from fhir_server.search.strings import begins, normalise
from fhir_server.search.values import CompositePart

Test = Callable[[Value], bool]
Near = tuple[float, float, float]  # latitude, longitude, metres
_METRES: Mapping[str, float] = {
    "": 1000.0,
    "km": 1000.0,
    "m": 1.0,
    "[mi_i]": 1609.344,
    "mi": 1609.344,
}
_NEAR = 50_000.0  # metres, where the caller names no distance
_EARTH = 6_371_008.8  # mean radius, metres


def condition(criterion: Criterion, base: str, now: datetime) -> Test:
    """The test of one value; ``base`` is the server's own FHIR base url.  Composites: ``tuple_condition``.

    Raises:
        InvalidParameterError: A value is malformed, or names a value set or hierarchy that is not known here.
    """
    try:
        match criterion.parameter.type:
            case "token":
                return _token_condition(criterion)
            case "reference":
                return _reference_condition(criterion, base)
            case "date":
                return _date_condition(criterion, now)
            case "number" | "quantity":
                return _amount_condition(criterion)
            case "uri":
                return _uri_condition(criterion)
            case "special":
                return _near_condition(criterion)
            case _:
                return _string_condition(criterion)
    except InvalidParameterError as error:
        raise _named(criterion, error) from error


def _named(criterion: Criterion, error: InvalidParameterError) -> InvalidParameterError:
    return InvalidParameterError(f"search parameter '{criterion.parameter.code}': {error}")


def tuple_condition(
    criterion: Criterion, parts: Iterable[CompositePart], base: str, now: datetime
) -> Test:
    """The test of one occurrence of a composite: all components of one alternative hold in it (R4 search, 3.1.1.4.15).

    Raises:
        InvalidParameterError: An alternative has another number of parts, or one of them is malformed.
    """
    components = [part.parameter for part in parts]
    wanted: list[list[Test]] = []
    for value in criterion.values:
        texts = composite_texts(criterion, value, len(components))
        asked = (Criterion(c, "", (t,)) for c, t in zip(components, texts, strict=True))
        wanted.append([condition(each, base, now) for each in asked])

    def holds(tests: Iterable[Test], occurrence: Tuple) -> bool:
        return all(
            any(test(value) for value in found)
            for test, found in zip(tests, occurrence.parts, strict=True)
        )

    return lambda value: isinstance(value, Tuple) and any(holds(tests, value) for tests in wanted)


def composite_texts(criterion: Criterion, value: str, count: int) -> list[str]:
    """The ``count`` parts of one alternative of a composite, still escaped.

    Raises:
        InvalidParameterError: There are more or fewer, or one is empty.
    """
    texts = split_values(value, "$")
    if len(texts) != count or not all(texts):
        raise _named(criterion, InvalidParameterError(f"it needs {count} parts with $ between"))
    return texts


def _token_condition(criterion: Criterion) -> Test:
    match criterion.modifier:
        case "text":
            wanted = _normalised(criterion)
            return lambda value: (
                isinstance(value, TokenValue)
                and any(begins(normalise(text), want) for text in value.texts for want in wanted)
            )
        case "of-type":
            triples = frozenset(of_type(value) for value in criterion.values)
            return lambda value: (
                isinstance(value, TokenValue)
                and any((*type_, value.code) in triples for type_ in value.types)
            )
        case "in" | "not-in" | "above" | "below":
            concepts = asked_concepts(criterion)
            return lambda value: (
                isinstance(value, TokenValue)
                and any((system, value.code) in concepts for system in systems_of(value))
            )
        case _:
            return token_test(criterion.values)


def of_type(value: str) -> tuple[str, str, str]:
    """``system|code|value`` of an identifier: the system and code of its type, and its value.

    Raises:
        InvalidParameterError: A part is missing.
    """
    parts = [unescape(part) for part in split_values(value, "|")]
    if len(parts) != 3 or not all(parts):
        raise InvalidParameterError("it must be the system and code of a type, and a value")
    return parts[0], parts[1], parts[2]


def token_test(wanted: Iterable[str]) -> Test:
    """``code``, ``system|code``, ``|code`` (no system) or ``system|`` (R4 search, 3.1.1.4.10).

    Raises:
        InvalidParameterError: It names neither a system nor a code.
    """
    asked = [split_token(value) for value in wanted]
    if any(not system and not code for system, code in asked):
        raise InvalidParameterError("it must name a code, or a system")
    codes = frozenset(code for system, code in asked if system is None)
    pairs = frozenset((s, code) for s, code in asked if s is not None and code)
    systems = frozenset(s for s, code in asked if s is not None and not code)

    def test(value: Value) -> bool:
        if not isinstance(value, TokenValue):
            return False
        return value.code in codes or (
            bool(pairs or systems)
            and any((s, value.code) in pairs or s in systems for s in systems_of(value))
        )

    return test


def local_reference(value: str, type_: str, base: str) -> str:
    """A reference as the index keeps it: relative if it is ours, with the type that the modifier names."""
    reference = unescape(value).removeprefix(f"{base}/").partition("/_history/")[0]
    return f"{type_}/{reference}" if type_ and "/" not in reference else reference


def split_canonical(value: str) -> tuple[str, str]:
    """``url|version`` as (url, version), still escaped; the version is empty where none is given."""
    url, *version = split_values(value, "|")
    return url, unescape("|".join(version))


def _reference_condition(criterion: Criterion, base: str) -> Test:
    modifier = criterion.modifier
    if modifier == "identifier":
        test = token_test(criterion.values)
        return lambda value: (
            isinstance(value, ReferenceValue)
            and value.identifier is not None
            and test(value.identifier)
        )
    type_ = "" if modifier in ("above", "below") else modifier
    wanted: dict[str, set[str]] = {}
    for text in criterion.values:
        url, version = split_canonical(text)
        reference = local_reference(url, type_, base)
        if type_ and not reference.startswith(f"{type_}/") and "://" not in reference:
            raise InvalidParameterError("it names another type than its modifier")
        wanted.setdefault(reference, set()).add(version)

    def is_meant(value: Value) -> bool:
        if not isinstance(value, ReferenceValue) or not value.reference:
            return False
        mine = value.reference.removeprefix(f"{base}/")
        asked = wanted.get(mine, set()) | wanted.get(mine.rpartition("/")[2], set())
        return any(_version_is(modifier, value.version, version) for version in asked)

    return is_meant


def _version_is(modifier: str, mine: str, wanted: str) -> bool:
    """Whether a canonical's version is the one asked for, one below it (1.2.3 of 1.2) or one above it."""
    if modifier == "above":
        return not mine or f"{wanted}.".startswith(f"{mine}.")
    if modifier == "below":
        return not wanted or f"{mine}.".startswith(f"{wanted}.")
    return not wanted or mine == wanted


def _date_condition(criterion: Criterion, now: datetime) -> Test:
    wanted: list[tuple[str, Interval]] = []
    for value in criterion.values:
        prefix, text = ("po", value) if criterion.modifier == "overlaps" else split_prefix(value)
        span = interval(text)
        wanted.append((prefix, widened(span, now) if prefix == "ap" else span))
    return lambda value: (
        isinstance(value, Interval) and any(compare(prefix, value, span) for prefix, span in wanted)
    )


def asked_quantity(value: str) -> tuple[str, AskedNumber, str, str]:
    """``[prefix][number]|[system]|[code]`` as (prefix, number, system, code); empty for any.

    Raises:
        InvalidParameterError: It has another form.
    """
    number, *unit = split_values(value, "|")
    if len(unit) not in (0, 2):
        raise InvalidParameterError("a quantity must look like 5.4, 5.4|system|code or 5.4||unit")
    prefix, text = split_prefix(number)
    system, code = (unescape(part) for part in unit or ("", ""))
    return prefix, asked_number(text), system, code


def _amount_condition(criterion: Criterion) -> Test:
    wanted = [asked_quantity(value) for value in criterion.values]
    if criterion.parameter.type == "number" and any("|" in v for v in criterion.values):
        raise InvalidParameterError("a number has no unit")
    return lambda value: (
        isinstance(value, Amount)
        and any(
            _unit_is(value, system, code) and number.meets(prefix, value)
            for prefix, number, system, code in wanted
        )
    )


def _unit_is(value: Amount, system: str, code: str) -> bool:
    """Units are compared by what they are called; none is converted (R4 search, 3.1.1.4.11)."""
    if system:
        return value.system == system and code in ("", value.code)
    return code in ("", value.code, value.unit)


def _uri_condition(criterion: Criterion) -> Test:
    wanted = frozenset(unescape(value) for value in criterion.values)
    modifier = criterion.modifier
    if modifier in ("above", "below") and any(w.startswith("urn:") for w in wanted):
        raise InvalidParameterError("a urn has nothing above or below it")

    def test(value: Value) -> bool:
        if not isinstance(value, str):
            return False
        match modifier:
            case "below":
                return any(is_below(value, want) for want in wanted)
            case "above":
                return any(is_below(want, value) for want in wanted)
            case "contains" | "starts" | "ends":
                return any(_is_part(modifier, value, want) for want in wanted)
            case _:
                return value in wanted

    return test


def is_below(uri: str, top: str) -> bool:
    """Whether ``top`` is ``uri`` or a part of its path from the left (R4 search, 3.1.1.4.13)."""
    return uri == top or uri.startswith(top if top.endswith("/") else f"{top}/")


def _string_condition(criterion: Criterion) -> Test:
    if criterion.modifier == "exact":
        exact = frozenset(unescape(value) for value in criterion.values)
        return lambda value: value in exact
    wanted = _normalised(criterion)
    modifier = criterion.modifier
    return lambda value: (
        isinstance(value, str)
        and any(_is_part(modifier, have, want) for have in (normalise(value),) for want in wanted)
    )


def _is_part(modifier: str, have: str, want: str) -> bool:
    match modifier:
        case "contains":
            return want in have
        case "starts":
            return have.startswith(want)
        case "ends":
            return have.endswith(want)
        case "equals":
            return have == want
        case _:
            return begins(have, want)


def _normalised(criterion: Criterion) -> tuple[str, ...]:
    return tuple(normalise(unescape(value)) for value in criterion.values)


def _near_condition(criterion: Criterion) -> Test:
    wanted = [_near(value) for value in criterion.values]
    return lambda value: (
        isinstance(value, Position)
        and any(
            _distance(value, latitude, longitude) <= metres
            for latitude, longitude, metres in wanted
        )
    )


def _near(value: str) -> Near:
    """``latitude|longitude|distance|units``; the last two may be left out (Location, special parameter ``near``)."""
    latitude, longitude, distance, unit, *more = [*split_values(value, "|"), "", "", ""][:5]
    if any(more) or unit not in _METRES or value.count("|") > 3:
        raise InvalidParameterError("near must look like 46.1|7.2|11.2|km (or m, [mi_i])")
    at = float(asked_number(latitude).exact), float(asked_number(longitude).exact)
    metres = float(asked_number(distance).exact) * _METRES[unit] if distance else _NEAR
    if abs(at[0]) > 90 or abs(at[1]) > 180 or metres < 0:
        raise InvalidParameterError("near names no place on Earth")
    return (*at, metres)


def _distance(value: Position, latitude: float, longitude: float) -> float:
    """Metres along a great circle (haversine)."""
    north, south = radians(value.latitude), radians(latitude)
    east = radians(value.longitude - longitude)
    half = sin((north - south) / 2) ** 2 + cos(north) * cos(south) * sin(east / 2) ** 2
    return 2 * _EARTH * asin(sqrt(min(1.0, max(0.0, half))))
