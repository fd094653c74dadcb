"""What is registered, told as a CapabilityStatement (R4 capabilitystatement.html); never written by hand."""

import orjson

from fhir_server.interactions.patching import FORMATS
from fhir_server.interactions.registered import (
    REGISTERED,
    codes_of,
    is_conditional,
    operations_of,
    system_codes,
)
from fhir_server.media import JSON, XML
from fhir_server.search.values import Searchable
from profiles.definitions import Definitions, SearchParameter

_REINDEX = "https://consentry.example/StructureDefinition/reindex-state"
_MOST_TARGETS = 20  # of a reference that is named as a way back
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_GUIDES = {
    "summary": "http://hl7.org/fhir/uv/ips/CapabilityStatement/ips-server",
    "export": "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data",
}


def capability_statement(
    definitions: Definitions,
    searchable: Searchable,
    base: str,
    issuer: str,
    since: str,
    most_deleted: int,
) -> bytes:
    """The CapabilityStatement of a server at ``base`` whose tokens come from ``issuer``.

    Args:
        since: A FHIR dateTime.
        most_deleted: Most records that one conditional delete may delete.
    """
    security = {
        "cors": True,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                    }
                ]
            }
        ],
        "extension": [
            {
                "url": _OAUTH_URIS,
                "extension": [
                    {"url": name, "valueUri": f"{issuer}/{path}"}
                    for name, path in (
                        ("authorize", "authorize"),
                        ("token", "token"),
                        ("introspect", "introspect"),
                        ("revoke", "revoke"),
                        ("manage", "apps"),
                        ("register", "register"),
                    )
                ],
            }
        ],
    }
    backward = _backward(definitions, searchable)
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": since,
        "kind": "instance",
        "software": {"name": "Consentry", "version": "0.1.0"},
        "implementation": {"description": "Consentry: sealed, consented, provable", "url": base},
        "fhirVersion": "4.0.1",
        **_instantiated(),
        "format": [JSON, XML, "json", "xml"],
        "patchFormat": list(FORMATS),
        "rest": [
            {
                "mode": "server",
                "security": security,
                "resource": [
                    _resource(type_, searchable, most_deleted, backward)
                    for type_ in sorted(definitions.resource_types)
                ],
                "interaction": [{"code": code} for code in system_codes()],
                "operation": _operations(""),
                "compartment": [
                    f"http://hl7.org/fhir/CompartmentDefinition/{name.lower()}"
                    for name in sorted(definitions.compartments)
                ],
            }
        ],
    }
    return orjson.dumps(statement)


def _instantiated() -> dict[str, list[str]]:
    """The CapabilityStatements of guides whose operations are here."""
    found = {_GUIDES[r.operation] for r in REGISTERED if r.operation in _GUIDES}
    return {"instantiates": sorted(found)} if found else {}


def _backward(definitions: Definitions, searchable: Searchable) -> dict[str, list[str]]:
    """The references that may lead to each type; those that may lead to any type are left to ``*``."""
    found: dict[str, list[str]] = {}
    for source in sorted(definitions.resource_types):
        values = searchable.of(source)
        for code, parameter in sorted(values.parameters.items()):
            if values.reads(code) and len(parameter.target) <= _MOST_TARGETS:
                for target in parameter.target:
                    found.setdefault(target, []).append(f"{source}:{code}")
    return found


def _resource(
    type_: str, searchable: Searchable, most_deleted: int, backward: dict[str, list[str]]
) -> dict[str, object]:
    values = searchable.of(type_)
    parameters = [p for code, p in sorted(values.parameters.items()) if values.reads(code)]
    offered = codes_of(type_)
    deletion = ("multiple" if most_deleted > 1 else "single") if "delete" in offered else ""
    described: dict[str, object] = {
        "type": type_,
        "interaction": [{"code": code} for code in offered],
        "versioning": "versioned-update" if "update" in offered else "versioned",
        "readHistory": "vread" in offered,
        "updateCreate": "update" in offered,
        "conditionalCreate": is_conditional("create"),
        "conditionalRead": "full-support",
        "conditionalUpdate": is_conditional("update") and "update" in offered,
        "conditionalDelete": deletion or "not-supported",
        "searchInclude": ["*", *(f"{type_}:{p.code}" for p in parameters if p.type == "reference")],
        "searchRevInclude": ["*", *backward.get(type_, ())],
        "searchParam": [_parameter(type_, p, searchable) for p in parameters],
    }
    operations = _operations(type_)
    if operations:
        described["operation"] = operations
    return described


def _operations(type_: str) -> list[dict[str, str]]:
    return [{"name": o.name, "definition": o.definition} for o in operations_of(type_)]


def _parameter(type_: str, parameter: SearchParameter, searchable: Searchable) -> dict[str, object]:
    """One search parameter; a custom one says how far the index has been brought up to it."""
    told: dict[str, object] = {
        "name": parameter.code,
        "definition": parameter.url,
        "type": parameter.type,
    }
    custom = searchable.custom(type_, parameter.code)
    if custom is None:
        return told
    slow = "" if custom.complete else ": searches by it are exact, but slow until it is complete"
    return {
        **told,
        "extension": [{"url": _REINDEX, "valueCode": custom.state}],
        "documentation": f"defined here; its index is {custom.state}{slow}",
    }
