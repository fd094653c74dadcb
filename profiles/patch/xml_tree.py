"""XML as a small tree that can be changed and written again: what XML Patch works on.

Names are local; FHIR and XHTML are told apart by ``namespace``.  An element of another namespace than the one around it
declares its own when it is written.  A part that was not changed is written as it was read.
"""

from dataclasses import dataclass, field
from typing import Union
from xml.parsers import expat
from xml.sax.saxutils import escape

from profiles.errors import XmlError
from profiles.strict_json import MAX_DEPTH
from profiles.xml_writing import quoted

_XML = "http://www.w3.org/XML/1998/namespace "


@dataclass(slots=True, eq=False)
class Node:
    """An element.

    Attributes:
        children: Elements and text, in order.
        source: How it was written, as long as nothing in it was changed; empty if that is not known.
    """

    name: str
    namespace: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Union["Node", str]] = field(default_factory=list)
    source: str = ""

    def elements(self) -> list["Node"]:
        """The children that are elements."""
        return [child for child in self.children if isinstance(child, Node)]


def parse(text: str, opaque: str) -> Node:
    """The root of a document; elements of the namespace ``opaque`` remember how they were written.

    Raises:
        XmlError: It is not well-formed, has a document type, or is nested deeper than 64.
    """
    return _Parser(text.encode("utf-8", "surrogatepass"), opaque).root()


class _Parser:
    def __init__(self, body: bytes, opaque: str) -> None:
        self._body = body
        self._opaque = opaque
        self._stack: list[Node] = [Node("", "")]
        self._starts: list[int] = []
        self._parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = lambda text: self._stack[-1].children.append(text)

    def root(self) -> Node:
        try:
            self._parser.Parse(self._body, True)
        except expat.ExpatError as error:
            raise XmlError(f"not well-formed XML, line {error.lineno}") from error
        return self._stack[0].elements()[0]

    def _refuse(self, *_: object) -> None:
        raise XmlError(f"a document type is not allowed, line {self._parser.CurrentLineNumber}")

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(" ")
        named = {_attribute(n): value for n, value in attributes.items()}
        node = Node(name, namespace, named)
        self._stack[-1].children.append(node)
        self._stack.append(node)
        self._starts.append(self._parser.CurrentByteIndex)
        if len(self._stack) > MAX_DEPTH + 1:
            raise XmlError(f"nested deeper than {MAX_DEPTH}")

    def _end(self, _: str) -> None:
        node, start = self._stack.pop(), self._starts.pop()
        if node.namespace == self._opaque and self._stack[-1].namespace != self._opaque:
            end = self._body.index(b">", self._parser.CurrentByteIndex) + 1
            source = self._body[start:end].decode()
            node.source = source if source.endswith(f"</{node.name}>") else ""


def _attribute(name: str) -> str:
    return f"xml:{name.removeprefix(_XML)}" if name.startswith(_XML) else name


def write(node: Node, around: str = "") -> str:
    """The text of an element inside one of the namespace ``around``."""
    if node.source:
        return node.source
    namespace = node.namespace or around
    own = "" if namespace == around else f" xmlns={quoted(namespace)}"
    attributes = "".join(f" {n}={quoted(v)}" for n, v in node.attributes.items())
    inside = "".join(
        escape(child) if isinstance(child, str) else write(child, namespace)
        for child in node.children
    )
    head = f"<{node.name}{own}{attributes}"
    return f"{head}>{inside}</{node.name}>" if inside else f"{head}/>"
