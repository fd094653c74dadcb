"""The OpenAPI 3.1 description, for machines: made from the same table as the router and the CapabilityStatement.

Search parameters are described without their modifiers and chains, for which OpenAPI has no words.
"""

from collections.abc import Iterable, Mapping

from fhir_server.media import FORM, JSON, XML
from fhir_server.portal.interface import SHAPING, Call, Interface, Parameter

Json = dict[str, object]
_VARIABLES = {
    "id": ("Logical id", r"^[A-Za-z0-9\-.]{1,64}$"),
    "vid": ("Number of the version", r"^[0-9]{1,9}$"),
}
_NAMEABLE = str.maketrans({"/": "-", "{": None, "}": None, "$": None})
_PATCHES: Mapping[str, Json] = {
    "application/json-patch+json": {"type": "array", "items": {"type": "object"}},
    "application/merge-patch+json": {"type": "object"},
    "application/xml-patch+xml": {"type": "string"},
}
_RESPONSES = {
    "default": {"$ref": "#/components/responses/outcome"},
    "2XX": {"$ref": "#/components/responses/resource"},
}
_SHARED = [{"$ref": f"#/components/parameters/shared.{name}"} for name, _ in SHAPING]


def openapi(found: Interface) -> Json:
    """The description of the whole interface."""
    paths: dict[str, Json] = {}
    for call in found.system:
        _add(paths, call, "", ())
    for of_type in found.types:
        for call in of_type.calls:
            _add(paths, call, of_type.name, of_type.parameters)
    for owner, members in found.compartments:
        _add_compartment(paths, owner, members)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Consentry",
            "version": "0.1.0",
            "description": "FHIR R4: records sealed, reads decided by the patient's Consent, answers on record.",
        },
        "servers": [{"url": found.base}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": _components(found),
    }


def _add(paths: dict[str, Json], call: Call, type_: str, parameters: Iterable[Parameter]) -> None:
    item = paths.setdefault(f"/{call.path}", {})
    if call.method.lower() in item:  # conditional, at the path of the plain one
        return
    variables = [name for name in _VARIABLES if f"{{{name}}}" in call.path]
    if variables:
        item["parameters"] = [_reference(f"path.{name}") for name in variables]
    item[call.method.lower()] = _operation(call, type_, parameters)


def _operation(call: Call, type_: str, parameters: Iterable[Parameter]) -> Json:
    made: Json = {
        "operationId": f"{call.method}-{call.path or 'base'}".translate(_NAMEABLE),
        "summary": call.title,
        "responses": _RESPONSES,
    }
    if type_:
        made["tags"] = [type_]
    if call.code == "capabilities":
        made["security"] = []
    if call.query or (call.code.startswith("search") and call.method == "GET"):
        own = [_reference(f"{type_}.{asked.code}") for asked in parameters]
        made["parameters"] = own if call.query else [*own, *_SHARED]
    body = _body(call, type_)
    return {**made, "requestBody": {"required": True, "content": body}} if body else made


def _body(call: Call, type_: str) -> Mapping[str, object]:
    """What is sent, by media type; nothing for most."""
    if call.method != "POST" and call.code not in ("update", "patch"):
        return {}
    if call.path.endswith("_search"):
        return {FORM: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}}
    if call.code == "patch":
        parameters = {JSON: {"schema": _resource("Parameters")}}
        return {**parameters, **{kind: {"schema": schema} for kind, schema in _PATCHES.items()}}
    if call.code == "operation":
        return {}
    type_ = type_ or "Bundle"
    return {JSON: {"schema": _resource(type_)}, XML: {"schema": {"type": "string"}}}


def _resource(type_: str) -> Json:
    return {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"const": type_}},
    }


def _add_compartment(paths: dict[str, Json], owner: str, members: Iterable[str]) -> None:
    """Searches within what belongs to one owner."""
    types: Json = {"type": "string", "enum": [*members, "*"]}
    named = {"name": "type", "in": "path", "required": True, "schema": types}
    paths[f"/{owner}/{{id}}/{{type}}"] = {
        "parameters": [_reference("path.id"), named],
        "get": {
            "operationId": f"GET-{owner}-compartment",
            "summary": f"Search within the compartment of one {owner}",
            "tags": [owner],
            "parameters": _SHARED,
            "responses": _RESPONSES,
        },
    }


def _components(found: Interface) -> Json:
    parameters: dict[str, Json] = {
        f"path.{name}": {
            "name": name,
            "in": "path",
            "required": True,
            "description": about,
            "schema": {"type": "string", "pattern": pattern},
        }
        for name, (about, pattern) in _VARIABLES.items()
    }
    parameters.update({f"shared.{n}": _in_query(n, about) for n, about in SHAPING})
    for of_type in found.types:
        for asked in of_type.parameters:
            about = f"{asked.type}: {asked.about}".rstrip(": ")
            parameters[f"{of_type.name}.{asked.code}"] = _in_query(asked.code, about)
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "SMART App Launch 2.2"}
    }
    return {
        "parameters": parameters,
        "responses": {
            "resource": _response("The resource, the Bundle, or nothing", {"type": "object"}),
            "outcome": _response("What is wrong, by element", _resource("OperationOutcome")),
        },
        "securitySchemes": schemes,
    }


def _response(about: str, schema: Json) -> Json:
    return {
        "description": about,
        "content": {JSON: {"schema": schema}, XML: {"schema": {"type": "string"}}},
    }


def _in_query(name: str, about: str) -> Json:
    return {"name": name, "in": "query", "description": about, "schema": {"type": "string"}}


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}
