"""Rules of a Bundle (bundle.html): its invariants by key (see ``datatypes.py``), and what its prose says of entries."""

from collections.abc import Callable, Iterator, Mapping

from profiles.rules.members import Json, Told, distinct, has, objects, strings

_ASKED = frozenset({"batch", "transaction", "history"})
_ANSWERED = frozenset({"batch-response", "transaction-response", "history"})
_ONCE = ("self", "first", "previous", "prev", "next", "last")


def _with(element: Json, name: str, types: frozenset[str]) -> bool:
    needed = element.get("type") in types
    return all(has(entry, name) == needed for entry in objects(element, "entry"))


def _distinct(element: Json) -> bool:
    """A resource is there once, or once for each version."""
    if element.get("type") == "history":
        return True
    return distinct([_identity(e) for e in objects(element, "entry") if has(e, "fullUrl")])


def _identity(entry: Json) -> str:
    for resource in objects(entry, "resource"):
        for meta in objects(resource, "meta"):
            return f"{entry.get('fullUrl')}{meta.get('versionId', '')}"
    return str(entry.get("fullUrl"))


def _identified(element: Json) -> bool:
    identified = any(has(i, "system") and has(i, "value") for i in objects(element, "identifier"))
    return element.get("type") != "document" or identified


def _begins(element: Json, type_: str, resource_type: str) -> bool:
    if element.get("type") != type_:
        return True
    first = next(iter(objects(element, "entry")), {})
    return any(r.get("resourceType") == resource_type for r in objects(first, "resource"))


def _searched(element: Json) -> bool:
    return not any(has(entry, "search") for entry in objects(element, "entry"))


HOLDS: Mapping[str, Callable[[Json], bool]] = {
    "bdl-1": lambda e: not has(e, "total") or e.get("type") in ("searchset", "history"),
    "bdl-2": lambda e: e.get("type") == "searchset" or _searched(e),
    "bdl-3": lambda e: _with(e, "request", _ASKED),
    "bdl-4": lambda e: _with(e, "response", _ANSWERED),
    "bdl-5": lambda e: has(e, "resource", "request", "response"),
    "bdl-7": _distinct,
    "bdl-8": lambda e: "/_history/" not in str(e.get("fullUrl", "")),
    "bdl-9": _identified,
    "bdl-10": lambda e: e.get("type") != "document" or "timestamp" in e,
    "bdl-11": lambda e: _begins(e, "document", "Composition"),
    "bdl-12": lambda e: _begins(e, "message", "MessageHeader"),
}


def told(bundle: Json) -> Iterator[Told]:
    """What the definitions of Bundle's elements ask without an invariant."""
    relations = [str(link.get("relation")) for link in objects(bundle, "link")]
    for at, relation in enumerate(relations):
        if relation in _ONCE and relation in relations[:at]:
            yield Told(f".link[{at}]", "repeats a relation of which a page has one")
    for at, entry in enumerate(objects(bundle, "entry")):
        for resource in objects(entry, "resource"):
            yield from _entry(bundle, entry, resource, f".entry[{at}]")


def _entry(bundle: Json, entry: Json, resource: Json, where: str) -> Iterator[Told]:
    modes = [str(search.get("mode")) for search in objects(entry, "search")]
    is_outcome = resource.get("resourceType") == "OperationOutcome"
    if "outcome" in modes and not is_outcome:
        yield Told(f"{where}.resource", "must be an OperationOutcome, as its search mode says")
    if bundle.get("type") == "searchset" and "id" not in resource and not is_outcome:
        yield Told(f"{where}.resource", "must have an id: it is what a search found")
    for url in strings(entry, "fullUrl"):
        if url.startswith(("http://", "https://")) and not _agrees(url, resource):
            message = "must not disagree with the id of the resource"  # an official example does
            yield Told(f"{where}.fullUrl", message, "warning")


def _agrees(url: str, resource: Json) -> bool:
    type_, id_ = resource.get("resourceType"), resource.get("id")
    *_, named, last = url.partition("|")[0].split("/")
    return not isinstance(id_, str) or named != type_ or last == id_
