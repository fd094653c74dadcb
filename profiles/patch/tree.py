"""A JSON text that can be changed in places; what is not changed is written back as it was read."""

import json
from collections.abc import Iterator
from decimal import Decimal

from profiles.strict_json import items, members, read, read_value


class Tree:
    """One value in a JSON text: its own text until something below it is asked for, then its children.

    Attributes:
        name: Of a member of an object, its name and colon as they are written; else empty.
    """

    __slots__ = ("_items", "_members", "_text", "name")

    def __init__(self, text: str, name: str = "") -> None:
        self.name = name
        self._text: str | None = text
        self._members: dict[str, Tree] | None = None
        self._items: list[Tree] | None = None

    @classmethod
    def array(cls, items: "list[Tree]") -> "Tree":
        """An array of ``items``."""
        made = cls("")
        made._text, made._items = None, items
        return made

    @property
    def members(self) -> "dict[str, Tree] | None":
        """The members, if it is an object; whoever takes them may change them."""
        if self._members is None and self._text is not None and self._text[:1] == "{":
            self._members = {
                m.name: _member(self._text, m.start, m.value_start, m.end)
                for m in members(self._text)
            }
            self._text = None
        return self._members

    @property
    def items(self) -> "list[Tree] | None":
        """The items, if it is an array; whoever takes them may change them."""
        if self._items is None and self._text is not None and self._text[:1] == "[":
            self._items = list(_items(self._text))
            self._text = None
        return self._items

    @property
    def text(self) -> str:
        """As JSON."""
        if self._text is not None:
            return self._text
        if self._members is not None:
            return "{" + ",".join(child.name + child.text for child in self._members.values()) + "}"
        return "[" + ",".join(child.text for child in self._items or ()) + "]"

    @property
    def value(self) -> object:
        """As read: decimals are ``Decimal``."""
        return read_value(self.text, 0)[0]

    def put(self, name: str, child: "Tree") -> None:
        """Set a member of this object; a new one becomes the last.  ``child`` is of this tree from then on."""
        own = self.members
        assert own is not None
        kept = own.get(name)
        child.name = kept.name if kept else f"{json.dumps(name)}:"
        own[name] = child


def tree(text: str) -> Tree:
    """The whole of a JSON text.

    Raises:
        JsonError: It is not JSON as FHIR allows it.
    """
    read(text)
    return Tree(text.strip(" \t\r\n"))


def same(one: object, other: object) -> bool:
    """Whether two values read from JSON are equal (RFC 6902, 4.6): numbers by value, objects in any order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if _is_number(one) and _is_number(other):
        return one == other
    return type(one) is type(other) and one == other


def _is_number(value: object) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _member(text: str, start: int, value_start: int, end: int) -> Tree:
    return Tree(text[value_start:end], text[start:value_start])


def _items(text: str) -> Iterator[Tree]:
    for at in items(text, 0):
        yield Tree(text[at : read_value(text, at)[1]])
