"""FHIRPath Patch (R4 fhirpatch.html): a Parameters resource whose operations add, insert, delete, replace and move elements.

A primitive and its extensions are one element.  Deleting what is not there changes nothing, as the standard has it.
"""

from dataclasses import dataclass

from profiles.definitions import Definitions
from profiles.errors import PatchConflictError, PatchError
from profiles.patch.element_path import ElementPaths, Node
from profiles.patch.elements import Content, Slot, object_of, slots
from profiles.patch.tree import Tree, tree

_MOST = 1000


@dataclass(frozen=True, slots=True)
class _Value:
    """A value to be put in.

    Attributes:
        kind: What stands behind ``value`` in its member name (``Quantity``); empty for a resource or parts.
        parts: The parts of an anonymous (backbone) element.
    """

    content: Content
    kind: str = ""
    parts: tuple[Tree, ...] = ()


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation; what it does not use is empty."""

    type: str
    path: str
    name: str
    numbers: dict[str, int]
    value: _Value | None


def fhirpath_patch(document: str, patch: str, definitions: Definitions) -> str:
    """The document with the operations of ``patch`` performed, all of them or none.

    Raises:
        JsonError: The patch is not JSON.
        PatchError: It is no FHIRPath Patch.
        PatchConflictError: An operation can not be performed on this document; it is named by number.
    """
    parameters = (tree(patch).members or {}).get("parameter")
    items = [] if parameters is None else parameters.items
    if items is None or len(items) > _MOST:
        raise PatchError(f"a FHIRPath Patch has at most {_MOST} parameters")
    operations = [_operation(number, item) for number, item in enumerate(items)]
    whole = Tree(document)
    run = _Run(whole, definitions)
    for number, operation in enumerate(operations):
        try:
            run.perform(operation)
        except (PatchConflictError, PatchError) as error:
            raise type(error)(f"operation {number} ({operation.type}): {error}") from error
    return whole.text


class _Run:
    def __init__(self, whole: Tree, definitions: Definitions) -> None:
        self._definitions = definitions
        self._paths = ElementPaths(whole, definitions)

    def perform(self, operation: _Operation) -> None:
        match operation.type:
            case "add":
                self._add(self._one(operation.path), operation)
            case "insert":
                self._insert(self._paths.list_at(operation.path), operation)
            case "delete":
                self._delete(operation.path)
            case "replace":
                self._replace(self._one(operation.path), operation)
            case _:
                self._move(self._paths.list_at(operation.path), operation)

    def _move(self, slot: Slot, operation: _Operation) -> None:
        there = self._read(slot)
        source = _index(operation, "source", len(there) - 1)
        destination = _index(operation, "destination", len(there) - 1)
        there.insert(destination, there.pop(source))
        slot.write(there)

    def _read(self, slot: Slot) -> list[Content]:
        found = slot.read()
        self._paths.charge(len(found))
        return found

    def _one(self, path: str) -> Node:
        found = self._paths.find(path)
        if len(found) != 1:
            raise PatchConflictError(f"the path finds {len(found) or 'no'} elements, not one")
        return found[0]

    def _add(self, node: Node, operation: _Operation) -> None:
        value = _needed(operation)
        slot = _slot(self._paths.slots(node, operation.name), operation.name, value)
        there = self._read(slot)
        if there and not slot.repeats:
            raise PatchConflictError("the element is there already")
        slot.write([*there, self._content(value, slot.element.type)])

    def _insert(self, slot: Slot, operation: _Operation) -> None:
        there = self._read(slot)
        at = _index(operation, "index", len(there))
        there.insert(at, self._content(_needed(operation), slot.element.type))
        slot.write(there)

    def _delete(self, path: str) -> None:
        found = self._paths.find(path)
        if not found:
            return
        slot, at = _place(self._one(path))
        there = self._read(slot)
        slot.write(there[:at] + there[at + 1 :])

    def _replace(self, node: Node, operation: _Operation) -> None:
        slot, at = _place(node)
        value = _needed(operation)
        there = self._read(slot)
        if slot.element.choice:
            slot.write([])
            choices = slots(slot.parent, self._holder(slot), slot.element.choice, self._definitions)
            slot, there, at = _slot(choices, slot.element.choice, value), [Content(None)], 0
        there[at] = self._content(value, slot.element.type)
        slot.write(there)

    def _holder(self, slot: Slot) -> str:
        """The type whose element a slot is."""
        known = self._definitions.elements.items()
        return next(t for t, e in known if e.get(slot.member) is slot.element)

    def _content(self, value: _Value, type_: str) -> Content:
        """The value as an element of ``type_``; parts become the members of a backbone element."""
        if not value.parts:
            return value.content
        made: dict[str, Tree] = {}
        whole = object_of(made)
        for part in value.parts:
            name, inner = _named_value(part)
            slot = _slot(slots(whole, type_, name, self._definitions), name, inner)
            slot.write([*slot.read(), self._content(inner, slot.element.type)])
        return Content(whole)


def _slot(found: list[Slot], name: str, value: _Value) -> Slot:
    """The place for a value: of a choice, the one for its type."""
    fitting = [
        s
        for s in found
        if not s.element.choice or s.member in (name, f"{s.element.choice}{value.kind}")
    ]
    exact = [s for s in fitting if not s.element.choice or s.member.endswith(value.kind)]
    if len(exact) != 1:
        raise PatchConflictError("R4 knows no such element there, or not with a value of this type")
    return exact[0]


def _place(node: Node) -> tuple[Slot, int]:
    if node.slot is None:
        raise PatchConflictError("the resource itself can not be replaced or deleted by a patch")
    return node.slot, node.at


def _index(operation: _Operation, name: str, most: int) -> int:
    number = operation.numbers.get(name)
    if number is None:
        raise PatchError(f"{name} is missing")
    if not 0 <= number <= most:
        raise PatchConflictError(f"{name} is not in the list")
    return number


def _needed(operation: _Operation) -> _Value:
    if operation.value is None:
        raise PatchError("value is missing")
    return operation.value


_TYPES = frozenset({"add", "insert", "delete", "replace", "move"})
_NUMBERS = frozenset({"index", "source", "destination"})


def _operation(number: int, parameter: Tree) -> _Operation:
    try:
        return _read(parameter)
    except PatchError as error:
        raise PatchError(f"parameter {number}: {error}") from error


def _read(parameter: Tree) -> _Operation:
    name, whole = _named_value(parameter)
    parts = dict(_named_value(part) for part in whole.parts)
    type_, path = _plain(parts.get("type")), _plain(parts.get("path"))
    if name != "operation" or type_ not in _TYPES or not isinstance(path, str):
        raise PatchError(f"each is an 'operation' with path and type ({', '.join(sorted(_TYPES))})")
    numbers = {n: _plain(parts[n]) for n in _NUMBERS & parts.keys()}
    counted = {n: v for n, v in numbers.items() if type(v) is int}
    if len(counted) < len(numbers):
        raise PatchError("index, source and destination are integers")
    named = _plain(parts.get("name"))
    return _Operation(str(type_), path, str(named or ""), counted, parts.get("value"))


def _plain(value: _Value | None) -> object:
    found = value.content.value if value else None
    return found.value if found is not None else None


def _named_value(part: Tree) -> tuple[str, _Value]:
    """Name and value of a parameter or part."""
    members = part.members
    name = members["name"].value if members and "name" in members else None
    if members is None or not isinstance(name, str):
        raise PatchError("a parameter needs a name")
    if "part" in members:
        return name, _Value(Content(None), parts=tuple(members["part"].items or ()))
    if "resource" in members:
        return name, _Value(Content(members["resource"]))
    named = [m.removeprefix("_") for m in members if m.removeprefix("_").startswith("value")]
    if len(set(named)) != 1:
        raise PatchError("a parameter needs one value")
    content = Content(members.get(named[0]), members.get(f"_{named[0]}"))
    return name, _Value(content, named[0].removeprefix("value"))
