"""One walk through a resource, along the table, that asks each element what R4 asks of it beyond structure.

What there is to look at is compiled once for each type, so that an element without rules costs one look into a dictionary.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from profiles.definitions import Definitions, Element, Invariant
from profiles.problem import Problem
from profiles.rules import bundle, clinical, conformance, datatypes, narrative, references, uris
from profiles.rules.bindings import Codes
from profiles.rules.members import Json, chosen, has, objects
from profiles.rules.references import Container
from profiles.terminology import r4_terminology

Holds = Callable[[Json], bool]
HOLDS: Mapping[str, Holds] = {
    **datatypes.HOLDS,
    **clinical.HOLDS,
    **conformance.HOLDS,
    **bundle.HOLDS,
}
TOLD = {"Bundle": bundle.told, "SearchParameter": conformance.told}  # by definitions, without a key
_OF_PARTS = {"Organization": ("org-2", "org-3")}  # stated for its telecom and address, asked of it
_UNREADABLE = "must be Type/id, #id, or an absolute URI"
_EMPTY = "must have a value or an extension (ele-1)"
_URIS = frozenset({"uri", "url", "canonical", "oid", "uuid"})
_ANY = frozenset({"Resource", "DomainResource", "MetadataResource"})


@dataclass(slots=True)
class _Plan:
    """What is to be asked of the elements of a type."""

    type_: str
    companion: bool = False  # of a primitive: an id alone is enough, beside a value
    rules: list[tuple[str, Holds, Invariant]] = field(default_factory=list)
    members: dict[str, "_Member"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Member:
    """What is to be asked of a member: of each value, and of what is in it."""

    ask: "Callable[[_Walk, object, str], None] | None" = None
    plan: _Plan | None = None
    primitives: bool = False  # a list of primitives, in which a null must have its companion


class Rules:
    """The rules of all types; each type is compiled when it is first met."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._plans: dict[str, _Plan] = {}
        self._codes = Codes(r4_terminology)

    def broken(self, resource: Json, path: str, container: Container) -> list[Problem]:
        """What ``resource``, of a known type, breaks; resources in it are left out, their references noted by the caller.

        Args:
            container: Of the resource that is the root of its references: itself, or what contains it.
        """
        walk = _Walk(container)
        type_ = str(resource["resourceType"])
        walk.ask(self._plan(type_), resource, path)
        for told in TOLD[type_](resource) if type_ in TOLD else ():
            walk.add(f"{path}{told.where}", "invalid", told.message, "definition", told.severity)
        return walk.found

    def _plan(self, type_: str) -> _Plan:
        if type_ not in self._plans:
            plan = self._plans[type_] = _Plan(type_)
            plan.rules.extend(self._rules(type_))
            for name, element in self._definitions.elements[type_].items():
                self._add(plan, name, element)
        return self._plans[type_]

    def _companion(self) -> _Plan:
        return _Plan("Element", companion=True, members=self._plan("Element").members)

    def _rules(self, type_: str) -> list[tuple[str, Holds, Invariant]]:
        table, found = self._definitions.invariants, []
        for key in (*self._definitions.rules.get(type_, ()), *_OF_PARTS.get(type_, ())):
            holds = clinical.OF_PATH.get((type_, key)) or HOLDS.get(key)
            if holds:
                found.append((key, holds, table.get(f"{type_} {key}") or table[key]))
        return found

    def _add(self, plan: _Plan, name: str, element: Element) -> None:
        if element.type == "Resource":
            return
        if element.type in self._definitions.elements:
            plan.members[name] = _Member(self._asking(plan, element), self._plan(element.type))
            return
        plan.members[f"_{name}"] = _Member(plan=self._companion())
        ask = self._asking_primitive(plan, name, element)
        if ask or element.max != "1":
            plan.members[name] = _Member(ask, primitives=element.max != "1")

    def _asking(
        self, plan: _Plan, element: Element
    ) -> "Callable[[_Walk, object, str], None] | None":
        if element.type == "Extension":
            nested, own = plan.type_ == "Extension", self._definitions.extensions
            return lambda walk, value, path: walk.extension(value, path, own, nested=nested)
        if element.type == "Reference":
            targets = frozenset(element.targets)
            types = self._definitions.resource_types
            allowed = types if targets & _ANY or not targets else targets
            return lambda walk, value, path: walk.reference(value, path, allowed, types)
        codes, value_set, type_ = self._codes, element.binding, element.type
        if value_set:
            return lambda walk, value, path: walk.bound(value, path, codes, value_set, type_)
        if type_ == "Coding":
            return lambda walk, value, path: walk.coding(value, path, codes)
        return None

    def _asking_primitive(
        self, plan: _Plan, name: str, element: Element
    ) -> "Callable[[_Walk, object, str], None] | None":
        if element.type == "xhtml":
            return lambda walk, value, path: walk.narrative(value, path)
        if element.type not in _URIS or (plan.type_, name) == ("Extension", "url"):
            return None
        absolute = element.absolute or (plan.type_, name) == ("Bundle.entry", "fullUrl")
        severity = "error" if absolute else "warning" if element.type == "canonical" else ""
        return lambda walk, value, path: walk.uri(value, path, severity)


