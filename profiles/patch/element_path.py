"""Paths of FHIRPath Patch: from a resource to the places of elements in its text.

Covered: names, ``[n]``, ``first()``, ``last()``, ``single()``, ``where(...)``, ``extension(url)``, ``ofType(T)``; inside
``where``: such paths, ``$this``, literals, ``=``, ``!=``, ``and``, ``or``, ``exists()``, ``empty()``, ``not()``.
Anything else is refused: a general evaluator would give values, not places, and would run a stranger's regular
expressions.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from profiles.definitions import Definitions
from profiles.errors import PatchConflictError, PatchError
from profiles.patch.elements import Content, Slot, slots, type_of
from profiles.patch.tree import Tree, same

_LENGTH = 1000
_NESTING = 10
_MOST_NODES = 200_000
_BOOLEANS = {"true": True, "false": False}
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\['\\/\"`])*')|(?P<date>@[0-9T:.+\-Z]+)|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*|`[A-Za-z_]\w*`|\$this)|(?P<sign>!=|[().\[\]=]))"
)


@dataclass(frozen=True, slots=True)
class Node:
    """One element: what it holds, its type, and where it is (the resource itself is nowhere).

    Attributes:
        slot: Its place.
        at: Its number there, from 0.
    """

    content: Content
    type: str
    slot: Slot | None = None
    at: int = 0


Nodes = list[Node]
Walk = Callable[[Nodes], Nodes]
Test = Callable[[Node], bool]
Operand = Callable[[Node], list[object]]


class ElementPaths:
    """Finds elements in one resource; of all paths together, at most 200,000 elements are looked at."""

    def __init__(self, root: Tree, definitions: Definitions) -> None:
        self._definitions = definitions
        named = (root.members or {}).get("resourceType")
        self._root = Node(Content(root), str(named.value) if named else "")
        self._left = _MOST_NODES

    def find(self, path: str) -> Nodes:
        """The elements at ``path``.

        Raises:
            PatchError: The path is not understood.
            PatchConflictError: Finding them takes too long.
        """
        return self.read(path).path()([self._root])

    def read(self, path: str) -> "_Reader":
        return _Reader(path, self, self._root.type)

    def list_at(self, path: str) -> Slot:
        """The place of the repeating element that ``path`` names, even if there is none yet.

        Raises:
            PatchError: The path is not understood.
            PatchConflictError: It is not the place of one repeating element.
        """
        parent, dot, name = path.strip().rpartition(".")
        if not dot or not re.fullmatch(r"\w+", name):
            raise PatchConflictError("the path must name a repeating element")
        found = self.find(parent)
        places = [s for n in found for s in self.slots(n, name) if s.repeats]
        if len(found) != 1 or len(places) != 1:
            raise PatchConflictError("the path must name a repeating element of one element")
        return places[0]

    def slots(self, node: Node, name: str) -> list[Slot]:
        """The places that ``name`` means below ``node``."""
        value = node.content.value
        if value is None or value.members is None:
            return []
        return slots(value, node.type, name, self._definitions)

    def children(self, nodes: Nodes, name: str) -> Nodes:
        """The elements called ``name`` below ``nodes``."""
        found = []
        for node in nodes:
            for slot in self.slots(node, name):
                for at, content in enumerate(slot.read()):
                    found.append(Node(content, type_of(slot.element, content.value), slot, at))
        self.charge(len(nodes) + len(found))
        return found

    def charge(self, count: int) -> None:
        """Count elements that are looked at.

        Raises:
            PatchConflictError: It is enough.
        """
        self._left -= count
        if self._left < 0:
            raise PatchConflictError("the patch looks at too many elements")


class _Reader:
    """Recursive descent over one path."""

    def __init__(self, path: str, elements: ElementPaths, type_: str) -> None:
        if len(path) > _LENGTH or path.count("(") > _NESTING:
            raise PatchError("the path is too long")
        self._tokens = _tokens(path)
        self._at = 0
        self._elements = elements
        self._type = type_

    def path(self) -> Walk:
        walk = self._path()
        if self._at != len(self._tokens):
            raise self._error()
        return walk

    def _path(self) -> Walk:
        first = self._next()
        if first in (self._type, "Resource", "DomainResource", "$this"):
            steps: list[Walk] = []
        else:
            steps = [self._named(first)]
        while True:
            if self._take("."):
                steps.append(self._step())
            elif self._take("["):
                steps.append(_item(self._number()))
                self._expect("]")
            else:
                break
        return _chain(steps)

    def _step(self) -> Walk:
        name = self._next()
        if not self._take("("):
            return self._named(name)
        walk = self._function(name)
        self._expect(")")
        return walk

    def _function(self, name: str) -> Walk:
        match name:
            case "first":
                return lambda nodes: nodes[:1]
            case "last":
                return lambda nodes: nodes[-1:]
            case "single":
                return _single
            case "where":
                test = self._either()
                return lambda nodes: [node for node in nodes if test(node)]
            case "extension":
                url = self._text()
                named = self._named("extension")
                address = self._named("url")
                return lambda nodes: [n for n in named(nodes) if _values(address([n])) == [url]]
            case "ofType" | "as":
                type_ = self._next()
                return lambda nodes: [node for node in nodes if node.type == type_]
            case _:
                raise self._error()

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("or"):
            tests.append(self._both())
        return lambda node: any(test(node) for test in tests)

    def _both(self) -> Test:
        tests = [self._comparison()]
        while self._take("and"):
            tests.append(self._comparison())
        return lambda node: all(test(node) for test in tests)

    def _comparison(self) -> Test:
        if self._take("("):
            inner = self._either()
            self._expect(")")
            return inner
        left = self._operand()
        for sign, wanted in (("=", True), ("!=", False)):
            if self._take(sign):
                right = self._operand()
                return lambda node: _equal(left(node), right(node)) is wanted
        return lambda node: left(node) == [True]

    def _operand(self) -> Operand:
        token = self._peek()
        if token[:1] in ("'", "@") or token[:1].isdigit() or token in _BOOLEANS:
            literal = _literal(self._next())
            return lambda _: [literal]
        start = self._at
        for name in ("exists", "empty", "not"):
            self._at = start
            walk = self._until(name)
            if walk is not None:
                return _tested(walk, name)
        self._at = start
        walk = self._path()
        return lambda node: _values(walk([node]))

    def _until(self, name: str) -> Walk | None:
        """The path before ``.name()``, if the operand ends so."""
        depth, at = 0, self._at
        while at < len(self._tokens) and (
            depth or self._tokens[at] not in (")", "and", "or", "=", "!=")
        ):
            depth += {"(": 1, ")": -1}.get(self._tokens[at], 0)
            at += 1
        if self._tokens[at - 4 : at] != [".", name, "(", ")"] or at - 4 <= self._at:
            return None
        whole, self._tokens = self._tokens, self._tokens[: at - 4]
        walk = self._path()
        ended = self._at == len(self._tokens)
        self._tokens, self._at = whole, at
        if not ended:
            raise self._error()
        return walk

    def _named(self, name: str) -> Walk:
        if not re.fullmatch(r"`?[A-Za-z_]\w*`?", name):
            raise self._error()
        elements, plain = self._elements, name.strip("`")
        return lambda nodes: elements.children(nodes, plain)

    def _text(self) -> str:
        token = self._next()
        if not token.startswith("'"):
            raise self._error()
        return str(_literal(token))

    def _number(self) -> int:
        token = self._next()
        if not token.isdigit() or len(token) > 6:
            raise self._error()
        return int(token)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, token: str) -> bool:
        if self._peek() == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._error()

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise self._error()
        self._at += 1
        return token

    def _error(self) -> PatchError:
        return PatchError(f"the path is not understood at its token {self._at + 1}")


def _tokens(path: str) -> list[str]:
    found, at, text = [], 0, path.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise PatchError(f"the path is not understood at its character {at + 1}")
        found.append(match.group().strip())
        at = match.end()
    return found


def _chain(steps: list[Walk]) -> Walk:
    def walk(nodes: Nodes) -> Nodes:
        for step in steps:
            nodes = step(nodes)
        return nodes

    return walk


def _item(number: int) -> Walk:
    return lambda nodes: nodes[number : number + 1]


def _single(nodes: Nodes) -> Nodes:
    if len(nodes) > 1:
        raise PatchConflictError("the path finds several elements where one is asked for")
    return nodes


def _literal(token: str) -> object:
    if token[0] == "'":
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    if token[0] == "@":
        return token[1:]
    if token in _BOOLEANS:
        return _BOOLEANS[token]
    return Decimal(token) if "." in token else int(token)


def _tested(walk: Walk, name: str) -> Operand:
    if name == "not":
        return lambda node: [_values(walk([node])) == [False]]
    return lambda node: [bool(walk([node])) is (name == "exists")]


def _values(nodes: Nodes) -> list[object]:
    found = (n.content.value for n in nodes)
    return [_primitive(value) for value in found if value is not None]


def _primitive(value: Tree) -> object:
    """A primitive's value; what has children equals nothing."""
    return value.value if value.members is None and value.items is None else object()


def _equal(one: list[object], other: list[object]) -> bool | None:
    """FHIRPath equality; None (so neither ``=`` nor ``!=`` holds) if a side is empty."""
    return same(one, other) if one and other else None
