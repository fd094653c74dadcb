"""capabilities (R4 http.html, 3.1.0.10): what is registered, told as a CapabilityStatement; never written by hand."""

import orjson

from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.stages import document
from fhir_server.search.values import Searchable
from profiles.definitions import Definitions

_INTERACTIONS = ("read", "vread", "create", "update", "delete", "history-instance", "search-type")
_FIXED_TYPES = frozenset({"AuditEvent"})
_UNFIXED = frozenset({"update", "delete"})
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


async def capabilities(in_scope: InScope, desk: Desk) -> Opened:
    """The CapabilityStatement, made when the server started."""
    return document(in_scope, desk.tools.capability)


def capability_statement(
    definitions: Definitions, searchable: Searchable, base: str, issuer: str, since: str
) -> bytes:
    """The CapabilityStatement of a server at ``base`` whose tokens come from ``issuer``; ``since`` is a FHIR dateTime."""
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
                    )
                ],
            }
        ],
    }
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": since,
        "kind": "instance",
        "software": {"name": "Consentry", "version": "0.1.0"},
        "implementation": {"description": "Consentry: sealed, consented, provable", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "security": security,
                "resource": [
                    _resource(type_, searchable) for type_ in sorted(definitions.resource_types)
                ],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }
    return orjson.dumps(statement)


def _resource(type_: str, searchable: Searchable) -> dict[str, object]:
    values = searchable.of(type_)
    parameters = [p for code, p in sorted(values.parameters.items()) if values.reads(code)]
    offered = [i for i in _INTERACTIONS if type_ not in _FIXED_TYPES or i not in _UNFIXED]
    described: dict[str, object] = {
        "type": type_,
        "interaction": [{"code": code} for code in offered],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": type_ not in _FIXED_TYPES,
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "searchInclude": [f"{type_}:{p.code}" for p in parameters if p.type == "reference"],
        "searchParam": [{"name": p.code, "definition": p.url, "type": p.type} for p in parameters],
    }
    if not described["searchInclude"]:
        del described["searchInclude"]
    if type_ == "AuditEvent":
        described["operation"] = [
            {
                "name": "receipt",
                "definition": "https://consentry.example/OperationDefinition/AuditEvent-receipt",
            }
        ]
    return described
