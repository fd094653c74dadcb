"""A checker of IPS documents, independent of the server: it reads the differentials of the IPS profiles themselves.

It checks cardinalities, fixed values and patterns, the slices of entries and sections, targets of section entries, required
bindings whose codes the guide lists, and the guide's own invariants on Bundle, Composition and laboratory Observations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from ...shared_data import folder_of, lines_of

Json = dict[str, Any]
_BASE = "http://hl7.org/fhir/uv/ips/StructureDefinition/"


@cache
def guide() -> dict[str, Json]:
    """Profiles and value sets, by url."""
    lines = lines_of(folder_of("ips") / "conformance.ndjson.gz")
    return {r["url"]: r for r in map(json.loads, lines) if "url" in r}


def examples() -> list[Json]:
    return [json.loads(line) for line in lines_of(folder_of("ips") / "Bundle.ndjson")]


def problems(bundle: Json) -> list[str]:
    """What of the profiles a document does not meet."""
    composition = bundle["entry"][0]["resource"]
    found = [*_elements("Bundle-uv-ips", bundle), *_slices(bundle)]
    if any(e["resource"]["resourceType"] == "Composition" for e in bundle["entry"][1:]):
        found.append("bdl-ips-1")
    found += [*_elements("Composition-uv-ips", composition), *_sections(composition, bundle)]
    for entry in bundle["entry"][1:]:
        for profile in _profiles(entry["resource"]):
            found += _elements(profile, entry["resource"])
    return found


def _profiles(resource: Json) -> list[str]:
    type_ = resource["resourceType"]
    if type_ != "Observation":
        return [f"{type_}-uv-ips"] if f"{_BASE}{type_}-uv-ips" in guide() else []
    laboratory = "laboratory" in json.dumps(resource.get("category", ""))
    return ["Observation-results-laboratory-pathology-uv-ips"] if laboratory else []


def _differential(profile: str) -> list[Json]:
    return list(guide()[_BASE + profile]["differential"]["element"])


def _elements(profile: str, resource: Json) -> Iterator[str]:
    """Elements that no slice is part of."""
    for element in _differential(profile):
        _, *path = element["id"].split(".")
        if not path or ":" in element["id"]:
            continue
        for parent in _at(resource, path[:-1]):
            yield from _element(element, _children(parent, path[-1]), profile)


def _element(element: Json, values: list[Any], profile: str) -> Iterator[str]:
    where = f"{profile}: {element['id']}"
    if len(values) < element.get("min", 0):
        yield f"{where} is missing"
    if element.get("max", "*") != "*" and len(values) > int(element["max"]):
        yield f"{where} may not be there"
    for name, wanted in element.items():
        if name.startswith(("fixed", "pattern")):
            yield from (f"{where} is another" for v in values if not _meets(v, wanted))
    binding = element.get("binding", {})
    codes = _codes(binding.get("valueSet", "")) if binding.get("strength") == "required" else None
    if codes:
        yield from (
            f"{where} is not bound" for v in values if isinstance(v, str) and v not in codes
        )


def _codes(url: str) -> set[str]:
    compose = guide().get(url, {}).get("compose", {})
    return {c["code"] for i in compose.get("include", ()) for c in i.get("concept", ())}


def _slices(bundle: Json) -> Iterator[str]:
    by_id = {e["id"]: e for e in _differential("Bundle-uv-ips")}
    for id_, element in by_id.items():
        if not id_.startswith("Bundle.entry:") or id_.endswith(".resource"):
            continue
        [type_] = by_id[f"{id_}.resource"]["type"]
        number = sum(e["resource"]["resourceType"] == type_["code"] for e in bundle["entry"])
        if number < element["min"] or (element["max"] == "1" and number > 1):
            yield f"{id_}: {number} of them"


def _sections(composition: Json, bundle: Json) -> Iterator[str]:
    types = {e.get("fullUrl", ""): e["resource"]["resourceType"] for e in bundle["entry"]}
    types |= {"/".join(url.split("/")[-2:]): type_ for url, type_ in types.items()}
    elements = _differential("Composition-uv-ips")
    for slice_ in (e for e in elements if e["id"].count(":") == 1 and e["id"].count(".") == 1):
        id_ = slice_["id"]
        if not id_.startswith("Composition.section:"):
            continue
        code = next(e for e in elements if e["id"] == f"{id_}.code")["patternCodeableConcept"]
        found = [s for s in composition["section"] if _meets(s["code"], code)]
        if len(found) < slice_["min"] or len(found) > int(slice_["max"]):
            yield f"{id_}: {len(found)} of them"
        targets = next((e for e in elements if e["id"] == f"{id_}.entry"), {}).get("type", ())
        allowed = {p.rpartition("/")[2] for t in targets for p in t.get("targetProfile", ())}
        for section in found:
            constrained = any(c["key"] == "ips-comp-1" for c in slice_.get("constraint", ()))
            if constrained and not (section.get("entry") or section.get("emptyReason")):
                yield f"{id_}: ips-comp-1"
            for entry in section.get("entry", ()):
                if types.get(entry["reference"]) not in (allowed or types.values()):
                    yield f"{id_}: refers to what it may not, or to nothing"


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield value
        return
    for child in _children(value, path[0]):
        yield from _at(child, path[1:])


def _children(value: Any, name: str) -> list[Any]:
    if not isinstance(value, dict):
        return []
    if name.endswith("[x]"):
        return [v for k, v in value.items() if k.lstrip("_").startswith(name[:-3])]
    found = value.get(name, value.get(f"_{name}"))
    return found if isinstance(found, list) else [] if found is None else [found]


def _meets(value: Any, pattern: Any) -> bool:
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(_meets(value.get(k), v) for k, v in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_meets(v, p) for v in value) for p in pattern)
    return bool(value == pattern)
