"""JSON Patch (RFC 6902) with JSON Pointers (RFC 6901)."""

from collections.abc import Mapping
from dataclasses import dataclass

from profiles.errors import PatchConflictError, PatchError
from profiles.patch.tree import Tree, same, tree
from profiles.strict_json import MAX_DEPTH

_MOST = 1000
_MOST_READ = 32 * 1024 * 1024  # characters that the tests and copies of one patch may read
_OPERATIONS = frozenset({"add", "remove", "replace", "move", "copy", "test"})


def json_patch(document: str, patch: str) -> str:
    """The document with the operations of ``patch`` performed, all of them or none.

    Raises:
        JsonError: The patch is not JSON.
        PatchError: It is no JSON Patch.
        PatchConflictError: An operation can not be performed on this document, or a test fails; it is named by number.
    """
    operations = tree(patch).items
    if operations is None or len(operations) > _MOST:
        raise PatchError(f"a JSON Patch is an array of at most {_MOST} operations")
    read = [_operation(number, operation) for number, operation in enumerate(operations)]
    target = _Document(document)
    for number, operation in enumerate(read):
        try:
            target.perform(operation)
        except PatchConflictError as error:
            raise PatchConflictError(f"operation {number} ({operation.op}): {error}") from error
    return target.whole.text


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation; pointers as lists of steps."""

    op: str
    path: list[str]
    from_: list[str]
    value: Tree | None


def _operation(number: int, operation: Tree) -> _Operation:
    members = operation.members
    if members is None:
        raise PatchError(f"operation {number} is not an object")
    op = members["op"].value if "op" in members else None
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise PatchError(f"operation {number}: op must be one of {', '.join(sorted(_OPERATIONS))}")
    if op in ("add", "replace", "test") and "value" not in members:
        raise PatchError(f"operation {number}: value is missing")
    source = _pointer(number, members, "from") if op in ("move", "copy") else []
    return _Operation(op, _pointer(number, members, "path"), source, members.get("value"))


def _pointer(number: int, members: Mapping[str, Tree], name: str) -> list[str]:
    value = members[name].value if name in members else None
    if not isinstance(value, str) or (value and value[0] != "/"):
        raise PatchError(f"operation {number}: {name} must be a JSON Pointer")
    steps = value.split("/")[1:]
    if len(steps) > MAX_DEPTH or any(
        step.replace("~0", "").replace("~1", "").count("~") for step in steps
    ):
        raise PatchError(f"operation {number}: {name} must be a JSON Pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in steps]


class _Document:
    """The document while it is patched."""

    def __init__(self, text: str) -> None:
        self.whole = Tree(text)
        self._left = _MOST_READ

    def perform(self, operation: _Operation) -> None:
        path, value = operation.path, operation.value
        match operation.op:
            case "test" if value is not None:
                if not same(self._take(path).value, value.value):
                    raise PatchConflictError("the value is another")
            case "remove":
                _remove(self.whole, path)
            case "replace" if value is not None:
                self.whole = _replace(self.whole, path, value)
            case "add" if value is not None:
                self.whole = _add(self.whole, path, value)
            case "copy":
                self.whole = _add(self.whole, path, self._take(operation.from_))
            case "move":
                self._move(operation.from_, path)

    def _move(self, source: list[str], path: list[str]) -> None:
        if path != source and path[: len(source)] == source:
            raise PatchConflictError("a value can not be moved into itself")
        found = self._take(source)
        if path != source:
            _remove(self.whole, source)
            self.whole = _add(self.whole, path, found)

    def _take(self, path: list[str]) -> Tree:
        """What is at ``path``, on its own; a patch that reads too much is refused (copies of copies double)."""
        text = _find(self.whole, path).text
        self._left -= len(text)
        if self._left < 0:
            raise PatchConflictError("the patch tests or copies too much")
        return Tree(text)


def _find(whole: Tree, path: list[str]) -> Tree:
    found = whole
    for step in path:
        if found.members is not None and step in found.members:
            found = found.members[step]
        elif found.items is not None:
            found = found.items[_index(step, len(found.items) - 1)]
        else:
            raise PatchConflictError("there is nothing at this path")
    return found


def _add(whole: Tree, path: list[str], value: Tree) -> Tree:
    if not path:
        return Tree(value.text)
    parent = _find(whole, path[:-1])
    if parent.members is not None:
        parent.put(path[-1], value)
    elif parent.items is not None:
        size = len(parent.items)
        at = size if path[-1] == "-" else _index(path[-1], size)
        parent.items.insert(at, Tree(value.text))
    else:
        raise PatchConflictError("nothing can be added to a value that is no object and no array")
    return whole


def _replace(whole: Tree, path: list[str], value: Tree) -> Tree:
    _find(whole, path)
    if not path:
        return Tree(value.text)
    parent = _find(whole, path[:-1])
    if parent.members is not None:
        parent.put(path[-1], value)
    elif parent.items is not None:
        parent.items[_index(path[-1], len(parent.items) - 1)] = Tree(value.text)
    return whole


def _remove(whole: Tree, path: list[str]) -> None:
    if not path:
        raise PatchConflictError("the whole resource can not be removed by a patch")
    _find(whole, path)
    parent = _find(whole, path[:-1])
    if parent.members is not None:
        del parent.members[path[-1]]
    elif parent.items is not None:
        del parent.items[_index(path[-1], len(parent.items) - 1)]


def _index(step: str, most: int) -> int:
    """An array index: no sign, no leading zero (RFC 6901, 4)."""
    plain = step.isascii() and step.isdigit() and len(step) < 9 and str(int(step)) == step
    if not plain or int(step) > most:
        raise PatchConflictError("there is no such item in the array")
    return int(step)
