"""The part of FHIRPath that R4 search parameters use, compiled once into plain walks over decoded JSON.

An expression such as ``(Observation.value as Quantity) | Observation.component.value`` becomes, for one resource
type, a tuple of ``Branch``: member names to follow, filters between them, and the static type at the end.  Types are
known from the definitions, so that a choice (``value[x]``) is resolved when compiling, not when indexing.

Covered: paths, ``|``, ``as``, ``ofType``, ``where(a = 'b')``, ``where(resolve() is T)``, ``[n]``, ``extension(url)``,
``hasExtension(url)``, ``exists()`` and ``!=`` as ``Patient.deceased`` uses them.  Anything else is a
``FhirPathError`` when compiling: nothing is silently left out of the index.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from profiles.definitions import Definitions
from profiles.errors import FhirPathError

Node = Mapping[str, object]
Filter = Callable[[Node, Node], bool]
Step = str | int | Filter

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*')|(?P<number>\d+)|(?P<name>[A-Za-z]\w*)|(?P<sign>!=|[().|\[\]=]))"
)
_DEPTH = 12
_MOST_BRANCHES = 2_000  # a path through every type of extension value would have millions


@dataclass(frozen=True, slots=True)
class Branch:
    """One way from a resource to values of one type.

    Attributes:
        steps: A member name to follow, an index to take, or a filter on (value, whole resource).
        type: Data type of what is found; ``boolean`` for a test.
        codes: Canonical of the value set that the last element is bound to, or empty.
        test: The values become ``true`` if any of them is not ``false``; where no branch of a test says so, it is false.
    """

    steps: tuple[Step, ...]
    type: str
    test: bool = False
    codes: str = ""

    def find(self, resource: Node) -> list[object]:
        """Give the values of this branch in ``resource``, in document order."""
        found: list[object] = [resource]
        for step in self.steps:
            found = _advance(found, step, resource)
            if not found:
                break
        if self.test:
            return [True] if any(value is not False for value in found) else []
        return found

    def behind(self, steps: int) -> "Branch":
        """The rest of the way, from what lies that many steps behind the resource."""
        return replace(self, steps=self.steps[steps:]) if steps else self


def _advance(values: list[object], step: Step, root: Node) -> list[object]:
    if isinstance(step, str):
        found: list[object] = []
        for value in values:
            child = value.get(step) if isinstance(value, dict) else None
            if isinstance(child, list):
                found.extend(c for c in child if c is not None)
            elif child is not None:
                found.append(child)
        return found
    if isinstance(step, int):
        return values[step : step + 1]
    return [value for value in values if isinstance(value, dict) and step(value, root)]


def compile_expression(expression: str, type_: str, definitions: Definitions) -> tuple[Branch, ...]:
    """Compile ``expression`` for resources of ``type_``; empty when no part of it speaks of that type.

    Raises:
        FhirPathError: The expression uses something outside the covered part.
    """
    reader = _Reader(expression, type_, definitions)
    branches = reader.union()
    reader.end()
    return tuple(dict.fromkeys(branches))


class _Reader:
    """Recursive descent over one expression."""

    def __init__(self, expression: str, type_: str, definitions: Definitions) -> None:
        self._expression = expression
        self._tokens = list(_tokens(expression))
        self._at = 0
        self._type = type_
        self._elements = definitions.elements

    def union(self) -> list[Branch]:
        branches = self._term()
        while self._take("|"):
            branches += self._term()
        return branches

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise self._error()

    def _term(self) -> list[Branch]:
        branches = self._path()
        if self._take("as"):
            return _typed(branches, self._next())
        if self._take("and"):  # "X.exists() and X != false": whether X holds anything but false
            tested = self._path()
            self._expect("!=")
            self._expect("false")
            return [Branch(b.steps, "boolean", test=True) for b in tested]
        return branches

    def _path(self) -> list[Branch]:
        if self._take("("):
            branches = self.union()
            self._expect(")")
        else:
            branches = self._root(self._next())
        while True:
            if self._take("."):
                branches = self._invoke(branches, self._next())
            elif self._take("["):
                index = self._number()
                self._expect("]")
                branches = [replace(b, steps=(*b.steps, index)) for b in branches]
            else:
                return branches

    def _root(self, name: str) -> list[Branch]:
        if name in {self._type, "Resource", "DomainResource"}:
            return [Branch((), self._type)]
        if name[0].islower():  # a relative path, as components of composites are
            return self._child([Branch((), self._type)], name)
        return []

    def _invoke(self, branches: list[Branch], name: str) -> list[Branch]:
        if not self._take("("):
            return self._child(branches, name)
        match name:
            case "where":
                keep = self._condition()
                made = [replace(b, steps=(*b.steps, keep)) for b in branches]
            case "as" | "ofType":
                made = _typed(branches, self._next())
            case "extension":
                made = [_extension(b, self._text()) for b in branches] if branches else self._skip()
            case "exists" | "resolve":
                made = branches
            case _:
                raise self._error()
        self._expect(")")
        return made

    def _skip(self) -> list[Branch]:
        self._text()
        return []

    def _condition(self) -> Filter:
        name = self._next()
        if name == "resolve":
            for expected in ("(", ")", "is"):
                self._expect(expected)
            return _refers_to(self._next())
        if name == "hasExtension":
            self._expect("(")
            url = self._text()
            self._expect(")")
            return lambda value, _: any(_url_is(e, url) for e in _list(value.get("extension")))
        self._expect("=")
        wanted = self._text()
        return lambda value, _: value.get(name) == wanted

    def _child(self, branches: list[Branch], name: str) -> list[Branch]:
        found = []
        for branch in branches:
            if len(branch.steps) > _DEPTH:
                raise self._error()
            for member, element in self._elements.get(branch.type, {}).items():
                if name in {member, element.choice}:
                    found.append(Branch((*branch.steps, member), element.type, codes=element.codes))
            if len(found) > _MOST_BRANCHES:
                raise FhirPathError(f"too many ways at token {self._at}: name the types (ofType)")
        return found

    def _text(self) -> str:
        token = self._next()
        if not token.startswith("'"):
            raise self._error()
        return token[1:-1]

    def _number(self) -> int:
        token = self._next()
        if not token.isdigit():
            raise self._error()
        return int(token)

    def _take(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._error()

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise self._error()
        self._at += 1
        return self._tokens[self._at - 1]

    def _error(self) -> FhirPathError:
        last = self._tokens[self._at - 1] if self._tokens else ""
        return FhirPathError(
            f"not understood at token {self._at}, '{last}': {self._expression}", last
        )


def _tokens(expression: str) -> Iterator[str]:
    at = 0
    text = expression.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            part = text[at:].split()[0]
            raise FhirPathError(f"not understood at character {at}: {expression}", part)
        yield match.group().strip()
        at = match.end()


def _typed(branches: Sequence[Branch], type_: str) -> list[Branch]:
    wanted = type_.casefold()  # one of R4's own expressions says "DateTime"
    return [b for b in branches if b.type.casefold() == wanted]


def _extension(branch: Branch, url: str) -> Branch:
    return Branch((*branch.steps, "extension", lambda value, _: _url_is(value, url)), "Extension")


def _url_is(extension: object, url: str) -> bool:
    return isinstance(extension, dict) and extension.get("url") == url


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _refers_to(type_: str) -> Filter:
    """Whether a Reference points at a ``type_``: told by its path, its ``type``, or the contained resource."""

    def refers(value: Node, root: Node) -> bool:
        reference = value.get("reference")
        if not isinstance(reference, str):
            return value.get("type") == type_
        if reference.startswith("#"):
            return any(
                isinstance(c, dict)
                and c.get("resourceType") == type_
                and c.get("id") == reference[1:]
                for c in _list(root.get("contained"))
            )
        segments = reference.partition("/_history/")[0].split("/")
        return (len(segments) > 1 and segments[-2] == type_) or value.get("type") == type_

    return refers
