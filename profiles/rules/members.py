"""Looking at the members of an element as FHIRPath does: a primitive exists by its value or by its companion (``_name``)."""

from collections.abc import Mapping
from dataclasses import dataclass

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Told:
    """What a definition asks without an invariant: where below the resource, and what."""

    where: str
    message: str
    severity: str = "error"


UCUM = "http://unitsofmeasure.org"


def has(element: Json, *names: str) -> bool:
    """Whether any of the members is there."""
    return any(name in element or f"_{name}" in element for name in names)


def chosen(element: Json, name: str) -> str:
    """The member of a choice (``value`` finds ``valueString``), or empty."""
    at = len(name)
    for member in element:
        key = member.removeprefix("_")
        if key.startswith(name) and key[at : at + 1].isupper():
            return key
    return ""


def objects(element: Json, name: str) -> list[Json]:
    """The objects of a member that repeats, or of one that does not."""
    found = element.get(name)
    items = found if isinstance(found, list) else [found]
    return [item for item in items if isinstance(item, dict)]


def strings(element: Json, name: str) -> list[str]:
    """The strings of a member that repeats, or of one that does not."""
    found = element.get(name)
    items = found if isinstance(found, list) else [found]
    return [item for item in items if isinstance(item, str)]


def texts(elements: list[Json], name: str) -> list[str]:
    """The strings under ``name`` in each of the elements."""
    return [text for element in elements for text in strings(element, name)]


def distinct(found: list[str]) -> bool:
    """Whether nothing is there twice."""
    return len(found) == len(set(found))


def has_coding(element: Json, name: str, system: str, *codes: str) -> bool:
    """Whether a CodeableConcept has a coding of ``system`` with one of the codes."""
    return any(
        coding.get("system") == system and coding.get("code") in codes
        for concept in objects(element, name)
        for coding in objects(concept, "coding")
    )


def exactly_one(*found: bool) -> bool:
    """Whether one of them is true, and no other."""
    return sum(found) == 1
