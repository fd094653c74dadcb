"""Elements of a resource in its text: a FHIR element is a JSON member, and for primitives one more with ``_`` before it.

A repeating primitive is two arrays that run side by side, with ``null`` where one of them has nothing (R4 json.html,
2.6.2.3).  Here it is one list of pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from profiles.definitions import Definitions, Element
from profiles.patch.tree import Tree


@dataclass(frozen=True, slots=True)
class Content:
    """One element: its JSON value, and what stands in the member with ``_``; either may be missing, not both."""

    value: Tree | None
    extra: Tree | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of an element in its parent.

    Attributes:
        parent: The object that holds it.
        member: Its JSON name, without ``_``.
    """

    parent: Tree
    member: str
    element: Element

    @property
    def repeats(self) -> bool:
        """Whether it is an array in JSON."""
        return self.element.max not in ("0", "1")

    def read(self) -> list[Content]:
        """What is there, in order."""
        own = self.parent.members or {}
        values, extras = _list(own.get(self.member)), _list(own.get(f"_{self.member}"))
        size = max(len(values), len(extras))
        pairs = zip(_padded(values, size), _padded(extras, size), strict=True)
        return [
            Content(value, extra)
            for value, extra in pairs
            if value is not None or extra is not None
        ]

    def write(self, contents: list[Content]) -> None:
        """Put ``contents`` there instead of what is there."""
        self._put(self.member, [c.value for c in contents])
        self._put(f"_{self.member}", [c.extra for c in contents])

    def _put(self, name: str, found: list[Tree | None]) -> None:
        own = self.parent.members
        assert own is not None
        first = next((tree for tree in found if tree is not None), None)
        if first is None:
            own.pop(name, None)
        elif self.repeats:
            self.parent.put(
                name, Tree.array([tree if tree is not None else Tree("null") for tree in found])
            )
        else:
            self.parent.put(name, first)


def slots(parent: Tree, type_: str, name: str, definitions: Definitions) -> list[Slot]:
    """The places that a FHIRPath name means in an object of ``type_``: several for a choice (``value`` of ``value[x]``)."""
    found = definitions.elements.get(type_, {})
    return [Slot(parent, m, e) for m, e in found.items() if name in (m, e.choice)]


def type_of(element: Element, value: Tree | None) -> str:
    """The type of what an element holds: that of the resource itself where any may stand."""
    if element.type in ("Resource", "DomainResource") and value is not None and value.members:
        named = value.members.get("resourceType")
        return str(named.value) if named else element.type
    return element.type


def object_of(members: Mapping[str, Tree]) -> Tree:
    """A new object."""
    made = Tree("{}")
    for name, child in members.items():
        made.put(name, child)
    return made


def _list(tree: Tree | None) -> list[Tree | None]:
    if tree is None:
        return []
    items = tree.items
    found = [tree] if items is None else items
    return [None if item.text == "null" else item for item in found]


def _padded(found: list[Tree | None], size: int) -> list[Tree | None]:
    return found + [None] * (size - len(found))
