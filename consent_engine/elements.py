"""Reading elements out of decoded FHIR JSON, noting what cannot be read.

Every reader takes the list to which it adds a ``Problem`` and then returns an empty value, so that
one pass over a Consent finds all of its problems.  A Consent with a problem is never evaluated
(consent.md, Step 3), so the empty values decide nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo

from .decision import Coding
from .periods import BEGINNING, END_OF_TIME, Interval, parse_date_time

Json = Mapping[str, object]
EMPTY: Json = {}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a Consent cannot be interpreted.

    Attributes:
        path: FHIRPath of the element, like "Consent.provision.actor[0].role".
        reason: What is wrong with it, in words without content of the resource.
    """

    path: str
    reason: str


Problems = list[Problem]


def read_object(parent: Json, name: str, path: str, problems: Problems) -> Json | None:
    """The object called ``name``; None if absent or, with a Problem, not an object."""
    if name not in parent:
        return None
    value = parent[name]
    if isinstance(value, dict) and value:
        return value
    problems.append(Problem(f"{path}.{name}", "not an object with content"))
    return None


def read_objects(parent: Json, name: str, path: str, problems: Problems) -> list[tuple[str, Json]]:
    """The objects of a repeating element, each with its path."""
    if name not in parent:
        return []
    values = parent[name]
    if not isinstance(values, list) or not values:
        problems.append(Problem(f"{path}.{name}", "not an array with content"))
        return []
    found: list[tuple[str, Json]] = []
    for index, value in enumerate(values):
        if isinstance(value, dict) and value:
            found.append((f"{path}.{name}[{index}]", value))
        else:
            problems.append(Problem(f"{path}.{name}[{index}]", "not an object with content"))
    return found


def read_text(parent: Json, name: str, path: str, problems: Problems) -> str | None:
    """A string with content; None if absent or, with a Problem, something else."""
    if name not in parent:
        return None
    value = parent[name]
    if isinstance(value, str) and value:
        return value
    problems.append(Problem(f"{path}.{name}", "not a string with content"))
    return None


def read_coding(coding: Json, path: str, problems: Problems) -> Coding | None:
    """A Coding; one without system or code is a Problem, since nothing can be compared with it."""
    system = read_text(coding, "system", path, problems)
    code = read_text(coding, "code", path, problems)
    if system is not None and code is not None:
        return Coding(system, code)
    problems.append(Problem(path, "a coding needs a system and a code"))
    return None


def read_codings(parent: Json, name: str, path: str, problems: Problems) -> list[Coding]:
    """The Codings of a repeating Coding element."""
    found: list[Coding] = []
    for at, each in read_objects(parent, name, path, problems):
        coding = read_coding(each, at, problems)
        if coding is not None:
            found.append(coding)
    return found


def read_concept(concept: Json, path: str, problems: Problems) -> list[Coding]:
    """The codings of one CodeableConcept; one with text only is a Problem."""
    codings = read_codings(concept, "coding", path, problems)
    if not codings:
        problems.append(Problem(path, "a concept without a coding cannot be compared"))
    return codings


def read_period(
    parent: Json, name: str, path: str, zone: tzinfo, problems: Problems
) -> Interval | None:
    """A Period as a closed interval; reversed and empty Periods are Problems."""
    period = read_object(parent, name, path, problems)
    if period is None:
        return None
    path = f"{path}.{name}"
    start = read_date_time(period, "start", path, zone, problems)
    end = read_date_time(period, "end", path, zone, problems)
    if start is None and end is None:
        problems.append(Problem(path, "a period needs a start or an end"))
        return None
    interval = Interval(start.start if start else BEGINNING, end.end if end else END_OF_TIME)
    if interval.start > interval.end:
        problems.append(Problem(path, "the period ends before it starts"))
        return None
    return interval


def read_date_time(
    parent: Json, name: str, path: str, zone: tzinfo, problems: Problems
) -> Interval | None:
    """A date or dateTime as the interval that it names."""
    text = read_text(parent, name, path, problems)
    if text is None:
        return None
    try:
        return parse_date_time(text, zone)
    except ValueError:
        problems.append(Problem(f"{path}.{name}", "not a FHIR date or dateTime"))
        return None


def forbid_others(parent: Json, known: frozenset[str], path: str, problems: Problems) -> None:
    """Note every element that R4 does not have here: it might have restricted the rule."""
    for name in parent:
        if name not in known and not name.startswith("_"):
            problems.append(Problem(f"{path}.{name}", "not an element of R4 here"))
