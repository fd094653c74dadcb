"""What a resource offers to search: the values of its search parameters, read by compiled FHIRPath.

The same values make the tokens of the blind index (``tokens.py``) and decide exactly, once a candidate is opened
(``match.py``), so that index and answer can not disagree about what a resource says.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import orjson

from fhir_server.errors import InvalidParameterError
from fhir_server.search.dates import FOREVER, NEVER, Interval, interval
from profiles.definitions import Definitions, SearchParameter
from profiles.fhirpath import Branch, compile_expression

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TokenValue:
    """A coded value: system (empty for none) and code; ``text`` is what a person reads."""

    system: str
    code: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A reference: ``Type/id`` or an absolute url, without version; or only a logical identifier."""

    reference: str
    identifier: TokenValue | None = None


Value = TokenValue | ReferenceValue | Interval | str
_IN_COLUMNS = frozenset({"_id", "_lastUpdated"})


class ResourceValues:
    """Reads search values of one resource type."""

    def __init__(self, type_: str, definitions: Definitions) -> None:
        self.type_ = type_
        self.parameters = definitions.parameters[type_]
        self._branches: dict[str, tuple[Branch, ...]] = {
            code: compile_expression(parameter.expression, type_, definitions)
            for code, parameter in self.parameters.items()
            if parameter.expression and parameter.type in _READERS
        }
        self._by_member: dict[str, list[tuple[SearchParameter, Branch]]] = {}
        for code, branches in self._branches.items():
            if code not in _IN_COLUMNS:
                for branch in branches:
                    first = branch.steps[0]
                    assert isinstance(first, str), "every search expression begins with a member"
                    self._by_member.setdefault(first, []).append((self.parameters[code], branch))

    def members(self, resource: Json) -> Iterator[str]:
        """The members of ``resource`` that any parameter looks at."""
        return (member for member in resource if member in self._by_member)

    def offers_only(self, kind: str, member: str) -> bool:
        """Whether all parameters that look at a member are of one type."""
        return all(parameter.type == kind for parameter, _ in self._by_member[member])

    def of_member(self, member: str, resource: Json) -> Iterator[tuple[SearchParameter, Value]]:
        """Every value that one member offers to any parameter, those kept in columns left out."""
        for parameter, branch in self._by_member[member]:
            read = _READERS[parameter.type]
            for node in branch.find(resource):
                for value in read(branch.type, node):
                    yield parameter, value

    def first_members(self, parameter: SearchParameter) -> tuple[str, ...]:
        """The members of a resource that a parameter looks at."""
        firsts = (str(branch.steps[0]) for branch in self._branches[parameter.code])
        return tuple(dict.fromkeys(firsts))

    def reads(self, code: str) -> bool:
        """Whether a parameter of this code can be searched."""
        return code in self._branches

    def find(self, parameter: SearchParameter, resource: Json) -> list[Value]:
        """The values of one parameter in one resource."""
        read = _READERS[parameter.type]
        found: list[Value] = []
        for branch in self._branches[parameter.code]:
            for node in branch.find(resource):
                found.extend(read(branch.type, node))
        if not found and any(branch.test for branch in self._branches[parameter.code]):
            found.append(TokenValue("", "false"))
        return found


class Searchable:
    """The readers of all resource types, each compiled when it is first asked for."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._readers: dict[str, ResourceValues] = {}

    def of(self, type_: str) -> ResourceValues:
        """The reader of one resource type.  Raises ``KeyError`` for a type that R4 does not have."""
        if type_ not in self._readers:
            self._readers[type_] = ResourceValues(type_, self._definitions)
        return self._readers[type_]


def _tokens(type_: str, node: object) -> Iterator[Value]:
    if isinstance(node, dict):
        match type_:
            case "CodeableConcept":
                text = _text(node.get("text"))
                for coding in node.get("coding") or ():
                    yield TokenValue(_text(coding.get("system")), _text(coding.get("code")), text)
                if text and not node.get("coding"):
                    yield TokenValue("", "", text)
            case "Coding":
                yield TokenValue(
                    _text(node.get("system")), _text(node.get("code")), _text(node.get("display"))
                )
            case "Identifier":
                yield TokenValue(_text(node.get("system")), _text(node.get("value")))
            case "ContactPoint":
                yield TokenValue("", _text(node.get("value")))
            case _:
                return
    elif isinstance(node, bool):
        yield TokenValue("", "true" if node else "false")
    else:
        yield TokenValue("", str(node))


def _references(type_: str, node: object) -> Iterator[Value]:
    if isinstance(node, str):  # canonical, uri
        yield ReferenceValue(node)
    elif isinstance(node, dict) and type_ == "Reference":
        identifier = node.get("identifier")
        logical = (
            TokenValue(_text(identifier.get("system")), _text(identifier.get("value")))
            if isinstance(identifier, dict)
            else None
        )
        reference = _text(node.get("reference")).partition("/_history/")[0]
        if logical or (reference and not reference.startswith("#")):
            yield ReferenceValue(reference, logical)


def _dates(type_: str, node: object) -> Iterator[Value]:
    if isinstance(node, str):
        try:
            yield interval(node)
        except InvalidParameterError:
            return  # validated on write: only a value stored leniently can come here
    elif isinstance(node, dict):
        if type_ == "Timing":
            yield from (i for event in node.get("event") or () for i in _dates("dateTime", event))
            repeat = node.get("repeat")
            node = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
        if isinstance(node, dict) and (node.get("start") or node.get("end")):
            yield _period(node)


def _period(node: Json) -> Interval:
    start, end = node.get("start"), node.get("end")
    low = interval(str(start)) if start else Interval(NEVER, NEVER)
    high = interval(str(end)) if end else Interval(FOREVER, FOREVER)
    return Interval(low.low, high.high, low.shift if low.shift == high.shift else 0)


def _strings(type_: str, node: object) -> Iterator[Value]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict) and type_ in ("HumanName", "Address"):
        for key, part in node.items():
            if key not in ("use", "period", "type", "id", "extension") and not key.startswith("_"):
                yield from (
                    p for p in (part if isinstance(part, list) else [part]) if isinstance(p, str)
                )
    elif isinstance(node, dict) and type_ == "Extension":
        yield from (v for k, v in node.items() if k.startswith("value") and isinstance(v, str))


def _uris(_: str, node: object) -> Iterator[Value]:
    if isinstance(node, str):
        yield node


_READERS = {
    "token": _tokens,
    "reference": _references,
    "date": _dates,
    "string": _strings,
    "uri": _uris,
}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


@cache
def _dropped(character: str) -> bool:
    return unicodedata.combining(character) != 0


def pack(content: object) -> bytes:
    """A member's content as a key to remember it by; empty for what does not pack (an integer of over 64 bits)."""
    try:
        return orjson.dumps(content, default=str)
    except TypeError:
        return b""


def normalise(text: str) -> str:
    """Case, accents and runs of white space do not matter in a string search (R4 search, 3.1.1.4.8)."""
    if text.isascii():
        return " ".join(text.casefold().split())
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in decomposed if not _dropped(c)).casefold().split())


def words(text: str) -> list[str]:
    """The words of a normalised string."""
    return "".join(c if c.isalnum() else " " for c in normalise(text)).split()
