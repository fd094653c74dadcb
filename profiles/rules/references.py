"""References (R4 references.html): how they are written, which types an element allows, what is contained (ref-1, dom-3)."""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from profiles.rules.members import Json, objects

_NAMED = re.compile(
    r"(?:.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
# Type/id (R4 references.html#literal), Type?query (http.html, conditional references), contained, or absolute.
_READABLE = re.compile(
    r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?"
    r"|[A-Z][A-Za-z]+\?\S+|#\S*|[A-Za-z][A-Za-z0-9+.\-]*:\S+"
)


@dataclass(slots=True)
class Container:
    """The resources contained in one, and which of them are referred to.

    Attributes:
        types: Id to type.
        used: Ids that a reference, canonical or URI names; an empty one for the container.
    """

    types: Mapping[str, str]
    used: set[str] = field(default_factory=set)


def container_of(resource: Json) -> Container:
    """What ``resource`` contains."""
    inner = objects(resource, "contained") if "contained" in resource else ()
    return Container({str(r.get("id", "")): str(r.get("resourceType", "")) for r in inner})


def target_type(reference: Json, container: Container, types: Set[str]) -> str:
    """The type that a Reference points at; empty if it does not tell."""
    literal = reference.get("reference")
    if isinstance(literal, str) and literal != "#":
        if literal.startswith("#"):
            return container.types.get(literal[1:], "")
        found = _NAMED.fullmatch(literal.partition("?")[0].partition("#")[0])
        named = found[1] if found else literal.partition("?")[0]
        if named in types:
            return named
    declared = reference.get("type")
    return declared if isinstance(declared, str) and declared in types else ""


def is_readable(reference: str) -> bool:
    """Whether it can be told what a reference names: what it may be about, nobody would know otherwise."""
    return _READABLE.fullmatch(reference) is not None


def note(reference: str, container: Container) -> str:
    """Note what a reference within a resource uses; what is wrong with it (ref-1), or empty."""
    id_ = reference[1:]
    container.used.add(id_)
    if id_ and id_ not in container.types:
        return "refers to a contained resource that is not there (ref-1)"
    return ""
