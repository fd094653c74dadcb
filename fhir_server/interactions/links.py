"""Links of a resource to others: where R4 has a server replace them in a transaction (http.html, 3.1.0.11.2).

These are ``Reference.reference``, elements of type uri, url, oid and uuid, and ``href`` and ``src`` in narrative.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fhir_server.resource_text import ResourceText, rewrite_references
from profiles.definitions import Definitions
from profiles.patch.tree import Tree

_URIS = frozenset({"uri", "url", "oid", "uuid"})
_LINK = re.compile(r"""(\b(?:href|src)\s*=\s*)(?:"([^"]*)"|'([^']*)')""")
_ABSOLUTE = re.compile(r"(https?://.+/)[A-Za-z]+/[A-Za-z0-9\-.]{1,64}")

Resolve = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Identities:
    """What the entries of a transaction are: ``Type/id`` by ``fullUrl``.

    Attributes:
        only_urns: Whether all of them are urn:uuid or urn:oid, so that counting tells where none stands.
    """

    by_url: Mapping[str, str]
    only_urns: bool


def identities(by_url: Mapping[str, str]) -> Identities:
    """For one transaction; made once, because it looks at all of them."""
    return Identities(by_url, all(url.startswith("urn:") for url in by_url))


def rewrite_links(
    resource: ResourceText,
    own: Sequence[str],
    resolve_reference: Resolve,
    known: Identities,
    definitions: Definitions,
) -> ResourceText:
    """The resource with links replaced: its references ``own`` by ``resolve_reference``, others by the identities.

    Raises:
        InvalidResourceError: A reference is written with escapes in its name, so that text and value could differ.
    """
    if known.by_url and _may_hold_others(resource.text, own, known):
        found = dict(_others(resource.value, resource.type_, (), known.by_url, definitions))
        if found:
            resource = _replaced(resource, found)
    return rewrite_references(resource, resolve_reference)


def root_of(full_url: str) -> str:
    """The base of a RESTful ``fullUrl``, with which relative references of its entry are read (R4 bundle.html, 2.36.4.1)."""
    match = _ABSOLUTE.fullmatch(full_url)
    return match[1] if match else ""


def _may_hold_others(text: str, own: Sequence[str], known: Identities) -> bool:
    """Whether an identity may stand elsewhere than in a Reference; mostly told by counting."""
    if not known.only_urns:
        return True
    counted = sum(reference.startswith("urn:") for reference in own)
    return text.count("urn:uuid:") + text.count("urn:oid:") + text.count("\\u") > counted


def _others(
    value: object,
    type_: str,
    path: tuple[str | int, ...],
    identities: Mapping[str, str],
    known: Definitions,
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where other links stand below ``value``, and what is to stand there."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from _others(item, type_, (*path, at), identities, known)
    elif isinstance(value, dict):
        inner = str(value.get("resourceType", type_))
        for name, child in value.items():
            element = known.elements.get(inner, {}).get(name)
            if element is not None:
                yield from _others(child, element.type, (*path, name), identities, known)
    elif isinstance(value, str):
        new = identities.get(value, value) if type_ in _URIS else value
        if type_ == "xhtml":
            new = _LINK.sub(lambda match: _linked(match, identities), value)
        if new != value:
            yield path, new


def _linked(match: re.Match[str], identities: Mapping[str, str]) -> str:
    target = identities.get(html.unescape(match[2] if match[2] is not None else match[3]))
    return match[0] if target is None else f'{match[1]}"{target}"'


def _replaced(resource: ResourceText, found: Mapping[tuple[str | int, ...], str]) -> ResourceText:
    whole = Tree(resource.text)
    for path, new in found.items():
        parent = whole
        for step in path[:-1]:
            parent = _child(parent, step)
        last = path[-1]
        made = Tree(json.dumps(new, ensure_ascii=False))
        if isinstance(last, str):
            parent.put(last, made)
        else:
            assert parent.items is not None
            parent.items[last] = made
    value = whole.value
    assert isinstance(value, dict)
    return ResourceText(whole.text, value)


def _child(parent: Tree, step: str | int) -> Tree:
    children = parent.members if isinstance(step, str) else parent.items
    assert children is not None
    return children[step]  # type: ignore[index]
