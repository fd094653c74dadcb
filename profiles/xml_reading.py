"""FHIR XML to JSON text (R4 xml.html, json.html 2.1.0.1): lossless for decimals, extensions of primitives, and narrative.

Read by expat, hardened: no document type, so no entities and nothing fetched; nesting of at most 64; no processing
instructions.  Numbers are copied as they are written.  The narrative's ``div`` is copied byte for byte, so it must declare
its namespace itself.  Comments are dropped.  What is read here is validated afterwards, as JSON.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from profiles.definitions import Definitions, Element
from profiles.errors import XmlError
from profiles.strict_json import MAX_DEPTH

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
_RAW = {  # primitives that JSON writes without quotes
    "boolean": re.compile(r"true|false"),
    "decimal": re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"),
    "integer": re.compile(r"-?(?:0|[1-9][0-9]*)"),
    "positiveInt": re.compile(r"[1-9][0-9]*"),
    "unsignedInt": re.compile(r"0|[1-9][0-9]*"),
}
_SCHEMA_HINT = "http://www.w3.org/2001/XMLSchema-instance "
_END_TAG = re.compile(rb"<[^\"'>]*(?:\"[^\"]*\"[^\"'>]*|'[^']*'[^\"'>]*)*>")
_SPACE = " \t\r\n"


def read_xml(body: bytes, definitions: Definitions) -> str:
    """The JSON text of the resource in ``body`` (UTF-8).

    Raises:
        XmlError: It is not well-formed, or not FHIR: an element or attribute that R4 does not know, text between elements,
            a number that is none.  The message names the line, never the content.
    """
    return _Reader(body, definitions).read()


@dataclass(slots=True)
class _Open:
    """An element whose end has not come.

    Attributes:
        type_: Its FHIR type; empty for the holder of a resource (``contained``) and above the root.
        elements: What may be in it.
        value: The ``value`` attribute of a primitive.
        id_: The ``id`` attribute.
        found: JSON text of the values found for each member, with that of their companions (``_name``).
    """

    type_: str
    elements: Mapping[str, Element]
    primitive: bool = False
    value: str | None = None
    id_: str | None = None
    url: str | None = None
    found: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


class _Reader:
    def __init__(self, body: bytes, definitions: Definitions) -> None:
        self._body = body
        self._definitions = definitions
        self._stack = [_Open("", {})]
        self._names: list[str] = []
        self._result = ""
        self._div = -1  # where the narrative's div begins, while inside it
        self._div_depth = 0
        self._parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.ProcessingInstructionHandler = self._refuse_instruction
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def read(self) -> str:
        try:
            self._parser.Parse(self._body, True)
        except expat.ExpatError as error:
            raise XmlError(
                f"not well-formed XML: {expat.ErrorString(error.code)}, line {error.lineno}"
            ) from error
        return self._result

    def _refuse(self, message: str) -> NoReturn:
        raise XmlError(f"{message}, line {self._parser.CurrentLineNumber}")

    def _declared(self, _: str, encoding: str | None, __: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            self._refuse("XML must be in UTF-8")

    def _refuse_doctype(self, *_: object) -> None:
        self._refuse("a document type is not allowed")

    def _refuse_instruction(self, *_: object) -> None:
        self._refuse("a processing instruction is not allowed")

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        if self._div >= 0:
            self._div_depth += 1
            self._limit(len(self._stack) + self._div_depth)
            return
        self._limit(len(self._stack))
        namespace, _, name = qualified.rpartition(" ")
        above = self._stack[-1]
        if name == "div" and above.type_ == "Narrative":
            self._begin_div(namespace)
        elif namespace != FHIR:
            self._refuse("an element is not in the namespace of FHIR")
        elif above.type_ == "":
            self._push(name, self._resource(name), attributes)
        else:
            self._push(name, self._member(above, name), attributes)

    def _limit(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH}")

    def _begin_div(self, namespace: str) -> None:
        self._div = self._parser.CurrentByteIndex
        tag = _END_TAG.match(self._body, self._div)
        if namespace != XHTML or tag is None or b"xmlns=" not in tag.group():
            self._refuse("the div of a narrative must declare the namespace of XHTML itself")

    def _resource(self, name: str) -> _Open:
        if name not in self._definitions.resource_types:
            self._refuse("an element is not an R4 resource type")
        if self._stack[-1].found:
            self._refuse("there is more than one resource in one element")
        return _Open(name, self._definitions.elements[name])

    def _member(self, above: _Open, name: str) -> _Open:
        element = above.elements.get(name)
        if element is None or element.type == "xhtml":
            self._refuse(f"an element is not one of {above.type_}")
        if element.type == "Resource":
            return _Open("", {})
        if element.type in self._definitions.primitives:
            extended = self._definitions.elements["Element"]
            return _Open(element.type, extended, primitive=True)
        return _Open(element.type, self._definitions.elements[element.type])

    def _push(self, name: str, opened: _Open, attributes: Mapping[str, str]) -> None:
        resource = opened.type_ in self._definitions.resource_types
        for attribute, value in attributes.items():
            if attribute.startswith(_SCHEMA_HINT):
                continue
            if attribute == "value" and opened.primitive:
                opened.value = value
            elif attribute == "id" and opened.type_ and not resource:
                opened.id_ = value
            elif attribute == "url" and opened.type_ == "Extension":
                opened.url = value
            else:
                self._refuse(f"an attribute is not allowed on {name}")
        self._stack.append(opened)
        self._names.append(name)

    def _text(self, text: str) -> None:
        if self._div < 0 and text.strip(_SPACE):
            self._refuse("text is not allowed between elements: values are attributes")

    def _end(self, _: str) -> None:
        if self._div >= 0:
            if self._div_depth:
                self._div_depth -= 1
            else:
                self._end_div()
            return
        closed, name = self._stack.pop(), self._names.pop()
        above = self._stack[-1]
        if closed.type_ in self._definitions.resource_types:
            text = self._object(closed, [f'"resourceType":{json.dumps(closed.type_)}'])
            if len(self._stack) == 1:
                self._result = text
            else:
                above.found[""] = [(text, "")]
        elif closed.type_ == "":
            self._add(name, *self._held(closed))
        elif closed.primitive:
            self._add(name, *self._primitive(closed))
        else:
            self._add(name, self._object(closed, _attributes(closed)), "")

    def _end_div(self) -> None:
        tag = _END_TAG.match(self._body, self._parser.CurrentByteIndex)
        assert tag is not None, "expat has seen an end here"
        div = self._body[self._div : tag.end()].decode()
        self._div = -1
        self._add("div", json.dumps(div, ensure_ascii=False), "")

    def _add(self, name: str, value: str, companion: str) -> None:
        above = self._stack[-1]
        values = above.found.setdefault(name, [])
        if values and above.elements[name].max == "1":
            self._refuse(f"{name} may be there only once")
        values.append((value, companion))

    def _held(self, holder: _Open) -> tuple[str, str]:
        if not holder.found:
            self._refuse("a resource is missing")
        return holder.found[""][0]

    def _primitive(self, closed: _Open) -> tuple[str, str]:
        extended = closed.found or closed.id_ is not None
        companion = self._object(closed, _attributes(closed)) if extended else ""
        if closed.value is None:
            if not companion:
                self._refuse("an element has neither value nor extension")
            return "", companion
        number = _RAW.get(closed.type_)
        if number is None:
            return json.dumps(closed.value, ensure_ascii=False), companion
        if number.fullmatch(closed.value) is None:
            self._refuse(f"a value is not a {closed.type_}")
        return closed.value, companion

    def _object(self, closed: _Open, members: list[str]) -> str:
        for name, found in closed.found.items():
            many = closed.elements[name].max != "1"
            values, companions = [v for v, _ in found], [c for _, c in found]
            if any(values):
                members.append(f'"{name}":{_array(values) if many else values[0]}')
            if any(companions):
                members.append(f'"_{name}":{_array(companions) if many else companions[0]}')
        return "{" + ",".join(members) + "}"


def _attributes(closed: _Open) -> list[str]:
    named = (("id", closed.id_), ("url", closed.url))
    return [f'"{n}":{json.dumps(v, ensure_ascii=False)}' for n, v in named if v is not None]


def _array(texts: list[str]) -> str:
    return "[" + ",".join(text or "null" for text in texts) + "]"
