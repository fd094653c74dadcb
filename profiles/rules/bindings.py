"""Required bindings of CodeableConcept, Coding and Quantity, and codes of R4's own systems (R4 terminologies.html, 4.1.5).

What needs a terminology server is not judged.  Bindings of ``code`` are in the schema.
"""

from collections.abc import Callable

from profiles.rules.members import Json, has, objects
from profiles.terminology import Concepts, Terminology

_OWN = "http://hl7.org/fhir/"  # systems that are published with R4 and change with it only


class Codes:
    """Asks the terminology, which is read when it is first needed."""

    def __init__(self, terminology: Callable[[], Terminology]) -> None:
        self._terminology = terminology

    def bound(self, value_set: str, type_: str, element: Json) -> str:
        """What is wrong with an element under a required binding; empty for nothing."""
        known = self._terminology().members(value_set)
        if known is None:
            return ""
        codings = objects(element, "coding") if type_ == "CodeableConcept" else [element]
        if any(_is_member(coding, known) for coding in codings):
            return ""
        if not any("code" in coding for coding in codings):
            return "" if _explained(element, codings) else "must have a code of the value set"
        return "has no code of the required value set"

    def is_set(self, coding: Json) -> bool:
        """Whether the system of a Coding is one of R4's value sets instead."""
        system = coding.get("system")
        named = isinstance(system, str) and "/ValueSet/" in system
        return named and self._terminology().names_set(str(system))

    def unknown(self, coding: Json) -> str:
        """``error`` or ``warning`` if the system is one that R4 publishes whole and the code is not in it; else empty."""
        system, code = coding.get("system"), coding.get("code")
        if not isinstance(system, str) or not isinstance(code, str):
            return ""
        if "hl7.org" not in system or not str(coding.get("version", "4.")).startswith("4."):
            return ""
        if self._terminology().lists(system, code):
            return ""
        return "error" if system.startswith(_OWN) else "warning"


def _is_member(coding: Json, known: Concepts) -> bool:
    return (coding.get("system"), coding.get("code")) in known


def _explained(element: Json, codings: list[Json]) -> bool:
    """Whether an extension says why there is no code."""
    return has(element, "extension") or any(has(c, "extension") or "_code" in c for c in codings)
