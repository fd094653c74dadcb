"""What a resource offers to search: the values of its search parameters, read by compiled FHIRPath.

The same values make the tokens of the blind index (``tokens.py``) and decide exactly, once a candidate is opened
(``match.py``), so that index and answer can not disagree about what a resource says.  ``_text``, ``_content`` and
``_filter`` have no values of their own: they look at the whole resource.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import orjson

from fhir_server.search.elements import READERS, Reader, TokenValue, Tuple, Value, reader_of
from profiles.definitions import Component, Definitions, SearchParameter
from profiles.fhirpath import Branch, compile_expression

Json = Mapping[str, object]
Offer = tuple[SearchParameter, Branch, Reader]
WHOLE = frozenset({"_text", "_content", "_filter"})  # decided on the whole resource
OWN_TYPES = frozenset(
    {"ChainFiling", "ChainRequest"}
)  # records that the server keeps for itself, which no interaction reaches
_IN_COLUMNS = frozenset({"_id", "_lastUpdated"})
_WITH_SYSTEM = frozenset({"CodeableConcept", "Coding", "Identifier"})
_MOST_TARGETS = 8  # types that a search for an id alone asks for, one by one
_NOT_INDEXED = frozenset({"composite", "special"})
_ROOT = "%resource."
# R4 gives the two expressions of this composite in the wrong order.
_EXCHANGED = "http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"
# Every value of these lies in another parameter, whose tokens serve for both; of any type that has the two.
_INDEXED_AS = {
    "patient": "subject",
    "phonetic": "name",
    "family": "name",
    "given": "name",
    "address-city": "address",
    "address-postalcode": "address",
    "code": "combo-code",
    "component-code": "combo-code",
    "value-concept": "combo-value-concept",
    "component-value-concept": "combo-value-concept",
    "value-quantity": "combo-value-quantity",
    "component-value-quantity": "combo-value-quantity",
}


@dataclass(frozen=True, slots=True)
class CompositePart:
    """One component of a composite parameter.

    Attributes:
        branches: From the element that the composite names to the component's values.
        from_root: Whether they begin at the resource instead.
    """

    parameter: SearchParameter
    branches: tuple[Branch, ...]
    from_root: bool

    def find(self, element: Json, resource: Json) -> tuple[Value, ...]:
        """The values of the component beside ``element``."""
        start = resource if self.from_root else element
        return tuple(_read(self.parameter.type, self.branches, start))


class ResourceValues:
    """Reads search values of one resource type."""

    def __init__(
        self, type_: str, definitions: Definitions, by_url: Mapping[str, SearchParameter]
    ) -> None:
        self.type_ = type_
        self.parameters: Mapping[str, SearchParameter] = {}
        self._definitions = definitions
        self._by_url = by_url
        self._not_complete = frozenset[str]()
        self._indexed_as: Mapping[str, str] = {}
        self._typed = frozenset[str]()
        self._branches: dict[str, tuple[Branch, ...]] = {}
        self._parts: dict[str, dict[Branch, tuple[CompositePart, ...]]] = {}
        self._by_member: dict[str, list[Offer]] = {}

    @classmethod
    def of_standard(cls, type_: str, definitions: Definitions) -> "ResourceValues":
        """With the parameters that R4 itself has for the type."""
        made = cls(type_, definitions, definitions.by_url)
        parameters = definitions.parameters[type_]
        made._indexed_as = {
            code: other for code, other in _INDEXED_AS.items() if {code, other} <= set(parameters)
        }
        if type_ != "AuditEvent":  # whose tokens, which are many, are as they have always been
            made._typed = frozenset(
                code for code, p in parameters.items() if 0 < len(p.target) <= _MOST_TARGETS
            )
        made._add(parameters.values())
        return made

    def extended(
        self, custom: Sequence["Custom"], by_url: Mapping[str, SearchParameter]
    ) -> "ResourceValues":
        """The same with custom parameters; this one stays as it is."""
        made = ResourceValues(self.type_, self._definitions, by_url)
        made.parameters = self.parameters
        made._indexed_as, made._typed = self._indexed_as, self._typed
        made._branches = dict(self._branches)
        made._by_member = {name: list(found) for name, found in self._by_member.items()}
        made._not_complete = frozenset(c.parameter.code for c in custom if not c.complete)
        made._add([c.parameter for c in custom])
        return made

    def _add(self, parameters: Iterable[SearchParameter]) -> None:
        added = {parameter.code: parameter for parameter in parameters}
        self.parameters = {**self.parameters, **added}
        for code, parameter in added.items():
            if not parameter.expression or not (parameter.type in READERS or parameter.component):
                continue
            branches = compile_expression(parameter.expression, self.type_, self._definitions)
            self._branches[code] = branches
            for branch in branches if self._has_tokens(code) else ():
                first = branch.steps[0]
                assert isinstance(first, str), "every search expression begins with a member"
                read = reader_of(parameter.type, branch)
                self._by_member.setdefault(first, []).append((parameter, branch, read))

    def is_complete(self, code: str) -> bool:
        """Whether the index has the values of a parameter for all records, so that a search may be narrowed by them."""
        return code not in self._not_complete

    def _has_tokens(self, code: str) -> bool:
        return (
            code not in _IN_COLUMNS
            and self.parameters[code].type not in _NOT_INDEXED
            and self.indexed_as(code) == code
        )

    def indexed_as(self, code: str) -> str:
        """The parameter under whose name the index keeps the values of parameter ``code``."""
        return self._indexed_as.get(code, code)

    def kept_under(self, code: str) -> Sequence[str]:
        """The parameters whose values the index keeps under the name of parameter ``code``."""
        return [code, *(own for own, other in self._indexed_as.items() if other == code)]

    def names_types(self, code: str) -> bool:
        """Whether the index keeps references of parameter ``code`` under ``Type/id``, and not under the id alone."""
        return code in self._typed

    @property
    def looked_at(self) -> frozenset[str]:
        """The members of a resource that any parameter in the index looks at."""
        return frozenset(self._by_member)

    def offers_only(self, kind: str, member: str) -> bool:
        """Whether all parameters that look at a member are of one type."""
        return all(parameter.type == kind for parameter, *_ in self._by_member[member])

    def offers(self, member: str) -> Sequence[Offer]:
        """What one member offers to the parameters that the index keeps, or a member of that (``entity.what``)."""
        first, _, second = member.partition(".")
        return [o for o in self._by_member[first] if not second or o[1].steps[1:2] == (second,)]

    def below(self, member: str) -> frozenset[str]:
        """The members of ``member`` that the parameters look at."""
        return frozenset(str(branch.steps[1]) for _, branch, _ in self._by_member[member])

    def first_members(self, parameter: SearchParameter) -> tuple[str, ...]:
        """The members of a resource that a parameter looks at; empty where it looks at the whole."""
        if parameter.code in WHOLE:
            return ()
        branches = self._branches[parameter.code]
        if parameter.component:
            branches = tuple(b for whole in branches for b in self._below(parameter, whole))
        return tuple(dict.fromkeys(str(branch.steps[0]) for branch in branches))

    def _below(self, parameter: SearchParameter, whole: Branch) -> Iterator[Branch]:
        if whole.steps:
            yield whole
        for part in self.parts(parameter)[whole]:
            if part.from_root or not whole.steps:
                yield from part.branches

    def reads(self, code: str) -> bool:
        """Whether a parameter of this code can be searched."""
        return code in self._branches or code in WHOLE

    def has_order(self, parameter: SearchParameter) -> bool:
        """Whether resources can be sorted by a parameter."""
        return parameter.code not in WHOLE and parameter.type not in _NOT_INDEXED

    def element_types(self, parameter: SearchParameter) -> frozenset[str]:
        """The data types of the elements that a parameter looks at."""
        return frozenset(branch.type for branch in self._branches.get(parameter.code, ()))

    def has_plain_codes(self, parameter: SearchParameter) -> bool:
        """Whether some of a parameter's elements have no place for a system, so that only their code is indexed."""
        return not self.element_types(parameter) <= _WITH_SYSTEM

    def find(self, parameter: SearchParameter, resource: Json) -> list[Value]:
        """The values of one parameter in one resource."""
        if parameter.component:
            return list(self._tuples(parameter, resource))
        branches = self._branches[parameter.code]
        found = list(_read(parameter.type, branches, resource))
        if not found and any(branch.test for branch in branches):
            found.append(TokenValue("", "false", plain=True))
        return found

    def parts(self, parameter: SearchParameter) -> Mapping[Branch, tuple[CompositePart, ...]]:
        """The elements that a composite names, and below each of them its components."""
        if parameter.code not in self._parts:
            components = parameter.component
            if parameter.url == _EXCHANGED:
                first, second = components
                components = (
                    Component(first.definition, second.expression),
                    Component(second.definition, first.expression),
                )
            self._parts[parameter.code] = {
                whole: tuple(self._part(component, whole) for component in components)
                for whole in self._branches[parameter.code]
            }
        return self._parts[parameter.code]

    def _part(self, component: Component, whole: Branch) -> CompositePart:
        from_root = component.expression.startswith(_ROOT)
        type_ = self.type_ if from_root else whole.type
        expression = component.expression.removeprefix(_ROOT)
        return CompositePart(
            self._by_url[component.definition],
            compile_expression(expression, type_, self._definitions),
            from_root,
        )

    def _tuples(self, parameter: SearchParameter, resource: Json) -> Iterator[Value]:
        for whole, parts in self.parts(parameter).items():
            for element in whole.find(resource):
                if isinstance(element, dict):
                    found = tuple(part.find(element, resource) for part in parts)
                    if all(found):
                        yield Tuple(found)


