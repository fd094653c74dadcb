"""JSON Merge Patch (RFC 7396): members of the patch replace those of the resource, null removes."""

from profiles.errors import PatchError
from profiles.patch.tree import Tree, tree


def merge_patch(document: str, patch: str) -> str:
    """The document with ``patch`` merged in.

    Raises:
        JsonError: The patch is not JSON.
        PatchError: It is not an object, so it would not leave a resource.
    """
    wanted = tree(patch)
    if wanted.members is None:
        raise PatchError("a merge patch of a resource is a JSON object")
    whole = Tree(document)
    _merge(whole, wanted)
    return whole.text


def _merge(target: Tree, patch: Tree) -> None:
    own, wanted = target.members, patch.members
    assert own is not None
    assert wanted is not None
    for name, value in wanted.items():
        if value.text == "null":
            own.pop(name, None)
        elif value.members is None:
            target.put(name, value)
        else:
            if name not in own or own[name].members is None:
                target.put(name, Tree("{}"))
            _merge(own[name], value)
