"""What of a permitted record is decided on its own, and what goes with what is denied (consent.md, Step 10; ADR 0036, 0037).

On their own are decided: each resource inside the record, and each element with a security label of its own (DS4P
``extension-inline-sec-label``).  Each counts as a record with the labels of all that it stands in, beside its own.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass

from fhir_server.forms import Json

Path = tuple[str | int, ...]
Names = tuple[str, ...]
INLINE = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
_SIGN = b"inline-sec-label"
_CONTAINERS = ("Bundle", "Parameters")
_LED = ("document", "message")  # types of Bundle whose first entry says what the whole is
_OF_ALL = ("signature", "total")  # of a Bundle: they tell of what it held
_NEEDED = frozenset({"id", "meta", "implicitRules"})


@dataclass(frozen=True, slots=True)
class Part:
    """Something inside a record that is decided on its own.

    Attributes:
        path: Member names and indexes that lead to what is taken out if it is denied; empty for the record itself.
        pseudo: The record that it counts as.
    """

    path: Path
    pseudo: Json


def parts(value: Json, text: bytes | None = None) -> tuple[Part, ...]:
    """The parts of a record, what contains before what is contained; ``text``, if at hand, saves looking for them."""
    if text is not None and not _may_have_parts(value, text):
        return ()
    own = _inline_labels(value)
    whole = _with_labels(value, own)
    return (*((Part((), whole),) if own else ()), *_below(value, (), whole))


def _may_have_parts(value: Json, text: bytes) -> bool:
    within = "contained" in value or value.get("resourceType") in _CONTAINERS
    return within or _SIGN in text or b"\\u" in text  # a letter may be written as its number


def _below(node: object, path: Path, whole: Json) -> Iterator[Part]:
    for step, child in _children(node):
        yield from _at(child, (*path, step), whole)


def _children(node: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(node, dict):
        yield from node.items()
    elif isinstance(node, list):
        yield from enumerate(node)


def _at(node: object, path: Path, whole: Json) -> Iterator[Part]:
    if isinstance(node, dict):
        own = _inline_labels(node)
        if "resourceType" in node:
            whole = _with_labels(node, [*_labels(whole), *own])
            yield Part(path[:-1] if path[-1] == "resource" else path, whole)
        elif own:
            whole = _with_labels(whole, own)
            yield Part(_of_element(path), whole)
    yield from _below(node, path, whole)


def _of_element(path: Path) -> Path:
    """The element whose extensions stand at ``path``: those of a primitive ``name`` stand in ``_name``."""
    at = len(path) - 2 if isinstance(path[-1], int) and len(path) > 1 else len(path) - 1
    name = path[at]
    if not isinstance(name, str):
        return path
    return (*path[:at], name.removeprefix("_"), *path[at + 1 :])


def _inline_labels(node: Json) -> list[object]:
    """The labels of an element; one that can not be read counts as one that may say anything."""
    extensions = node.get("extension")
    listed = extensions if isinstance(extensions, list) else []
    return [e.get("valueCoding", {}) for e in listed if isinstance(e, dict) and _is_label(e)]


def _is_label(extension: Json) -> bool:
    return extension.get("url") == INLINE


def _labels(resource: Json) -> list[object]:
    meta = resource.get("meta")
    security = meta.get("security", []) if isinstance(meta, dict) else []
    return security if isinstance(security, list) else [{}]


def _with_labels(resource: Json, labels: list[object]) -> Json:
    if not labels:
        return resource
    meta = resource.get("meta")
    own = meta if isinstance(meta, dict) else {}
    return {**resource, "meta": {**own, "security": [*_labels(resource), *labels]}}


def taken_out(value: Json, denied: Set[Path]) -> frozenset[Path] | None:
    """All that goes with what is denied; None if nothing may be left.

    Narratives go, because they tell in words what stood in elements; so do signatures and totals of Bundles, and
    references to contained resources that are gone.
    """
    if any(not path or (path[0] in _NEEDED and len(path) == 1) for path in denied):
        return None
    if ("entry", 0) in denied and value.get("type") in _LED:
        return None
    inside = {(path[:-2], _id_at(value, path)) for path in denied if "contained" in path[-2:-1]}
    return frozenset({*denied, *_consequences(value, (), frozenset(inside))})


def _id_at(value: object, path: Path) -> str:
    for step in path:
        children = dict(_children(value))
        value = children.get(step)
    return str(value.get("id")) if isinstance(value, dict) else ""


def _consequences(node: object, path: Path, gone: frozenset[tuple[Path, str]]) -> Iterator[Path]:
    if isinstance(node, dict):
        if node.get("resourceType") == "Bundle":
            yield from ((*path, name) for name in _OF_ALL if name in node)
        reference = node.get("reference")
        if isinstance(reference, str) and reference.startswith("#"):
            yield from (
                path for at, id_ in gone if reference == f"#{id_}" and path[: len(at)] == at
            )
        if path and path[-1] == "text" and "div" in node:
            yield path
    for step, child in _children(node):
        yield from _consequences(child, (*path, step), gone)


def names_of(paths: Set[Path]) -> frozenset[Names]:
    """The names on the ways to elements, whichever of several they are."""
    return frozenset(tuple(step for step in path if isinstance(step, str)) for path in paths)


def paths_of(value: object, wanted: Set[Names], path: Path = ()) -> Iterator[Path]:
    """Where a record has elements of such names: all of several."""
    for step, child in _children(value):
        here = (*path, step)
        if isinstance(step, str) and tuple(s for s in here if isinstance(s, str)) in wanted:
            yield here
        elif isinstance(child, (dict, list)):
            yield from paths_of(child, wanted, here)
