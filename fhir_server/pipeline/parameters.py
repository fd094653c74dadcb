"""The parameters of an operation that is posted (R4 operations.html, 3.2.0.2): a Parameters resource.

What has a plain value is asked as if it stood in the url: a reference as ``Type/id``, a coded value as ``system|code``.  A
resource that is sent by itself is the parameter ``resource``.
"""

import json
from collections.abc import Iterator
from decimal import Decimal

from fhir_server.errors import BadRequestError, InvalidParameterError
from fhir_server.forms import Pairs
from fhir_server.resource_text import ResourceText, read_resource
from fhir_server.search.criteria import escape

_CODES = {"valueCoding": "code", "valueIdentifier": "value"}


def parameters_sent(content: ResourceText) -> ResourceText:
    """The Parameters sent, or those that a resource sent by itself stands for.

    Raises:
        BadRequestError: ``parameter`` is not an array of named parameters.
    """
    if content.type_ != "Parameters":
        head = '{"resourceType":"Parameters","parameter":[{"name":"resource","resource":'
        return read_resource(f"{head}{content.text}}}]}}".encode())
    sent = content.value.get("parameter", [])
    named = isinstance(sent, list) and all(
        isinstance(p, dict) and isinstance(p.get("name"), str) for p in sent
    )
    if not named:
        raise BadRequestError("parameter must be an array of named parameters", "Parameters")
    return content


def plain_parameters(parameters: ResourceText) -> Pairs:
    """Those parameters that have a plain value.

    Raises:
        InvalidParameterError: A value is not of the shape of its type.
    """
    sent = parameters.value.get("parameter", [])
    assert isinstance(sent, list)
    return tuple(pair for one in sent for pair in _plain(one))


def _plain(one: dict[str, object]) -> Iterator[tuple[str, str]]:
    name = str(one["name"])
    for member, value in one.items():
        if not member.startswith("value") or member == "valueMeta":
            continue
        text = _text(member, value)
        if text is None:
            raise InvalidParameterError(f"parameter '{name[:64]}' can not have such a value")
        yield name, text


def _text(member: str, value: object) -> str | None:
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (str, int, Decimal)):
        return str(value)
    if not isinstance(value, dict):
        return None
    if member in _CODES:
        return _coded(value, _CODES[member])
    if member == "valueCodeableConcept":
        codings = value.get("coding")
        found = [_coded(c, "code") for c in codings] if isinstance(codings, list) else []
        return ",".join(text for text in found if text) or None
    reference = value.get("reference")
    return reference if member == "valueReference" and isinstance(reference, str) else None


def _coded(value: object, name: str) -> str | None:
    code = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(code, str):
        return None
    system = value.get("system")
    return f"{escape(system)}|{escape(code)}" if isinstance(system, str) else escape(code)
