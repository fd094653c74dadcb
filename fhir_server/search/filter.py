"""``_filter``: its grammar, and the criteria that it stands for (R4 search_filter.html).

``name co "pet" and (birthdate ge 2014-10-10 or not (active eq true))``: comparisons joined by ``and`` and ``or`` (``and``
binds closer), ``not`` before a parenthesis.  A comparison looks at one search parameter of the type:

- string: ``eq ne co sw ew``; uri: those; token: ``eq ne in ni ss sb``; reference: ``re eq ne``;
- date, number, quantity: ``eq ne gt lt ge le ap sa eb``; date also ``po`` (periods overlap);
- any but a composite: ``pr true`` and ``pr false`` (there is a value, or none).

Each is true if one of the element's values has it (``ne``: one is unequal; ``ni``: none is in the value set).  Paths that
lead to another resource (``subject.name``, ``related[...]``) are refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fhir_server.errors import InvalidParameterError
from fhir_server.search.criteria import Criterion, unescape
from fhir_server.search.values import WHOLE, ResourceValues
from profiles.definitions import SearchParameter
from profiles.terminology import Concepts, r4_terminology

_TOKEN = re.compile(r'\s*(?:([()])|"((?:[^"\\]|\\.)*)"|([^\s()"]+))')
_LONGEST = 10_000
_DEEPEST = 30
_MOST = 200  # comparisons
_ORDERED = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"})
# By parameter type: what each operator means as a modifier of that type (some of them only here).
_OPERATORS: Mapping[str, Mapping[str, str]] = {
    "string": {"eq": "equals", "ne": "equals", "co": "contains", "sw": "starts", "ew": "ends"},
    "uri": {"eq": "", "ne": "", "co": "contains", "sw": "starts", "ew": "ends"},
    "token": {"eq": "", "ne": "", "in": "in", "ni": "not-in", "ss": "below", "sb": "above"},
    "reference": {"re": "", "eq": "", "ne": ""},
    "date": {"po": "overlaps", **dict.fromkeys(_ORDERED, "")},
    "number": dict.fromkeys(_ORDERED, ""),
    "quantity": dict.fromkeys(_ORDERED, ""),
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One comparison; ``unequal``: some value does not meet the criterion."""

    criterion: Criterion
    unequal: bool = False


@dataclass(frozen=True, slots=True)
class Negation:
    """``not (node)``."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class Both:
    """All of the nodes hold."""

    nodes: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the nodes holds."""

    nodes: tuple["Node", ...]


Node = Leaf | Negation | Both | Either


def filter_of(criterion: Criterion, values: ResourceValues) -> Node:
    """Read the expression of a ``_filter`` criterion.

    Raises:
        InvalidParameterError: It does not follow the grammar, is too large, or compares what can not be compared.
    """
    return _Parser(criterion.values[0], values, criterion.sets).whole()


def leaves(node: Node) -> Iterator[Leaf]:
    """The comparisons of an expression."""
    match node:
        case Leaf():
            yield node
        case Negation():
            yield from leaves(node.node)
        case Both() | Either():
            for each in node.nodes:
                yield from leaves(each)


class _Parser:
    """Recursive descent over one expression."""

    def __init__(self, text: str, values: ResourceValues, sets: Mapping[str, Concepts]) -> None:
        if len(text) > _LONGEST:
            raise _refused("is too long")
        self._tokens = list(_tokens(text))
        self._values = values
        self._sets = sets
        self._at = 0
        self._depth = 0
        self._leaves = 0

    def whole(self) -> Node:
        node = self._either()
        if self._at != len(self._tokens):
            raise _refused("goes on behind its end")
        return node

    def _either(self) -> Node:
        nodes = [self._both()]
        while self._take("or"):
            nodes.append(self._both())
        return nodes[0] if len(nodes) == 1 else Either(tuple(nodes))

    def _both(self) -> Node:
        nodes = [self._one()]
        while self._take("and"):
            nodes.append(self._one())
        return nodes[0] if len(nodes) == 1 else Both(tuple(nodes))

    def _one(self) -> Node:
        if self._take("not"):
            if self._peek() != "(":
                raise _refused("needs a parenthesis behind not")
            return Negation(self._one())
        if not self._take("("):
            return self._leaf()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _refused("is nested too deep")
        node = self._either()
        if not self._take(")"):
            raise _refused("lacks a closing parenthesis")
        self._depth -= 1
        return node

    def _leaf(self) -> Node:
        self._leaves += 1
        if self._leaves > _MOST:
            raise _refused("has too many comparisons")
        parameter = self._parameter(self._next())
        operator, value = self._next(), self._next()
        if operator == "pr" and not parameter.component:
            return self._present(parameter, value)
        modifier = _OPERATORS.get(parameter.type, {}).get(operator)
        if modifier is None:
            raise _refused(f"can not compare '{parameter.code}' so")
        text = value.replace("\\", "\\\\")
        if modifier != "overlaps" and parameter.type in ("date", "number", "quantity"):
            text = f"{operator}{text}"
            return Leaf(self._criterion(parameter, modifier, text))
        return Leaf(self._criterion(parameter, modifier, text), unequal=operator == "ne")

    def _present(self, parameter: SearchParameter, value: str) -> Node:
        if value not in ("true", "false"):
            raise _refused("needs true or false behind pr")
        return Leaf(self._criterion(parameter, "missing", "false" if value == "true" else "true"))

    def _criterion(self, parameter: SearchParameter, modifier: str, text: str) -> Criterion:
        if not text:
            raise _refused("compares with nothing")
        return Criterion(parameter, modifier, (text,), self._sets)

    def _parameter(self, code: str) -> SearchParameter:
        known = self._values.parameters.get(code)
        if known is None or code in WHOLE or not self._values.reads(code):
            raise _refused("names something that is no search parameter of the type")
        return known

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, token: str) -> bool:
        if self._peek() == token:
            self._at += 1
            return True
        return False

    def _next(self) -> str:
        token = self._peek()
        if token in ("", "(", ")"):
            raise _refused("breaks off")
        self._at += 1
        return token.removeprefix('"')


def _tokens(text: str) -> Iterator[str]:
    """Words, parentheses, and strings with one quotation mark before them to tell them apart."""
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _refused("holds a string that does not end")
        sign, string, word = match.groups()
        yield sign or word or '"' + re.sub(r"\\(.)", r"\1", string)
        at = match.end()


def _refused(why: str) -> InvalidParameterError:
    return InvalidParameterError(f"search parameter '_filter' {why}")


def unknown_sets(criterion: Criterion, values: ResourceValues) -> Iterator[str]:
    """The urls of value sets that a criterion names, but R4 does not define."""
    several = [criterion]
    if criterion.parameter.code == "_filter":
        several = [leaf.criterion for leaf in leaves(filter_of(criterion, values))]
    for each in several:
        if each.modifier in ("in", "not-in"):
            urls = (unescape(value) for value in each.values)
            yield from (url for url in urls if r4_terminology().members(url) is None)
