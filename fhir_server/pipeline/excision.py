"""Taking elements out of the text of a record: what stays keeps its bytes (ADR 0036).

What was left empty goes, too, because FHIR knows no empty elements.  A receiver who is to know of it finds ``REDACTED``
in ``meta.security`` and ``SUBSETTED`` in ``meta.tag`` (both of v3-ObservationValue).
"""

import json
from collections.abc import Set

from fhir_server.pipeline.withholding import Path
from profiles.patch.tree import Tree

_VALUES = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
_PROCESS = "PROCESSINLINELABEL"  # v3-ActCode: there are labels inside
Cuts = dict[str | int, "Cuts"]  # by member name or index; empty: all of it goes


def without(text: bytes, paths: Set[Path]) -> bytes:
    """The text of a resource without the elements at ``paths``; those of a primitive with their extensions."""
    whole = Tree(text.decode().strip())
    _cut(whole, _cuts(paths))
    if b"inline-sec-label" not in (left := whole.text.encode()):
        _forget_labels(whole)
        return whole.text.encode()
    return left


def tagged(text: bytes) -> bytes:
    """The text of a resource that says that something was taken out of it."""
    whole = Tree(text.decode())
    members = whole.members
    assert members is not None
    if "meta" not in members:
        whole.put("meta", Tree("{}"))
    for name, code in (("security", "REDACTED"), ("tag", "SUBSETTED")):
        _add(members["meta"], name, code)
    return whole.text.encode()


def _add(meta: Tree, name: str, code: str) -> None:
    members = meta.members
    assert members is not None
    coding = Tree(json.dumps({"system": _VALUES, "code": code}, separators=(",", ":")))
    listed = members[name].items if name in members else None
    if listed is None:
        meta.put(name, Tree.array([coding]))
    elif all(f'"{code}"' not in one.text for one in listed):
        listed.append(coding)


def _cuts(paths: Set[Path]) -> Cuts:
    root: Cuts = {}
    for path in sorted(paths, key=len):
        node = root
        for step in path[:-1]:
            if step in node and not node[step]:
                break  # what it stands in goes already
            node = node.setdefault(step, {})
        else:
            node[path[-1]] = {}
    return root


def _cut(node: Tree, cuts: Cuts) -> None:
    if node.members is not None:
        _cut_members(node.members, cuts)
    elif node.items is not None:
        _cut_items(node.items, cuts, aligned=False)


def _cut_members(own: dict[str, Tree], cuts: Cuts) -> None:
    for step, below in cuts.items():
        name = str(step)
        if not below:
            own.pop(name, None)
            own.pop(f"_{name}", None)
            continue
        whole: Cuts = {
            at: under for at, under in below.items() if isinstance(at, int) and not under
        }
        for member, wanted in ((name, below), (f"_{name}", whole)):
            _cut_member(own, member, wanted)


def _cut_member(own: dict[str, Tree], name: str, cuts: Cuts) -> None:
    child = own.get(name)
    if child is None or not cuts:
        return
    if child.items is not None:  # what stands in ``_name`` stands beside the values of ``name``
        _cut_items(child.items, cuts, aligned=name.startswith("_"))
    else:
        _cut(child, cuts)
    if _is_empty(child, beside=f"_{name}" in own):
        del own[name]


def _cut_items(items: list[Tree], cuts: Cuts, *, aligned: bool) -> None:
    for at in sorted((step for step in cuts if isinstance(step, int)), reverse=True):
        if at >= len(items):
            continue
        if cuts[at]:
            _cut(items[at], cuts[at])
            if not _is_empty(items[at], beside=False):
                continue
            if aligned:
                items[at] = Tree("null")
                continue
        del items[at]


def _is_empty(node: Tree, *, beside: bool) -> bool:
    if node.members is not None:
        return not node.members
    if node.items is not None:
        return not node.items or (not beside and all(one.text == "null" for one in node.items))
    return False


def _forget_labels(whole: Tree) -> None:
    """Without labels inside, that there are some is not said any more."""
    meta = (whole.members or {}).get("meta")
    security = (meta.members or {}).get("security") if meta else None
    listed = security.items if security else None
    if meta is None or listed is None:
        return
    listed[:] = [one for one in listed if f'"{_PROCESS}"' not in one.text]
    if not listed and meta.members is not None:
        del meta.members["security"]