class _Walk:
    def __init__(self, container: Container) -> None:
        self.found: list[Problem] = []
        self._container = container

    def add(self, path: str, code: str, message: str, rule: str, severity: str = "error") -> None:
        self.found.append(Problem(path, code, message, severity, rule))

    def ask(self, plan: _Plan, element: Json, path: str) -> None:
        """Ask one element, and those in it."""
        for key, holds, invariant in plan.rules:
            if not holds(element):
                message = f"breaks {key}: {invariant.human}"
                self.add(path, "invariant", message, key, invariant.severity)
        if len(element) == 1 and "id" in element and not plan.companion:
            self.add(path, "invariant", _EMPTY, "ele-1")
        members = plan.members
        for name, value in element.items():
            member = members.get(name)
            if member is None:
                continue
            where = f"{path}.{name}"
            if member.plan is not None and member.plan.companion:
                where = f"{path}.{name[1:]}"
                self._companion(element, name, value, where)
            if type(value) is list:
                if member.primitives:
                    self._nulls(element, name, value, where)
                for at, item in enumerate(value):
                    self._value(member, item, f"{where}[{at}]")
            else:
                self._value(member, value, where)

    def _value(self, member: _Member, value: object, path: str) -> None:
        if member.ask is not None and value is not None:
            member.ask(self, value, path)
        if member.plan is not None and type(value) is dict:
            self.ask(member.plan, value, path)

    def _companion(self, element: Json, name: str, value: object, path: str) -> None:
        if isinstance(value, dict) and name[1:] not in element and "extension" not in value:
            self.add(path, "invariant", _EMPTY, "ele-1")

    def _nulls(self, element: Json, name: str, values: list[object], path: str) -> None:
        if None not in values:
            return
        others = element.get(f"_{name}")
        companions = others if isinstance(others, list) else []
        for at, value in enumerate(values):
            told = companions[at] if at < len(companions) else None
            if value is None and not (isinstance(told, dict) and "extension" in told):
                self.add(f"{path}[{at}]", "invariant", _EMPTY, "ele-1")

    def extension(
        self, value: object, path: str, own: Mapping[str, tuple[str, ...]], *, nested: bool
    ) -> None:
        """ext-1, the url, and the type of the value where the standard defines the extension."""
        if not isinstance(value, dict):
            return
        chosen_ = chosen(value, "value")
        if has(value, "extension") == bool(chosen_):
            self.add(
                path, "invariant", "must have a value or extensions, not both (ext-1)", "ext-1"
            )
        url = value.get("url")
        if nested or not isinstance(url, str):
            return
        if "|" in url:
            self.add(f"{path}.url", "invalid", "must not have a version", "extension")
        elif not uris.is_absolute(url):
            self.add(f"{path}.url", "invalid", "must be an absolute URI", "extension")
        types = own.get(url)
        if (
            types is not None
            and chosen_
            and chosen_[5:] not in {t[0].upper() + t[1:] for t in types}
        ):
            self.add(
                path, "structure", "has a value of another type than its definition", "extension"
            )

    def reference(
        self, value: object, path: str, allowed: frozenset[str], types: frozenset[str]
    ) -> None:
        """How it is written, and the target, as far as the reference tells it."""
        if not isinstance(value, dict):
            return
        literal = value.get("reference")
        if isinstance(literal, str) and not references.is_readable(literal):
            self.add(f"{path}.reference", "value", _UNREADABLE, "")
        if isinstance(literal, str) and literal.startswith("#"):
            wrong = references.note(literal, self._container)
            if wrong:
                self.add(f"{path}.reference", "invariant", wrong, "ref-1")
        type_ = references.target_type(value, self._container, types)
        if type_ and type_ not in allowed:
            self.add(path, "invalid", "refers to a type that is not allowed here", "target")

    def bound(self, value: object, path: str, codes: Codes, value_set: str, type_: str) -> None:
        """A required binding."""
        wrong = codes.bound(value_set, type_, value) if isinstance(value, dict) else ""
        if wrong:
            self.add(path, "code-invalid", wrong, "binding")

    def coding(self, value: object, path: str, codes: Codes) -> None:
        """The code is one of its system, where R4 lists that."""
        if not isinstance(value, dict):
            return
        if codes.is_set(value):
            self.add(
                f"{path}.system", "code-invalid", "names a value set, not a code system", "system"
            )
        severity = codes.unknown(value)
        if severity:
            self.add(
                f"{path}.code", "code-invalid", "is not a code of its system", "system", severity
            )

    def uri(self, value: object, path: str, relative: str) -> None:
        """A URI's form; one that begins with ``#`` names a contained resource.

        Args:
            relative: How severe it is if the URI is relative; empty if it may be.
        """
        if not isinstance(value, str):
            return
        if value.startswith("#"):
            self._container.used.add(value[1:])
        contained = value.startswith("#") and relative != "error"
        if relative and not contained and not uris.is_absolute(value):
            self.add(path, "invalid", "must be an absolute URI", "uri", relative)
        message = uris.malformed(value)
        if message:
            self.add(path, "invalid", message, "uri", "warning")

    def narrative(self, value: object, path: str) -> None:
        """txt-1 and txt-2."""
        for severity, wrong in narrative.problems(value) if isinstance(value, str) else ():
            self.add(path, "invalid", wrong, "narrative", severity)


