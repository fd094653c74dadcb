"""An International Patient Summary as a document (IPS 1.1: Bundle-uv-ips, Composition-uv-ips).

The Composition and the Device that wrote it are of the moment and stored nowhere; all else stands as it is stored.
References from the Composition are whole urls, because its own ``fullUrl`` is a urn (R4 bundle.html, 2.36.4.1).
"""

import json
from collections.abc import Sequence

from fhir_server.forms import Json, Record
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.operations.assembling import Part, document_bundle
from fhir_server.interactions.operations.ips_sections import Section
from fhir_server.interactions.operations.narrative import name_of, row_of, sentence, table
from fhir_server.resource_text import instant
from profiles.strict_json import read as read_json

_IPS = "http://hl7.org/fhir/uv/ips/StructureDefinition"
BUNDLE = f"{_IPS}/Bundle-uv-ips"
COMPOSITION = f"{_IPS}/Composition-uv-ips"
_LOINC = "http://loinc.org"
_EMPTY = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_ACT_CLASS = "http://terminology.hl7.org/CodeSystem/v3-ActClass"


def ips_document(
    records: Sequence[Record],
    filled: Sequence[tuple[Section, Sequence[Record]]],
    custodian: Sequence[Record],
    tools: Tools,
    at: int,
) -> bytes:
    """The Bundle, as JSON.

    Args:
        records: All that is in it, the Patient first.
        filled: The sections, each with those of the records that stand in it.
        custodian: The organization that holds the records, or none.
        at: When it is made, milliseconds since 1970 UTC.
    """
    names = _names(records, tools.base)
    author, id_ = tools.new_id(), tools.new_id()
    composition: dict[str, object] = {
        "resourceType": "Composition",
        "id": id_,
        "meta": {"profile": [COMPOSITION]},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{id_}"},
        "status": "final",
        "type": _concept(_LOINC, "60591-5", "Patient summary Document"),
        "subject": {"reference": f"{tools.base}/{records[0].reference}"},
        "date": instant(at),
        "author": [{"reference": f"urn:uuid:{author}"}],
        "title": "International Patient Summary",
        "event": [{"code": [_concept(_ACT_CLASS, "PCPR")], "period": {"end": instant(at)}}],
        "section": [
            _section(section, found, names, tools.base)
            for section, found in filled
            if found or section.required
        ],
    }
    for organization in custodian:
        composition["custodian"] = {"reference": f"{tools.base}/{organization.reference}"}
    device = {
        "resourceType": "Device",
        "id": author,
        "status": "active",
        "deviceName": [{"name": "Consentry", "type": "user-friendly-name"}],
    }
    made = [Part(f"urn:uuid:{r['id']}", json.dumps(r).encode()) for r in (composition, device)]
    stored = [Part.of(record, tools.base) for record in records]
    parts = [made[0], stored[0], made[1], *stored[1:]]
    return document_bundle(tools.new_id(), at, parts, BUNDLE)


def _names(records: Sequence[Record], base: str) -> dict[str, str]:
    """The names of Medications and Devices, by what refers to them."""
    found: dict[str, str] = {}
    for record in records:
        name = name_of(record.value) if record.version.type_ in ("Medication", "Device") else ""
        if name:
            found[record.reference] = found[f"{base}/{record.reference}"] = name
    return found


def _section(section: Section, records: Sequence[Record], names: dict[str, str], base: str) -> Json:
    made: dict[str, object] = {
        "title": section.title,
        "code": _concept(_LOINC, section.code, section.display),
    }
    if not records:
        told = f"No information is available: {section.title.lower()}."
        empty = {
            **_concept(_EMPTY, "unavailable", "Unavailable"),
            "text": "No information available",
        }
        return {**made, "text": _narrative(sentence(told)), "emptyReason": empty}
    rows = [row_of(_exact(record), names) for record in records]
    entries = [{"reference": f"{base}/{record.reference}"} for record in records]
    return {**made, "text": _narrative(table(rows)), "entry": entries}


def _exact(record: Record) -> Json:
    """A record with its decimals as they are stored."""
    value = read_json(record.text.decode())
    assert isinstance(value, dict), "a stored resource is an object"
    return value


def _narrative(div: str) -> Json:
    return {"status": "generated", "div": div}


def _concept(system: str, code: str, display: str = "") -> dict[str, object]:
    coding = {"system": system, "code": code, **({"display": display} if display else {})}
    return {"coding": [coding]}
