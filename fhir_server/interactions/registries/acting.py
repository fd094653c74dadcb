"""What the server writes because a registry on a chain says so: versions, Provenance and AuditEvent, in one unit."""

from datetime import UTC, datetime

import orjson

from fhir_server.interactions.desk import Tools
from fhir_server.interactions.leaf import event_draft, put_with_leaf
from fhir_server.interactions.lifecycle.kept import SIGNATURE, SYSTEM
from fhir_server.interactions.lifecycle.writing import put_own, seconds
from fhir_server.resource_text import ResourceText, instant, read_resource, stamp
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Draft, Writer
from profiles.patch.merge_patch import merge_patch

_CODES = "http://terminology.hl7.org/CodeSystem"
_TRANSACTION = "https://consentry.example/NamingSystem/chain-transaction"
_OPERATION = f"{_CODES}/v3-DataOperation"


async def rewrite(
    writer: Writer,
    tools: Tools,
    current: SealedVersion,
    before: ResourceText,
    changes: dict[str, object],
    at: int,
) -> str:
    """Write the next version, with members changed; its reference, with the version.

    Args:
        at: Milliseconds since 1970 UTC.
    """
    at, number = max(at, current.at + 1), current.version + 1
    after = read_resource(merge_patch(before.text, orjson.dumps(changes).decode()).encode())
    made = stamp(after, before.id_, number, at)
    patients = tuple(p for p in await writer.patients(current) if p)
    dropped = tools.tokenizer.tokens(made.type_, before.value, patients)
    tokens = tools.tokenizer.tokens(made.type_, made.value, patients)
    place = (made.type_, before.id_, number, at, made.text)
    await writer.put(Draft(*place, patients, tokens, current, dropped))
    return f"{made.type_}/{before.id_}/_history/{number}"


async def sign_for(
    writer: Writer,
    tools: Tools,
    consent: str,
    patient: str,
    statement: str,
    transaction: str,
    at: int,
) -> None:
    """Write the Provenance of a version of a Consent that the patient's key made or ended."""
    code = "CREATE" if consent.endswith("/_history/1") else "UPDATE"
    provenance: dict[str, object] = {
        "resourceType": "Provenance",
        "target": [{"reference": consent}],
        "recorded": seconds(datetime.fromtimestamp(at / 1000, UTC)),
        "reason": [{"text": statement}],
        "activity": {
            "coding": [
                {"system": SYSTEM, "code": SIGNATURE},
                {"system": _OPERATION, "code": code},
            ]
        },
        "agent": [{"who": {"reference": patient}}],
        "entity": [{"role": "source", "what": _named(transaction)}],
    }
    await put_own(writer, tools, provenance, patient, at)


async def tell(
    writer: Writer,
    tools: Tools,
    written: list[str],
    patient: str,
    statement: str,
    transaction: str,
    at: int,
    who: object = None,
) -> None:
    """Write the AuditEvent of what was written.

    Args:
        who: Reference to whoever has said so on the chain; None for the patient.
    """
    event: dict[str, object] = {
        "resourceType": "AuditEvent",
        "id": tools.new_id(),
        "meta": {"versionId": "1", "lastUpdated": instant(at)},
        "type": {"system": f"{_CODES}/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "update"}],
        "action": "U",
        "recorded": instant(at),
        "outcome": "0",
        "outcomeDesc": statement,
        "agent": [
            {"who": who or {"reference": patient}, "requestor": True},
            {"who": {"display": "Consentry"}, "requestor": False},
        ],
        "source": {
            "site": tools.base,
            "observer": {"reference": tools.custodian, "display": "Consentry"},
        },
        "entity": [
            {"what": {"reference": patient}, **_kind("1", "1")},
            *({"what": {"reference": each}, **_kind("2", "4")} for each in written),
            {"what": _named(transaction), **_kind("2", "4")},
        ],
    }
    draft = event_draft(event, at, (patient,), tools.tokenizer)
    await put_with_leaf(writer, draft, tools.new_secret)


def _named(transaction: str) -> dict[str, object]:
    return {"identifier": {"system": _TRANSACTION, "value": transaction}}


def _kind(type_: str, role: str) -> dict[str, object]:
    return {
        "type": {"system": f"{_CODES}/audit-entity-type", "code": type_},
        "role": {"system": f"{_CODES}/object-role", "code": role},
    }
