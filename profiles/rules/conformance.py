"""Invariants of R4's conformance resources, terminology and questionnaires, by key (see ``datatypes.py``)."""

import re
from collections.abc import Callable, Iterator, Mapping

from profiles.rules.members import (
    Json,
    Told,
    chosen,
    distinct,
    has,
    objects,
    strings,
    texts,
)

_NAME = re.compile(r"[A-Z]([A-Za-z0-9_]){0,254}")
_NAMED = (
    *(
        "adf",
        "cpb",
        "cid",
        "csd",
        "cpd",
        "cmd",
        "ees",
        "evd",
        "evi",
        "evv",
        "esc",
        "gdf",
        "ig",
        "lib",
    ),
    *(
        "mea",
        "msd",
        "nsd",
        "opd",
        "pdf",
        "que",
        "rsd",
        "red",
        "rvs",
        "spd",
        "sdf",
        "smp",
        "tcp",
        "tst",
        "vsd",
    ),
)
_CHOSEN = frozenset({"choice", "open-choice", "string", "quantity"})
_ANSWERED = _CHOSEN | {"decimal", "integer", "date", "dateTime", "time"}
_MEASURED = frozenset({"boolean", "decimal", "integer", "string", "text", "url", "open-choice"})


def _named(element: Json) -> bool:
    return all(_NAME.fullmatch(name) for name in strings(element, "name")) and has(element, "name")


def _below(element: Json, name: str) -> Iterator[Json]:
    """The elements under ``name``, and under ``name`` in those, however deep."""
    for found in objects(element, name):
        yield found
        yield from _below(found, name)


def _unique(element: Json, below: str, name: str) -> bool:
    return distinct(texts(list(_below(element, below)), name))


def _kind(element: Json, kind: str) -> bool:
    return element.get("kind") == kind


def _views(element: Json) -> list[Json]:
    return [*objects(element, "snapshot"), *objects(element, "differential")]


def _elements(element: Json, *views: str) -> list[Json]:
    return [
        e for view in views for found in objects(element, view) for e in objects(found, "element")
    ]


def _first(element: Json, view: str) -> Json:
    return next(iter(_elements(element, view)), {})


def _roots(element: Json) -> Iterator[Json]:
    """The elements that describe the type itself: those without a dot in their path."""
    for found in objects(element, "element"):
        if "." not in str(found.get("path", "")):
            yield found


def _ids(element: Json, view: str) -> bool:
    ids = [str(e.get("id", "")) for e in _elements(element, view)]
    return all(ids) and distinct(ids)


def _same_root(element: Json) -> bool:
    first = _first(element, "snapshot")
    return _kind(element, "logical") or not first or first.get("path") == element.get("type")


def _plain_roots(element: Json) -> bool:
    roots = [root for view in _views(element) for root in _roots(view)]
    return not any(has(root, "label", "code", "requirements") for root in roots)


def _root_type(element: Json) -> bool:
    first = _first(element, "differential")
    inner = _kind(element, "logical") or "." in str(first.get("path", "."))
    return inner or not has(first, "type")


def _item_content(element: Json) -> bool:
    type_, nested = element.get("type"), has(element, "item")
    return (type_ != "group" or nested) and (type_ != "display" or not nested)


def _display(element: Json, *names: str) -> bool:
    """A display item has none of these."""
    return element.get("type") != "display" or not has(element, *names)


def _exists_is_boolean(element: Json) -> bool:
    return element.get("operator") != "exists" or chosen(element, "answer") == "answerBoolean"


def _repeated(element: Json) -> bool:
    return element.get("repeats") is True or len(objects(element, "initial")) <= 1


def _described(element: Json) -> bool:
    return has(element, "description", "software", "implementation")


def _versions(element: Json) -> bool:
    versions = objects(element, "version")
    return len(versions) <= 1 or all(has(version, "code") for version in versions)


def _preferred(element: Json) -> bool:
    preferred = [u for u in objects(element, "uniqueId") if u.get("preferred") is True]
    return distinct(texts(preferred, "type"))


def _groupings(element: Json) -> bool:
    known = texts(objects(element, "grouping"), "id")
    return all(used in known for used in texts(objects(element, "resource"), "groupingId"))


def _typed_root(element: Json) -> bool:
    return _kind(element, "logical") or not has(_first(element, "snapshot"), "type")


def _complete(element: Json, *names: str) -> bool:
    return all(has(e, name) for e in objects(element, "element") for name in names)


def _targets(element: Json) -> bool:
    return element.get("type") in ("Reference", "canonical") or not has(element, "targetProfile")


def _narrower(element: Json) -> bool:
    return has(element, "comment") or element.get("equivalence") not in ("narrower", "inexact")


def _focus(element: Json) -> bool:
    most = str(element.get("max", "1"))
    return most == "*" or (most.isdigit() and int(most) > 0)


