"""A resource as FHIR XML (R4 xml.html): elements in the order of the standard, numbers as they were written.

What is written here was validated before; a narrative that is not well-formed is written as text, so that what comes out
always is.
"""

import re
from collections.abc import Iterator, Mapping
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from profiles.definitions import Definitions, Element
from profiles.xml_reading import FHIR, XHTML

_PIECES = re.compile(r"<div[ >].*?</div>(?=</text>)|<[^>]*>", re.DOTALL)
_NEVER = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
)  # in no XML 1.0 (2.2), however it is written
_KEPT = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}  # a parser would make spaces of them
_INSTEAD = "\ufffd"
Json = Mapping[str, object]


def write_xml(resource: Json, definitions: Definitions) -> str:
    """The XML text of a resource as ``strict_json`` reads it (numbers with a fraction are ``Decimal``)."""
    written = "".join(_resource(resource, definitions, f' xmlns="{FHIR}"'))
    return f'<?xml version="1.0" encoding="UTF-8"?>{written}'


def _resource(resource: Json, definitions: Definitions, namespace: str = "") -> Iterator[str]:
    type_ = str(resource["resourceType"])
    yield f"<{type_}{namespace}>"
    yield from _members(resource, definitions.elements[type_], definitions)
    yield f"</{type_}>"


def _members(
    node: Json, elements: Mapping[str, Element], definitions: Definitions
) -> Iterator[str]:
    """The children of ``node``.  Which of them are attributes is told by the caller, by leaving them out of ``elements``."""
    for name, element in elements.items():
        values, companions = _list(node.get(name)), _list(node.get(f"_{name}"))
        length = max(len(values), len(companions))
        values += [None] * (length - len(values))
        companions += [None] * (length - len(companions))
        for value, companion in zip(values, companions, strict=True):
            if value is not None or companion is not None:
                yield from _element(name, element, value, companion, definitions)


def _element(
    name: str, element: Element, value: object, companion: object, definitions: Definitions
) -> Iterator[str]:
    if element.type == "Resource":
        assert isinstance(value, dict)
        yield f"<{name}>"
        yield from _resource(value, definitions)
        yield f"</{name}>"
    elif element.type == "xhtml":
        yield _div(str(value))
    elif element.type in definitions.primitives:
        attribute = "" if value is None else f" value={quoted(_text(value))}"
        yield from _holder(name, "Element", attribute, companion, definitions)
    else:
        yield from _holder(name, element.type, "", value, definitions)


def _holder(
    name: str, type_: str, attribute: str, node: object, definitions: Definitions
) -> Iterator[str]:
    """An element with ``id`` (of an Extension also ``url``) as attributes, its other members as children."""
    members: Json = node if isinstance(node, dict) else {}
    own = {"id", "url"} if type_ == "Extension" else {"id"}
    attributes = "".join(
        f" {n}={quoted(str(members[n]))}" for n in ("id", "url") if n in own & members.keys()
    )
    elements = {n: e for n, e in definitions.elements[type_].items() if n not in own}
    children = "".join(_members(members, elements, definitions))
    head = f"<{name}{attributes}{attribute}"
    yield f"{head}>{children}</{name}>" if children else f"{head}/>"


def _div(given: str) -> str:
    text = given.strip()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    roots: list[str] = []
    parser.StartElementHandler = lambda name, _: roots.append(name)
    parser.StartDoctypeDeclHandler = lambda *_: roots.insert(0, "")
    parser.ProcessingInstructionHandler = lambda *_: roots.insert(0, "")
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError:
        roots = []
    if roots[:1] == [f"{XHTML} div"] and text.startswith("<div"):
        return text
    return f'<div xmlns="{XHTML}">{escape(_NEVER.sub(_INSTEAD, text))}</div>'


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def quoted(text: str) -> str:
    """An attribute's value in quotes, as a parser gives it back: its line ends and tabs are kept.

    What XML can not say is U+FFFD: no write brings it any more, but older records, and what a caller asked for, may.
    """
    return quoteattr(_NEVER.sub(_INSTEAD, text), _KEPT)


def pretty_xml(xml: str) -> str:
    """What ``write_xml`` wrote, with a line for each element; the narrative stays as it is."""
    lines: list[str] = []
    depth = 0
    for piece in _PIECES.findall(xml):
        if piece.startswith("</"):
            depth -= 1
        lines.append("  " * depth + piece)
        if not piece.startswith(("</", "<?", "<div")) and not piece.endswith("/>"):
            depth += 1
    return "\n".join(lines)
