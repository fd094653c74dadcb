"""What FHIR R4 (4.0.1) says of its types, search parameters and compartments, read from the committed table.

The table is derived by ``profiles.derive`` from the official package; ``SOURCE.md`` names version and hashes.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any  # the table's own shape, as derive.py writes it

_ABSTRACT_BASES = ("Resource", "DomainResource")


@dataclass(frozen=True, slots=True)
class Element:
    """One JSON member of a type.

    Attributes:
        min: Least number of values; of a choice, of all its members together.
        max: ``1``, another number, or ``*``.
        type: A data type, a primitive, or the path of a backbone element.
        choice: Name before ``[x]`` (``value`` for ``valueQuantity``), or empty.
        codes: Canonical of the required binding's ValueSet where its codes are known, or empty.
        binding: Canonical of the required binding's ValueSet of a CodeableConcept, Coding or Quantity, or empty.
        absolute: Whether the standard asks for an absolute URI.
        targets: Types that a Reference or canonical may point at; empty for any.
        summary: Whether ``_summary=true`` keeps it.
        modifier: Whether it changes what the others mean, so that nothing may be shown without it.
    """

    min: int
    max: str
    type: str
    choice: str = ""
    codes: str = ""
    targets: tuple[str, ...] = ()
    summary: bool = False
    modifier: bool = False
    binding: str = ""
    absolute: bool = False


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule of the standard over several elements.

    Attributes:
        severity: error or warning.
        human: What it asks, in the standard's words.
    """

    severity: str
    human: str


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite search parameter: the parameter it is and its path below the composite."""

    definition: str
    expression: str


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A SearchParameter as R4 publishes it.

    Attributes:
        type: number, date, string, token, reference, composite, quantity, uri or special.
        expression: FHIRPath over all its base types; empty for those that a server computes (``_has``, ``_text``).
    """

    url: str
    code: str
    type: str
    base: tuple[str, ...]
    expression: str = ""
    target: tuple[str, ...] = ()
    component: tuple[Component, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Definitions:
    """The standard as data.

    Attributes:
        elements: Type or backbone path to its JSON members, in the order of the standard (which is that of XML).
        resource_types: The 146 concrete resource types.
        domain_types: Those of them that have ``text``, ``contained`` and ``extension``.
        primitives: Primitive type to its regular expression.
        codes: ValueSet canonical to its codes.
        invariants: The rules of the standard by key.
        rules: Type or backbone path to the keys of the rules that hold for it.
        extensions: The standard's own extensions: url to the types that the value may have; none for nested ones.
        parameters: Resource type to its search parameters by code, the common ones included.
        by_url: Search parameters by canonical url.
        compartments: Compartment type to the member types and the parameters that link them.
    """

    elements: Mapping[str, Mapping[str, Element]]
    resource_types: frozenset[str]
    domain_types: frozenset[str]
    primitives: Mapping[str, str]
    codes: Mapping[str, tuple[str, ...]]
    invariants: Mapping[str, Invariant]
    rules: Mapping[str, tuple[str, ...]]
    extensions: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Mapping[str, SearchParameter]]
    by_url: Mapping[str, SearchParameter]
    compartments: Mapping[str, Mapping[str, tuple[str, ...]]]


@cache
def r4() -> Definitions:
    """Read the R4 table, once a process (about 60 ms)."""
    packed = resources.files("profiles").joinpath("r4.json.gz").read_bytes()
    return _definitions(json.loads(gzip.decompress(packed)))


def _definitions(table: dict[str, Any]) -> Definitions:
    types = table["types"]
    concrete = frozenset(
        name for name, t in types.items() if t["kind"] == "resource" and "abstract" not in t
    )
    parameters = [_parameter(p) for p in table["parameters"]]
    return Definitions(
        elements={
            name: {key: _element(e) for key, e in t["elements"].items()}
            for name, t in types.items()
        },
        resource_types=concrete,
        domain_types=frozenset(n for n in concrete if "contained" in types[n]["elements"]),
        primitives=table["primitives"],
        codes={url: tuple(codes) for url, codes in table["codes"].items()},
        invariants={
            key: Invariant(rule["severity"], rule["human"])
            for key, rule in table["invariants"].items()
        },
        rules={name: tuple(t["invariants"]) for name, t in types.items() if "invariants" in t},
        extensions={url: tuple(found) for url, found in table["extensions"].items()},
        parameters={name: _parameters_of(name, parameters) for name in concrete},
        by_url={p.url: p for p in parameters},
        compartments={
            name: {type_: tuple(codes) for type_, codes in members.items()}
            for name, members in table["compartments"].items()
        },
    )


def _element(described: Mapping[str, object]) -> Element:
    targets = described.get("targets", ())
    return Element(
        min=int(str(described["min"])),
        max=str(described["max"]),
        type=str(described.get("type", "xhtml")),
        choice=str(described.get("choice", "")),
        codes=str(described.get("codes", "")),
        targets=tuple(targets) if isinstance(targets, list) else (),
        summary=bool(described.get("summary", False)),
        modifier=bool(described.get("modifier", False)),
        binding=str(described.get("binding", "")),
        absolute=bool(described.get("absolute", False)),
    )


def _parameter(described: Mapping[str, object]) -> SearchParameter:
    components = described.get("component", ())
    target = described.get("target", ())
    base = described["base"]
    return SearchParameter(
        url=str(described["url"]),
        code=str(described["code"]),
        type=str(described["type"]),
        base=tuple(base) if isinstance(base, list) else (),
        expression=str(described.get("expression", "")),
        target=tuple(target) if isinstance(target, list) else (),
        component=tuple(
            Component(c["definition"], c["expression"])
            for c in (components if isinstance(components, list) else ())
        ),
        description=str(described.get("description", "")),
    )


def _parameters_of(type_: str, parameters: list[SearchParameter]) -> Mapping[str, SearchParameter]:
    return {
        p.code: p
        for p in parameters
        if type_ in p.base or any(base in p.base for base in _ABSTRACT_BASES)
    }