HOLDS: Mapping[str, Callable[[Json], bool]] = {
    **{f"{prefix}-0": _named for prefix in _NAMED},
    "cpb-1": lambda e: has(e, "rest", "messaging", "document"),
    "cpb-2": _described,
    "cpb-3": lambda e: (
        _kind(e, "instance") or not any(has(m, "endpoint") for m in objects(e, "messaging"))
    ),
    "cpb-14": lambda e: not _kind(e, "instance") or has(e, "implementation"),
    "cpb-15": lambda e: (
        not _kind(e, "capability") or (not has(e, "implementation") and has(e, "software"))
    ),
    "cpb-16": lambda e: not _kind(e, "requirements") or not has(e, "implementation", "software"),
    "cpb-9": lambda e: distinct(texts(objects(e, "resource"), "type")),
    "cpb-12": lambda e: distinct(texts(objects(e, "searchParam"), "name")),
    "csd-1": lambda e: _unique(e, "concept", "code"),
    "cmd-1": _narrower,
    "cmd-2": lambda e: e.get("mode") != "fixed" or has(e, "code"),
    "cmd-3": lambda e: e.get("mode") != "other-map" or has(e, "url"),
    "ig-1": _groupings,
    "md-1": _focus,
    "nsd-1": lambda e: not _kind(e, "root") or "uuid" not in texts(objects(e, "uniqueId"), "type"),
    "nsd-2": _preferred,
    "opd-1": lambda e: has(e, "type", "part"),
    "opd-2": lambda e: not has(e, "searchType") or e.get("type") == "string",
    "opd-3": _targets,
    "que-1": _item_content,
    "que-2": lambda e: _unique(e, "item", "linkId"),
    "que-3": lambda e: _display(e, "code"),
    "que-4": lambda e: not has(e, "answerOption") or not has(e, "answerValueSet"),
    "que-5": lambda e: e.get("type") in _ANSWERED or not has(e, "answerValueSet", "answerOption"),
    "que-6": lambda e: _display(e, "required", "repeats"),
    "que-7": _exists_is_boolean,
    "que-8": lambda e: e.get("type") not in ("group", "display") or not has(e, "initial"),
    "que-9": lambda e: _display(e, "readOnly"),
    "que-10": lambda e: e.get("type") in _MEASURED or not has(e, "maxLength"),
    "que-11": lambda e: not has(e, "answerOption") or not has(e, "initial"),
    # the published expression says "> 2", the rule's text and the element's definition say "more than one"
    "que-12": lambda e: len(objects(e, "enableWhen")) <= 1 or has(e, "enableBehavior"),
    "que-13": _repeated,
    "sdf-1": lambda e: (
        e.get("derivation") == "constraint" or distinct(texts(_elements(e, "snapshot"), "path"))
    ),
    "sdf-2": lambda e: has(e, "name", "uri"),
    "sdf-3": lambda e: _complete(e, "definition", "min", "max"),
    "sdf-4": lambda e: e.get("abstract") is True or has(e, "baseDefinition"),
    "sdf-5": lambda e: (
        e.get("type") != "Extension" or e.get("derivation") == "specialization" or has(e, "context")
    ),
    "sdf-6": lambda e: has(e, "snapshot", "differential"),
    "sdf-8b": lambda e: _complete(e, "base"),
    "sdf-9": _plain_roots,
    "sdf-11": _same_root,
    "sdf-14": lambda e: all(has(found, "id") for found in _elements(e, "snapshot", "differential")),
    "sdf-15": _typed_root,
    "sdf-15a": _root_type,
    "sdf-16": lambda e: _ids(e, "snapshot"),
    "sdf-17": lambda e: _ids(e, "differential"),
    "sdf-18": lambda e: not has(e, "contextInvariant") or e.get("type") == "Extension",
    "sdf-20": lambda e: not any(has(root, "slicing") for root in _roots(e)),
    "sdf-23": lambda e: (
        not any(has(root, "sliceName") for view in _views(e) for root in _roots(view))
    ),
    "spd-1": lambda e: not has(e, "xpath") or has(e, "xpathUsage"),
    "spd-2": lambda e: not has(e, "chain") or e.get("type") == "reference",
    "smp-1": lambda e: not has(e, "element") or has(e, "context"),
    "smp-2": lambda e: not has(e, "context") or has(e, "contextType"),
    "tcp-1": _versions,
    "tcp-2": _described,
    "tcp-3": lambda e: not _kind(e, "instance") or has(e, "implementation"),
    "tcp-4": lambda e: (
        not _kind(e, "capability") or (not has(e, "implementation") and has(e, "software"))
    ),
    "tcp-5": lambda e: not _kind(e, "requirements") or not has(e, "implementation", "software"),
    "inv-2": lambda e: has(e, "operation") != has(e, "assert"),
    "tst-1": lambda e: has(e, "operation") != has(e, "assert"),
    "tst-2": lambda e: has(e, "operation") != has(e, "assert"),
    "tst-3": lambda e: not has(e, "expression") or not has(e, "headerField") or not has(e, "path"),
    "tst-4": lambda e: any(
        has(found, "required", "validated") for found in objects(e, "capability")
    ),
    "vsd-1": lambda e: has(e, "valueSet", "system"),
    "vsd-2": lambda e: not has(e, "concept", "filter") or has(e, "system"),
    "vsd-3": lambda e: not has(e, "concept") or not has(e, "filter"),
    "vsd-6": lambda e: has(e, "code", "display"),
    "vsd-9": lambda e: has(e, "code") or e.get("abstract") is True,
    "vsd-10": lambda e: not has(e, "code") or has(e, "system"),
}


def told(parameter: Json) -> Iterator[Told]:
    """What the definition of SearchParameter.type asks: a composite combines at least two others, once it is no draft."""
    lacking = len(objects(parameter, "component")) < 2 and parameter.get("status") != "draft"
    if parameter.get("type") == "composite" and lacking:
        yield Told(".component", "must be two or more, as it is composite")
