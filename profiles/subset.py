"""Parts of a resource: ``_summary`` and ``_elements`` (R4 search.html 3.1.1.5.8, 3.1.1.5.9).

Cut out of the text, so that what stays is spelled as it was.  Mandatory elements and those that change what others mean
(``isModifier``) always stay; what was cut is tagged SUBSETTED, so that nobody writes it back as if it were whole.
"""

import json
from collections.abc import Callable, Iterator, Mapping

from profiles.definitions import Definitions, Element
from profiles.strict_json import Member, items, members

_ALWAYS = frozenset({"resourceType", "id", "meta", "implicitRules"})
_TAG = json.dumps(
    {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
        "code": "SUBSETTED",
        "display": "subsetted",
    },
    separators=(",", ":"),
)
Keep = Callable[[str, Element], bool]


def summary(text: str, type_: str, mode: str, definitions: Definitions) -> str:
    """The part of the resource in ``text`` that a ``_summary`` of ``true``, ``text`` or ``data`` leaves."""
    if mode == "data":
        return _subset(text, type_, definitions, lambda name, _: name != "text", deep=False)
    if mode == "text":
        return _subset(text, type_, definitions, lambda name, _: name == "text", deep=False)
    return _subset(text, type_, definitions, lambda _, element: element.summary, deep=True)


def elements(text: str, type_: str, names: frozenset[str], definitions: Definitions) -> str:
    """The part of the resource in ``text`` that ``_elements`` leaves; a name stands for all types of a choice."""

    def named(name: str, element: Element) -> bool:
        return name in names or element.choice in names

    return _subset(text, type_, definitions, named, deep=False)


def _subset(text: str, type_: str, definitions: Definitions, keep: Keep, *, deep: bool) -> str:
    kept = list(_cut(text, 0, type_, definitions, keep, deep=deep))
    if not any(name == "meta" for name, _ in kept):
        kept.append(("meta", '"meta":{"tag":[' + _TAG + "]}"))
    return "{" + ",".join(_tagged(part) if name == "meta" else part for name, part in kept) + "}"


def _cut(
    text: str, start: int, path: str, definitions: Definitions, keep: Keep, *, deep: bool
) -> Iterator[tuple[str, str]]:
    known: Mapping[str, Element] = definitions.elements[path]
    for member in members(text, start):
        element = known.get(member.name.removeprefix("_"))
        if member.name in _ALWAYS or (element is not None and _stays(member, element, keep)):
            if deep and element is not None and element.type.startswith(f"{path}."):
                yield member.name, _inner(text, member, element.type, definitions, keep)
            else:
                yield member.name, text[member.start : member.end]


def _stays(member: Member, element: Element, keep: Keep) -> bool:
    mandatory = element.min > 0 or element.modifier
    return mandatory or keep(member.name.removeprefix("_"), element)


def _inner(text: str, member: Member, path: str, definitions: Definitions, keep: Keep) -> str:
    """A backbone element, cut as well."""

    def cut(start: int) -> str:
        return (
            "{"
            + ",".join(p for _, p in _cut(text, start, path, definitions, keep, deep=True))
            + "}"
        )

    if isinstance(member.value, list):
        parts = [cut(at) for at in items(text, member.value_start)]
        return f'"{member.name}":[{",".join(part for part in parts if part != "{}")}]'
    return f'"{member.name}":{cut(member.value_start)}'


def _tagged(meta: str) -> str:
    """The text of the member ``meta`` with the tag SUBSETTED added to its tags."""
    whole = "{" + meta + "}"
    (member,) = members(whole)
    parts, tagged = [], False
    for inner in members(whole, member.value_start):
        part = whole[inner.start : inner.end]
        if inner.name == "tag":
            part = part if '"SUBSETTED"' in part else f"{part[:-1]},{_TAG}]"
            tagged = True
        parts.append(part)
    if not tagged:
        parts.append(f'"tag":[{_TAG}]')
    return '"meta":{' + ",".join(parts) + "}"