def _read(type_: str, branches: Sequence[Branch], start: Json) -> Iterator[Value]:
    return chain.from_iterable(
        reader_of(type_, branch)(branch, node) for branch in branches for node in branch.find(start)
    )


@dataclass(frozen=True, slots=True)
class Custom:
    """A SearchParameter that is stored here and in use.

    Attributes:
        types: The resource types for which it can be searched; never AuditEvent.
        complete: Whether the index has the tokens of all records; until then a search is not narrowed by it.
        state: Of the job that brings them in (``interactions/reindex/jobs.py``).
    """

    parameter: SearchParameter
    types: tuple[str, ...]
    complete: bool
    state: str


class Searchable:
    """The readers of all resource types, each compiled when it is first asked for.

    Attributes:
        edition: Rises whenever custom parameters come, go or are completed: what is made from the readers is old then.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._standard: dict[str, ResourceValues] = {}
        self._readers: dict[str, ResourceValues] = {}
        self._custom: dict[str, tuple[Custom, ...]] = {}
        self._by_url = definitions.by_url
        self.edition = 0

    def of(self, type_: str) -> ResourceValues:
        """The reader of one resource type; of a type of our own (``OWN_TYPES``), of which nothing can be searched.

        Raises:
            KeyError: Neither R4 has such a type, nor the server.
        """
        if type_ not in self._readers:
            if type_ in OWN_TYPES:
                return ResourceValues(type_, self._definitions, {})
            if type_ not in self._standard:
                self._standard[type_] = ResourceValues.of_standard(type_, self._definitions)
            standard, custom = self._standard[type_], self._custom.get(type_, ())
            self._readers[type_] = standard.extended(custom, self._by_url) if custom else standard
        return self._readers[type_]

    def custom(self, type_: str, code: str) -> Custom | None:
        """The custom parameter of a code; None for R4's own, and for none at all."""
        found = self._custom.get(type_, ())
        return next((c for c in found if c.parameter.code == code), None)

    def adopt(self, custom: Sequence[Custom]) -> None:
        """Search by these custom parameters from now on, and by no others."""
        by_type: dict[str, tuple[Custom, ...]] = {}
        for each in custom:
            for type_ in each.types:
                by_type[type_] = (*by_type.get(type_, ()), each)
        self._by_url = {
            **self._definitions.by_url,
            **{c.parameter.url: c.parameter for c in custom},
        }
        for type_ in {*self._custom, *by_type}:
            if self._custom.get(type_) != by_type.get(type_):
                self._readers.pop(type_, None)
        self._custom = by_type
        self.edition += 1


def pack(content: object) -> bytes:
    """A member's content as a key to remember it by; empty for what does not pack (an integer of over 64 bits)."""
    try:
        packed = orjson.dumps(content, default=str)
    except TypeError:
        return b""
    return bytes(memoryview(packed))  # a copy: orjson's own bytes hold 4 KiB, however few there are
