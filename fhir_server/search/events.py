"""What AuditEvents are searched by: what those of one caller and day share, which is nearly all, and what each names.

Every answer has an AuditEvent: the tokens of the first part are remembered, and only those of the second made for each.
"""

from collections.abc import Mapping, Sequence, Set

Json = Mapping[str, object]
EVENT = "AuditEvent"
WHAT = "what"  # each entity names something else, but few types and roles are there
_PLAIN = frozenset({"value"})
_OF_VERSION = frozenset({"versionId", "lastUpdated"})


def steady_part(event: Json, below_entity: Set[str]) -> Json:
    """All of an AuditEvent but its id, its times of day, and what its entities name.

    Args:
        below_entity: The members of an entity that search looks at, less what it names.
    """
    shared = dict(event)
    shared.pop("id", None)
    if "meta" in shared:
        shared["meta"] = tags(shared["meta"])
    if "recorded" in shared:
        shared["recorded"] = day(shared["recorded"])
    if "entity" in shared:
        shared["entity"] = kinds(shared["entity"], below_entity)
    return shared


def named(entities: object) -> Sequence[object]:
    """What the entities of an AuditEvent name."""
    return [item[WHAT] for item in _entities(entities) if WHAT in item]


def kinds(entities: object, below_entity: Set[str]) -> Sequence[Json]:
    """The members of each entity that are in ``below_entity``; neighbours that are alike once."""
    found: list[Json] = []
    for item in _entities(entities):
        kind = {name: part for name, part in item.items() if name in below_entity}
        if found[-1:] != [kind]:
            found.append(kind)
    return found


def named_record(what: object) -> str:
    """The record that an entity names, if it does so by a reference and nothing else; empty if not."""
    if not isinstance(what, dict) or len(what) != 1:
        return ""
    reference = what.get("reference")
    if not isinstance(reference, str) or reference.startswith("#"):
        return ""
    return reference.partition("/_history/")[0]


def named_request(what: object) -> str:
    """The value of an identifier, if an entity is known by that alone, as requests are; empty if not."""
    identifier = what.get("identifier") if isinstance(what, dict) and len(what) == 1 else None
    if not isinstance(identifier, dict) or identifier.keys() != _PLAIN:
        return ""
    value = identifier["value"]
    return value if isinstance(value, str) else ""


def tags(meta: object) -> object:
    """What search looks at in ``meta``; its version and time differ for each."""
    if not isinstance(meta, dict):
        return meta
    return {name: value for name, value in meta.items() if name not in _OF_VERSION}


def day(content: object) -> object:
    """A time without its time of day, if it tells its day in UTC: that is what the index knows of it."""
    if isinstance(content, str) and content.endswith("Z"):
        return content.partition("T")[0]
    return content


def items(content: object) -> Sequence[object]:
    """What a member holds, one by one."""
    return content if isinstance(content, list) else (content,)


def _entities(content: object) -> Sequence[Json]:
    return [item for item in items(content) if isinstance(item, dict)]
