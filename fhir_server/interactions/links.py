"""Links of a resource to others: where R4 has a server replace them in a transaction (http.html, 3.1.0.11.2).

These are ``Reference.reference``, elements of type uri, url, oid and uuid, and ``href`` and ``src`` in narrative.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping

from fhir_server.resource_text import ResourceText, references, rewrite_references
from profiles.definitions import Definitions
from profiles.patch.tree import Tree

_URIS = frozenset({"uri", "url", "oid", "uuid"})
_LINK = re.compile(r"""(\b(?:href|src)\s*=\s*)(?:"([^"]*)"|'([^']*)')""")
_ABSOLUTE = re.compile(r"(https?://.+/)[A-Za-z]+/[A-Za-z0-9\-.]{1,64}")

Resolve = Callable[[str], str | None]


def rewrite_links(
    resource: ResourceText,
    resolve_reference: Resolve,
    identities: Mapping[str, str],
    definitions: Definitions,
) -> ResourceText:
    """The resource with links replaced: references by ``resolve_reference``, others by ``identities`` (fullUrl: Type/id).

    Raises:
        InvalidResourceError: A reference is written with escapes in its name, so that text and value could differ.
    """
    if _may_hold_others(resource, identities):
        found = dict(_others(resource.value, resource.type_, (), identities, definitions))
        if found:
            resource = _replaced(resource, found)
    return rewrite_references(resource, resolve_reference)


def root_of(full_url: str) -> str:
    """The base of a RESTful ``fullUrl``, with which relative references of its entry are read (R4 bundle.html, 2.36.4.1)."""
    match = _ABSOLUTE.fullmatch(full_url)
    return match[1] if match else ""


def _may_hold_others(resource: ResourceText, identities: Mapping[str, str]) -> bool:
    """Whether an identity may stand elsewhere than in a Reference; mostly told by counting."""
    if not identities:
        return False
    if any(not full_url.startswith("urn:") for full_url in identities):
        return True
    own = sum(reference.startswith("urn:") for reference in references(resource.value))
    text = resource.text
    return text.count("urn:uuid:") + text.count("urn:oid:") + text.count("\\u") > own


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
