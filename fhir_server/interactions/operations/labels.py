"""Profiles, tags and security labels in ``meta``: gathered, added and removed (R4 resource-operation-meta*.html).

A tag or label is known by system and code, a profile by its url; other elements of ``meta`` are left as they are.
"""

import json
from collections.abc import Iterable, Mapping

from fhir_server.errors import InvalidParameterError
from fhir_server.forms import Json
from fhir_server.resource_text import ResourceText, read_resource
from profiles.patch.tree import Tree

_LISTS = ("profile", "security", "tag")
_OF_CODING = ("system", "version", "code", "display", "userSelected")
_MOST = 100
_WRONG = "the parameter 'meta' must be a Meta with profile, security or tag"


def sent_labels(parameters: ResourceText | None) -> Mapping[str, list[object]]:
    """What the parameter ``meta`` holds, by list.

    Raises:
        InvalidParameterError: It is missing, holds nothing, or is not of the shape of a Meta.
    """
    sent = parameters.value.get("parameter") if parameters else None
    found = [p.get("valueMeta") for p in (sent if isinstance(sent, list) else ())]
    if len(found) != 1 or not isinstance(found[0], dict):
        raise InvalidParameterError(_WRONG)
    labels = {name: _list(found[0].get(name, [])) for name in _LISTS}
    if not any(labels.values()):
        raise InvalidParameterError(_WRONG)
    return {name: [_plain(name, one) for one in ones] for name, ones in labels.items()}


def gathered(metas: Iterable[object]) -> Json:
    """One Meta with all that several hold, each once."""
    found: dict[str, dict[object, object]] = {name: {} for name in _LISTS}
    for meta in metas:
        if isinstance(meta, dict):
            for name in _LISTS:
                for one in meta.get(name) or ():
                    found[name].setdefault(_key(one), one)
    return {name: list(ones.values()) for name, ones in found.items() if ones}


def meta_text(text: str) -> str:
    """The Meta of a stored resource, as it stands there."""
    members = Tree(text).members
    assert members is not None, "a stored resource is an object"
    return members["meta"].text


def with_labels(text: str, labels: Mapping[str, list[object]], *, add: bool) -> ResourceText:
    """A stored resource with labels added or removed; what is not touched keeps its bytes."""
    whole = Tree(text)
    assert whole.members is not None
    meta = whole.members["meta"]
    for name, ones in labels.items():
        _change(meta, name, ones, add=add)
    return read_resource(whole.text.encode())


def _change(meta: Tree, name: str, ones: Iterable[object], *, add: bool) -> None:
    assert meta.members is not None
    there = list(meta.members[name].items or ()) if name in meta.members else []
    wanted = {_key(one): one for one in ones}
    if add:
        known = {_key(item.value) for item in there}
        new = [one for key, one in wanted.items() if key not in known]
        kept = [*there, *(Tree(json.dumps(one, ensure_ascii=False)) for one in new)]
    else:
        kept = [item for item in there if _key(item.value) not in wanted]
    if kept:
        meta.put(name, Tree.array(kept))
    else:
        meta.members.pop(name, None)


def _key(one: object) -> object:
    return (one.get("system"), one.get("code")) if isinstance(one, dict) else one


def _list(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise InvalidParameterError(_WRONG)
    return value


def _plain(name: str, one: object) -> object:
    if name == "profile" and isinstance(one, str):
        return one
    if name != "profile" and isinstance(one, dict):
        told = {part: one[part] for part in _OF_CODING if part in one}
        if all(isinstance(part, (str, bool)) for part in told.values()) and "code" in told:
            return told
    raise InvalidParameterError(_WRONG)
