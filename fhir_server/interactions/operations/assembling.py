"""A Bundle of type document (R4 documents.html, 3.3.1): identifier, time, and entries with the Composition first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_server.forms import Record
from fhir_server.resource_text import instant


@dataclass(frozen=True, slots=True)
class Part:
    """One entry: its ``fullUrl`` and its resource as JSON."""

    url: str
    text: bytes = field(repr=False)

    @classmethod
    def of(cls, record: Record, base: str) -> Part:
        """The entry of a stored record, as it is stored."""
        return cls(f"{base}/{record.reference}", record.text)


def document_bundle(id_: str, at: int, parts: Sequence[Part], profile: str = "") -> bytes:
    """The Bundle, as JSON.

    Args:
        id_: A random UUID: the Bundle's id, and its identifier for all time.
        at: When it is made, milliseconds since 1970 UTC.
        parts: The Composition first.
    """
    head = {
        "resourceType": "Bundle",
        "id": id_,
        "meta": {"lastUpdated": instant(at), **({"profile": [profile]} if profile else {})},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{id_}"},
        "type": "document",
        "timestamp": instant(at),
    }
    entries = b",".join(
        b'{"fullUrl":%b,"resource":%b}' % (json.dumps(part.url).encode(), part.text)
        for part in parts
    )
    return json.dumps(head, separators=(",", ":")).encode()[:-1] + b',"entry":[' + entries + b"]}"
