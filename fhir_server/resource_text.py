"""A resource as the text that was received: kept, stamped with id and meta, never re-serialised.

Decimals keep their trailing zeros, timestamps their spelling, members their order and white space.  Only ``id`` and ``meta``
are written by the server, at the beginning, and references that a transaction resolves.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

from fhir_server.errors import InvalidResourceError, MalformedError
from profiles.definitions import r4
from profiles.errors import JsonError, XmlError
from profiles.strict_json import decode, items, members, read, read_value, value_start
from profiles.xml_reading import read_xml

_REFERENCE = re.compile(r'("reference"\s*:\s*)("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class ResourceText:
    """A resource as received.

    Attributes:
        text: One JSON object.
        value: The same, read; decimals are ``Decimal``.
    """

    text: str
    value: Mapping[str, object]

    @property
    def type_(self) -> str:
        """Its ``resourceType``."""
        return str(self.value.get("resourceType", ""))

    @property
    def id_(self) -> str:
        """Its ``id``, or empty."""
        id_ = self.value.get("id")
        return id_ if isinstance(id_, str) else ""


def read_resource(body: bytes) -> ResourceText:
    """Read a body as one resource.

    Raises:
        MalformedError: It is not JSON as FHIR allows it.
        InvalidResourceError: It is JSON, but no object with a ``resourceType``.
    """
    try:
        text = decode(body)
        value = read(text)
    except JsonError as error:
        raise MalformedError(str(error)) from error
    return _resource(text, value)


def read_resource_xml(body: bytes) -> ResourceText:
    """Read a body of XML as one resource, in the JSON that says the same.

    Raises:
        MalformedError: It is not XML as FHIR allows it.
    """
    try:
        text = read_xml(body, r4())
        return _resource(text, read(text))
    except (XmlError, JsonError) as error:
        raise MalformedError(str(error)) from error


def binary_of(id_: str, media_type: str, content: bytes, context: str) -> ResourceText:
    """The Binary that holds ``content``; ``id_`` and whose it is (``X-Security-Context``) may be empty."""
    value: dict[str, object] = {"resourceType": "Binary"}
    if id_:
        value["id"] = id_
    value["contentType"] = media_type
    if context:
        value["securityContext"] = {"reference": context}
    if content:
        value["data"] = base64.b64encode(content).decode()
    return ResourceText(json.dumps(value), value)


def with_member(resource: ResourceText, name: str, content: object) -> ResourceText:
    """The resource with one more member at its end."""
    text = f"{resource.text.rstrip()[:-1]},{json.dumps(name)}:{json.dumps(content)}}}"
    return ResourceText(text, {**resource.value, name: content})


def _resource(text: str, value: object) -> ResourceText:
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise InvalidResourceError(
            "a resource must be a JSON object with a resourceType", "resourceType"
        )
    return ResourceText(text, value)


def entry_resources(bundle: ResourceText) -> Iterator[ResourceText | None]:
    """The resources of a Bundle's entries, each with its own text; None for an entry without one.

    Values are those of the Bundle: a Bundle of thousands of entries is held in memory once.
    """
    entries = bundle.value.get("entry")
    start = value_start(bundle.text, "entry")
    if not isinstance(entries, list) or start is None:
        return
    for at, entry in zip(items(bundle.text, start), entries, strict=True):
        yield _entry_resource(bundle.text, at, entry["resource"]) if "resource" in entry else None


def resource_of_parameter(parameters: ResourceText, name: str = "resource") -> ResourceText | None:
    """The resource of the first parameter called ``name``, with its own text; None if there is none."""
    sent = parameters.value.get("parameter")
    start = value_start(parameters.text, "parameter")
    if not isinstance(sent, list) or start is None:
        return None
    for at, one in zip(items(parameters.text, start), sent, strict=True):
        if isinstance(one, dict) and one.get("name") == name and "resource" in one:
            return _entry_resource(parameters.text, at, one["resource"])
    return None


def _entry_resource(text: str, start: int, value: object) -> ResourceText:
    for member in members(text, start):
        if member.name == "resource":
            return _resource(text[member.value_start : member.end], value)
    raise InvalidResourceError("an entry without a resource", "Bundle.entry")


def stamp(resource: ResourceText, id_: str, version: int, at: int) -> ResourceText:
    """The resource with the server's ``id``, ``meta.versionId`` and ``meta.lastUpdated`` (``at``: ms since 1970 UTC)."""
    kept = [m for m in members(resource.text) if m.name not in ("resourceType", "id", "meta")]
    own = {"versionId": str(version), "lastUpdated": instant(at)}
    sent = resource.value.get("meta")
    meta = (
        {**own, **{k: v for k, v in sent.items() if k not in own}}
        if isinstance(sent, dict)
        else own
    )
    head = f'{{"resourceType":{json.dumps(resource.type_)},"id":{json.dumps(id_)},"meta":{_meta(resource, own)}'
    text = "".join([head, *("," + resource.text[m.start : m.end] for m in kept), "}"])
    value: dict[str, object] = {"resourceType": resource.type_, "id": id_, "meta": meta}
    value.update((m.name, m.value) for m in kept)
    return ResourceText(text, value)


def _meta(resource: ResourceText, own: Mapping[str, str]) -> str:
    head = ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in own.items())
    for member in members(resource.text):
        if member.name == "meta" and isinstance(member.value, dict):
            kept = [m for m in members(resource.text, member.value_start) if m.name not in own]
            return "{" + ",".join([head, *(resource.text[m.start : m.end] for m in kept)]) + "}"
    return "{" + head + "}"


def instant(at: int) -> str:
    """Milliseconds since 1970 UTC as a FHIR instant."""
    return f"{_second(at // 1000)}.{at % 1000:03d}Z"


@lru_cache(4096)
def _second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def http_date(at: int) -> str:
    """Milliseconds since 1970 UTC as an HTTP-date (RFC 9110, 5.6.7)."""
    return _http_date(at // 1000)


@lru_cache(4096)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def references(value: object) -> list[str]:
    """Every ``Reference.reference`` below ``value``."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        node = waiting.pop()
        children = node.values() if type(node) is dict else node if type(node) is list else ()
        waiting += [child for child in children if type(child) is dict or type(child) is list]
        reference = node.get("reference") if type(node) is dict else None
        if type(reference) is str:
            found.append(reference)
    return found


def rewrite_references(
    resource: ResourceText, resolve: Callable[[str], str | None]
) -> ResourceText:
    """The resource with each reference that ``resolve`` knows replaced, in text and value alike.

    Raises:
        InvalidResourceError: A member name ``reference`` is written with escapes, so that text and value could differ.
    """
    wanted = sum(resolve(r) is not None for r in references(resource.value))
    if not wanted:
        return resource
    replaced = 0

    def substitute(match: re.Match[str]) -> str:
        nonlocal replaced
        found = resolve(json.loads(match[2]))
        if found is None:
            return match[0]
        replaced += 1
        return match[1] + json.dumps(found)

    text = _REFERENCE.sub(substitute, resource.text)
    if replaced != wanted:
        raise InvalidResourceError(
            "a reference to be resolved is not written plainly", "Bundle.entry.resource"
        )
    value, _ = read_value(text, 0)
    assert isinstance(value, dict)
    return replace(resource, text=text, value=value)