def containing(resource: Json, path: str) -> list[Problem]:
    """dom-2, dom-4, dom-5 and dom-6 of a resource that may contain others."""
    found = []
    for at, inner in enumerate(objects(resource, "contained")) if "contained" in resource else ():
        where = f"{path}.contained[{at}]"
        if "contained" in inner:
            found.append(_broken(where, "must not contain resources of its own", "dom-2"))
        for meta in objects(inner, "meta"):
            if has(meta, "versionId", "lastUpdated"):
                found.append(_broken(where, "must not have a version or time of its own", "dom-4"))
            if has(meta, "security"):
                found.append(_broken(where, "must not have security labels of its own", "dom-5"))
    if not any(has(text, "div") for text in objects(resource, "text")):
        message = "should have narrative, so that a person can read it"
        found.append(_broken(path, message, "dom-6", "warning"))
    return found


def unused(resource: Json, path: str, container: Container, own: set[str]) -> list[Problem]:
    """dom-3: each contained resource is referred to, or (``own``) refers to its container."""
    found = []
    for at, inner in enumerate(objects(resource, "contained")):
        id_ = str(inner.get("id", ""))
        if id_ not in container.used and id_ not in own:
            found.append(_broken(f"{path}.contained[{at}]", "is not referred to", "dom-3"))
    return found


def _broken(path: str, message: str, key: str, severity: str = "error") -> Problem:
    return Problem(path, "invariant", f"{message} ({key})", severity, key)
