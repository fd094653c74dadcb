"""A JSON Schema for R4, made from the definitions table: structure, cardinality, formats and required codes.

Stricter than the published ``fhir.schema.json``: cardinalities of at least one, one choice type only (``value[x]``), null
only inside arrays of primitives, no empty object or array (R4 json.html).  One schema for all types: nearly all of a type's
are data types, which all of them share.
"""

from collections.abc import Iterator, Mapping

from profiles.definitions import Definitions, Element

Schema = dict[str, object]

_MOST = 1024 * 1024  # characters of a string (R4 datatypes.html#string)
# Characters that no string holds (R4 datatypes.html#string), nor any XML (XML 1.0, 2.2)
_NEVER = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff"
_TEXT = rf"^[^{_NEVER}]*[^ \r\n\t{_NEVER}][^{_NEVER}]*$"
_DIGIT = r"[0-9A-Za-z+/]\s*"  # of base64, where white space may be anywhere (RFC 4648; R4 datatypes.html)
_BASE64 = rf"^\s*(?:(?:{_DIGIT}){{4}})*(?:(?:{_DIGIT}){{2}}=\s*=\s*|(?:{_DIGIT}){{3}}=\s*)?$"
# In draft 4 of JSON Schema 1.0 is no integer, as in R4 (datatypes.html#integer); later drafts take it for one.
_INTEGERS: Mapping[str, Schema] = {
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
}
_OTHERS: Mapping[str, Schema] = {
    "boolean": {"type": "boolean"},
    "decimal": {"type": "number"},
    "string": {"type": "string", "minLength": 1, "maxLength": _MOST, "pattern": _TEXT},
    "markdown": {"type": "string", "minLength": 1, "maxLength": _MOST, "pattern": _TEXT},
    "base64Binary": {"type": "string", "minLength": 1, "pattern": _BASE64},
    "xhtml": {"type": "string", "minLength": 1, "pattern": rf"^\s*<[^{_NEVER}]*$"},
}


# classes of the published formats that let such characters pass
_CLASSES = {r"[^\s]": r"\S", r"\s": r"[ \r\n\t]", r"\S": rf"[^\s{_NEVER}]"}
_DATES = frozenset({"date", "dateTime", "instant"})
_NOT_BY_FOUR = "([02468][1235679]|[13579][01345789])"
# days that are in no calendar, which the published formats let pass
_NO_DAY: Schema = {
    "pattern": "^([0-9]{4}-(02-3|(04|06|09|11)-31)|([0-9]{2}"
    + _NOT_BY_FOUR
    + "|"
    + _NOT_BY_FOUR
    + "00)-02-29)"
}


def schema_of(definitions: Definitions) -> Schema:
    """The schema of an object whose one member is a resource, named by its type.

    Nested resources are objects with a ``resourceType``, checked on their own.
    """
    needed: dict[str, Schema] = {}
    for type_ in definitions.resource_types:
        _collect(type_, definitions, needed)
    members = {type_: {"$ref": f"#/definitions/{type_}"} for type_ in definitions.resource_types}
    return {"properties": members, "definitions": needed}


def _collect(type_: str, definitions: Definitions, needed: dict[str, Schema]) -> None:
    if type_ in needed:
        return
    elements = definitions.elements[type_]
    needed[type_] = {}
    properties: Schema = {}
    for name, element in elements.items():
        properties.update(_property(name, element, definitions))
    if type_ in definitions.resource_types:
        properties["resourceType"] = {"enum": [type_]}
        properties["id"] = {
            "type": "string",
            "pattern": "^[A-Za-z0-9.-]{1,64}$",
        }  # R4 says "string" here
    needed[type_] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": properties,
        "allOf": [{}, *_presence(elements, definitions)],
    }
    for element in elements.values():
        if element.type in definitions.elements and element.type != "Resource":
            _collect(element.type, definitions, needed)
    if "Element" not in needed:
        _collect("Element", definitions, needed)


def _property(
    name: str, element: Element, definitions: Definitions
) -> Iterator[tuple[str, Schema]]:
    value = _value(element, definitions)
    primitive = _is_primitive(element, definitions)
    if element.max == "1":
        yield name, value
        if primitive:
            yield f"_{name}", {"$ref": "#/definitions/Element"}
        return
    most = {} if element.max == "*" else {"maxItems": int(element.max)}
    many: Schema = {"type": "array", "minItems": 1, **most}
    if primitive:
        yield name, {**many, "items": {"anyOf": [value, {"type": "null"}]}}
        companion = {"anyOf": [{"$ref": "#/definitions/Element"}, {"type": "null"}]}
        yield f"_{name}", {**many, "items": companion}
    else:
        yield name, {**many, "items": value}


def _value(element: Element, definitions: Definitions) -> Schema:
    if element.type == "Resource":
        return {"type": "object", "required": ["resourceType"]}
    if not _is_primitive(element, definitions):
        return {"$ref": f"#/definitions/{element.type}"}
    codes = definitions.codes.get(element.codes)
    if codes:
        return {"enum": list(codes)}
    if element.type in _INTEGERS:
        return _INTEGERS[element.type]
    if element.type in _OTHERS:
        return _OTHERS[element.type]
    published = definitions.primitives[element.type]
    for name, class_ in _CLASSES.items():
        published = published.replace(name, class_)
    format_: Schema = {"type": "string", "pattern": f"^(?:{published})$"}
    return {**format_, "not": _NO_DAY} if element.type in _DATES else format_


def _is_primitive(element: Element, definitions: Definitions) -> bool:
    return element.type in definitions.primitives or element.type == "xhtml"


def _presence(elements: Mapping[str, Element], definitions: Definitions) -> Iterator[Schema]:
    """What must be there, and of which members at most one may be."""
    choices: dict[str, list[Schema]] = {}
    for name, element in elements.items():
        present: Schema = {"required": [name]}
        if _is_primitive(element, definitions):
            present = {"anyOf": [present, {"required": [f"_{name}"]}]}
        if element.choice:
            choices.setdefault(element.choice, []).append(present)
        elif element.min:
            yield present
    for choice, alternatives in choices.items():
        needed = any(e.min for e in elements.values() if e.choice == choice)
        none: list[Schema] = [] if needed else [{"not": {"anyOf": alternatives}}]
        yield {"oneOf": [*alternatives, *none]}
