"""XML Patch (RFC 5261) on a document of FHIR (R4 http.html, 3.1.0.7).

Selectors are location paths of child steps: names with any prefix, ``*``, ``text()``, a final ``@attribute``, and predicates
``[2]``, ``[@id='x']``, ``[f:name='x']`` and ``[f:name/@value='x']``.  That is what RFC 5261 asks for (4.1) but for ``id()``,
and no expression of it can take long.  A namespace declaration is nothing to FHIR: adding one changes nothing.
"""

import re
from dataclasses import dataclass

from profiles.errors import PatchConflictError, PatchError, XmlError
from profiles.patch.xml_tree import Node, parse, write
from profiles.xml_reading import XHTML

_MOST = 1000
_LONGEST = 2000
_NAME = r"(?:[\w.\-]+:)?(?P<{0}>[\w.\-]+|\*)"
_STEP = re.compile(
    rf"(?:{_NAME.format('name')}|(?P<text>text)\(\)|@(?P<attribute>[\w:.\-]+))(?P<tests>(?:\[[^\]]*\])*)"
)
_TEST = re.compile(
    r"\[(?:(?P<number>[1-9]\d{0,5})|(?P<path>[\w:.\-/@]+)\s*=\s*(?P<quote>['\"])(?P<value>.*?)(?P=quote))\]"
)


def xml_patch(document: str, patch: str) -> str:
    """The document with the operations of ``patch`` performed, all of them or none; what is untouched is written alike.

    Raises:
        PatchError: It is no XML Patch.
        PatchConflictError: An operation can not be performed on this document; it is named by number.
    """
    try:
        operations = parse(patch, "").elements()
    except XmlError as error:
        raise PatchError(str(error)) from error
    if not 0 < len(operations) <= _MOST:
        raise PatchError(f"an XML Patch holds 1 to {_MOST} operations")
    root = Node("", "", children=[parse(document, XHTML)])
    for number, operation in enumerate(operations):
        try:
            _perform(root, operation)
        except (PatchError, PatchConflictError) as error:
            raise type(error)(f"operation {number}: {error}") from error
    elements = root.elements()
    if len(elements) != 1:
        raise PatchConflictError("a document has one root")
    return write(elements[0])


@dataclass(frozen=True, slots=True)
class _Selected:
    """What a selector has found: an element, or an attribute or text of it; ``above`` are the elements around."""

    above: tuple[Node, ...]
    node: Node | str
    attribute: str = ""

    @property
    def parent(self) -> Node:
        return self.above[-1]

    def place(self) -> int:
        return next(at for at, child in enumerate(self.parent.children) if child is self.node)


def _perform(root: Node, operation: Node) -> None:
    kind, selector = operation.name, operation.attributes.get("sel", "")
    if kind not in ("add", "replace", "remove"):
        raise PatchError("an operation is add, replace or remove")
    found = _select(root, selector)
    if len(found) != 1:
        raise PatchConflictError(
            "sel must select one node, it selects " + ("none" if not found else "several")
        )
    for node in found[0].above:
        node.source = ""
    if isinstance(found[0].node, Node):
        found[0].node.source = ""
    {"add": _add, "replace": _replace, "remove": _remove}[kind](found[0], operation)


def _add(selected: _Selected, operation: Node) -> None:
    type_, position = operation.attributes.get("type", ""), operation.attributes.get("pos", "")
    if selected.attribute or not isinstance(selected.node, Node):
        raise PatchConflictError("something can only be added to an element")
    if type_.startswith("namespace::"):
        return
    if type_.startswith("@"):
        if type_[1:] in selected.node.attributes:
            raise PatchConflictError("the attribute is there already")
        selected.node.attributes[type_[1:]] = _words(operation)
        return
    if type_ or position not in ("", "prepend", "before", "after"):
        raise PatchError("type is '@name', and pos one of prepend, before and after")
    if position in ("before", "after"):
        at = selected.place() + (position == "after")
        selected.parent.children[at:at] = operation.children
    else:
        at = 0 if position == "prepend" else len(selected.node.children)
        selected.node.children[at:at] = operation.children


def _replace(selected: _Selected, operation: Node) -> None:
    if selected.attribute:
        selected.parent.attributes[selected.attribute] = _words(operation)
        return
    at = selected.place()
    if isinstance(selected.node, str):
        selected.parent.children[at] = _words(operation)
        return
    elements = operation.elements()
    if len(elements) != 1:
        raise PatchError("an element is replaced by one element")
    selected.parent.children[at] = elements[0]


def _remove(selected: _Selected, _: Node) -> None:
    if selected.attribute:
        del selected.parent.attributes[selected.attribute]
    else:
        del selected.parent.children[selected.place()]


def _words(operation: Node) -> str:
    if operation.elements():
        raise PatchError("text is wanted here, not an element")
    return "".join(child for child in operation.children if isinstance(child, str))


def _select(root: Node, selector: str) -> list[_Selected]:
    if not 0 < len(selector) <= _LONGEST:
        raise PatchError("sel is missing or too long")
    found = [_Selected((), root)]
    for step in selector.removeprefix("/").split("/") if "[" not in selector else _steps(selector):
        match = _STEP.fullmatch(step)
        if match is None:
            raise PatchError("sel is not a path that is understood here")
        found = [deeper for selected in found for deeper in _step(selected, match)]
    return found


def _steps(selector: str) -> list[str]:
    """The steps of a path whose predicates may hold slashes."""
    return re.findall(r"(?:[^/\[]|\[[^\]]*\])+", selector)


def _step(selected: _Selected, match: re.Match[str]) -> list[_Selected]:
    node = selected.node
    if not isinstance(node, Node) or selected.attribute:
        return []
    above = (*selected.above, node)
    name = match["name"]
    if match["attribute"]:
        attribute = match["attribute"]
        return [_Selected(above, node, attribute)] if attribute in node.attributes else []
    if match["text"]:
        kept: list[Node | str] = [c for c in node.children if isinstance(c, str)]
    else:
        kept = [c for c in node.elements() if name in ("*", c.name)]
    tests = match["tests"]
    for test in re.findall(r"\[[^\]]*\]", tests):
        kept = _test(kept, test)
    return [_Selected(above, child) for child in kept]


def _test(nodes: list[Node | str], test: str) -> list[Node | str]:
    match = _TEST.fullmatch(test)
    if match is None:
        raise PatchError("a predicate of sel is not one that is understood here")
    if match["number"]:
        at = int(match["number"]) - 1
        return nodes[at : at + 1]
    return [n for n in nodes if isinstance(n, Node) and match["value"] in _values(n, match["path"])]


def _values(node: Node, path: str) -> list[str]:
    """The values of an attribute, of a child's text, or of a child's attribute."""
    first, _, rest = path.partition("/")
    if first.startswith("@"):
        value = node.attributes.get(first[1:])
        return [value] if value is not None and not rest else []
    name = first.rpartition(":")[2]
    children = [child for child in node.elements() if child.name == name]
    if rest:
        return [value for child in children for value in _values(child, rest)]
    return ["".join(c for c in child.children if isinstance(c, str)) for child in children]
