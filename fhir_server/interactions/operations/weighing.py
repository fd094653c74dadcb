"""How alike two Patients are: the sum of points for what agrees, less points for what contradicts (``$match``).

    identifier   60  the same system and value in any          -30  the same system, and no value in common
    birthDate    20  the same day; 10 the same month or year   -20  different
                     where one of them says no more
    family       15  the same; 8 the one begins with the other -10  different
    given        10  the same in any; 5 the same initial        -5  different
    gender        5  the same                                  -10  different
    telecom      10  the same number or address in any
    address      10  the same postal code, or city and line

What one of them does not have counts nothing.  The score is the sum in hundredths, from 0 to 1.  ``certain`` is from 0.90,
or an identifier in common and nothing that contradicts; ``probable`` from 0.60; ``possible`` from 0.30.  The points are
ours: plain, and the same for everybody.  Names are compared without case and accents, telephone numbers by their digits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fhir_server.forms import Json
from fhir_server.search.strings import normalise

_DIGITS = 7  # of a telephone number that are compared, from its end, where there are as many
_LEAST_INITIAL = 1


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike they are.

    Attributes:
        score: 0 to 100, in hundredths.
        grade: R4 match-grade: ``certain``, ``probable``, ``possible`` or ``certainly-not``.
    """

    score: int
    grade: str


def weigh(asked: Json, known: Json) -> Likeness:
    """Compare a Patient that is asked for with one that is known."""
    points = (
        _identifiers(asked, known),
        _births(asked, known),
        _names(_family(asked), _family(known), (15, 8, -10)),
        _given_names(asked, known),
        _genders(asked, known),
        10 if _telecoms(asked) & _telecoms(known) else 0,
        10 if _places(asked) & _places(known) else 0,
    )
    score = min(max(sum(points), 0), 100)
    certain = score >= 90 or (points[0] > 0 and min(points) >= 0)
    grade = "certain" if certain else "probable" if score >= 60 else "possible"
    return Likeness(max(score, 90) if certain else score, grade if score >= 30 else "certainly-not")


def identifiers(patient: Json) -> set[tuple[str, str]]:
    """System and value of each identifier that has a value."""
    return {
        (str(one.get("system", "")), str(one["value"]))
        for one in _objects(patient, "identifier")
        if one.get("value")
    }


def families(patient: Json) -> list[str]:
    """Family names, as written."""
    return [str(name["family"]) for name in _objects(patient, "name") if name.get("family")]


def givens(patient: Json) -> list[str]:
    """Given names, as written."""
    found = (name.get("given") for name in _objects(patient, "name"))
    return [str(one) for names in found if isinstance(names, list) for one in names if one]


def contacts(patient: Json) -> list[str]:
    """Telephone numbers and addresses of the net, as written."""
    return [str(one["value"]) for one in _objects(patient, "telecom") if one.get("value")]


def birth_date(patient: Json) -> str:
    """Date of birth; empty for none."""
    value = patient.get("birthDate")
    return value if isinstance(value, str) else ""


def _identifiers(asked: Json, known: Json) -> int:
    mine, theirs = identifiers(asked), identifiers(known)
    if mine & theirs:
        return 60
    systems = {system for system, _ in mine} & {system for system, _ in theirs}
    return -30 if systems - {""} else 0


def _births(asked: Json, known: Json) -> int:
    mine, theirs = birth_date(asked), birth_date(known)
    if not mine or not theirs:
        return 0
    if mine == theirs:
        return 20 if len(mine) == 10 else 10
    return 10 if mine.startswith(theirs) or theirs.startswith(mine) else -20


def _family(patient: Json) -> set[str]:
    return {normalise(name) for name in families(patient)}


def _given_names(asked: Json, known: Json) -> int:
    mine, theirs = ({normalise(n) for n in givens(p)} for p in (asked, known))
    if mine & theirs or not mine or not theirs:
        return 10 if mine & theirs else 0
    initials = {n[:_LEAST_INITIAL] for n in mine} & {n[:_LEAST_INITIAL] for n in theirs}
    return 5 if initials else -5


def _names(mine: set[str], theirs: set[str], points: tuple[int, int, int]) -> int:
    same, alike, different = points
    if not mine or not theirs:
        return 0
    if mine & theirs:
        return same
    begun = any(m.startswith(t) or t.startswith(m) for m in mine for t in theirs)
    return alike if begun else different


def _genders(asked: Json, known: Json) -> int:
    mine, theirs = asked.get("gender"), known.get("gender")
    told = {mine, theirs} <= {"male", "female", "other"}
    return 0 if not told else 5 if mine == theirs else -10


def _telecoms(patient: Json) -> set[str]:
    found = set()
    for contact in contacts(patient):
        digits = "".join(c for c in contact if c.isdigit())
        found.add(digits[-_DIGITS:] if len(digits) >= _DIGITS else contact.casefold())
    return found


def _places(patient: Json) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for address in _objects(patient, "address"):
        code, city, lines = (address.get(name) for name in ("postalCode", "city", "line"))
        if isinstance(code, str):
            found.add((normalise(code).replace(" ", ""),))
        if isinstance(city, str) and isinstance(lines, list):
            found.update((normalise(city), normalise(line)) for line in lines if line)
    return found


def _objects(patient: Json, name: str) -> Iterator[Json]:
    value = patient.get(name)
    yield from (one for one in (value if isinstance(value, list) else ()) if isinstance(one, dict))
