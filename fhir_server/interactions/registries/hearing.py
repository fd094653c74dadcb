"""Hearing: a patient's revocation on the chain ends her Consent here, from the next request on.

It is written as the server's own act in one unit of work: the version that is inactive, the Provenance that names the
transaction, and the AuditEvent.  Being told twice, or of a Consent that has ended, changes nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from anchoring.registry.consents import read_revoked
from anchoring.registry.node import Log
from fhir_server.errors import KeyDestroyedError
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.leaf import event_draft, put_with_leaf
from fhir_server.interactions.lifecycle.kept import SIGNATURE, SYSTEM
from fhir_server.interactions.lifecycle.writing import put_own, seconds
from fhir_server.interactions.registries.filing import FILINGS
from fhir_server.resource_text import ResourceText, instant, read_resource, stamp
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Draft, Writer
from profiles.patch.merge_patch import merge_patch

_CODES = "http://terminology.hl7.org/CodeSystem"
_TRANSACTION = "https://consentry.example/NamingSystem/chain-transaction"
_OPERATION = f"{_CODES}/v3-DataOperation"
_ENDED = '{"status":"inactive"}'
_STATEMENT = "the patient's key has revoked this Consent on the chain"


@dataclass(frozen=True, slots=True)
class Told:
    """A revocation on the chain.

    Attributes:
        id: Of the version, 32 bytes.
        holder: Address whose key has signed it.
        transaction: ``eip155:CHAIN:HASH``, by which others find it.
    """

    id: bytes
    holder: bytes
    transaction: str


def told_by(log: Log, chain_id: int) -> Told | None:
    """The revocation that an event of the registry tells of; None for another event."""
    read = read_revoked(log.topics, log.words)
    if read is None:
        return None
    return Told(*read, f"eip155:{chain_id}:0x{log.transaction.hex()}")


async def end_consent(writer: Writer, tools: Tools, told: Told, at: int) -> bool:
    """End the Consent that a revocation is about; whether there was one to end.

    Args:
        at: Now, milliseconds since 1970 UTC.
    """
    kept = await FILINGS.find(writer, told.id)
    if kept is None or kept.link.holder.address != told.holder:
        return False  # somebody else's, or under the id of ours with a key that is not hers
    current = await writer.find("Consent", kept.link.consent)
    if current is None or current.deleted:
        return False
    try:
        before = read_resource(await writer.open(current))
    except KeyDestroyedError:
        return False
    if before.value.get("status") != "active":
        return False
    made = await _ended(writer, tools, before, current, at)
    patient, number = kept.link.patient, current.version + 1
    provenance = _provenance(made, number, patient, told, at)
    await put_own(writer, tools, provenance, patient, at)
    event = _event(f"Consent/{made.id_}/_history/{number}", patient, told, tools, at)
    draft = event_draft(event, at, (patient,), tools.tokenizer)
    await put_with_leaf(writer, draft, tools.new_secret)
    return True


async def _ended(
    writer: Writer, tools: Tools, before: ResourceText, current: SealedVersion, at: int
) -> ResourceText:
    """Write the version that is inactive; give it."""
    at = max(at, current.at + 1)
    number = current.version + 1
    after = read_resource(merge_patch(before.text, _ENDED).encode())
    made = stamp(after, before.id_, number, at)
    patients = tuple(p for p in await writer.patients(current) if p)
    dropped = tools.tokenizer.tokens("Consent", before.value, patients)
    tokens = tools.tokenizer.tokens("Consent", made.value, patients)
    draft = Draft("Consent", before.id_, number, at, made.text, patients, tokens, current, dropped)
    await writer.put(draft)
    return made


def _provenance(
    made: ResourceText, number: int, patient: str, told: Told, at: int
) -> dict[str, object]:
    return {
        "resourceType": "Provenance",
        "target": [{"reference": f"Consent/{made.id_}/_history/{number}"}],
        "recorded": seconds(datetime.fromtimestamp(at / 1000, UTC)),
        "reason": [{"text": _STATEMENT}],
        "activity": {
            "coding": [
                {"system": SYSTEM, "code": SIGNATURE},
                {"system": _OPERATION, "code": "UPDATE"},
            ]
        },
        "agent": [{"who": {"reference": patient}}],
        "entity": [{"role": "source", "what": _named(told)}],
    }


def _event(written: str, patient: str, told: Told, tools: Tools, at: int) -> dict[str, object]:
    return {
        "resourceType": "AuditEvent",
        "id": tools.new_id(),
        "meta": {"versionId": "1", "lastUpdated": instant(at)},
        "type": {"system": f"{_CODES}/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "update"}],
        "action": "U",
        "recorded": instant(at),
        "outcome": "0",
        "outcomeDesc": _STATEMENT,
        "agent": [
            {"who": {"reference": patient}, "requestor": True},
            {"who": {"display": "Consentry"}, "requestor": False},
        ],
        "source": {
            "site": tools.base,
            "observer": {"reference": tools.custodian, "display": "Consentry"},
        },
        "entity": [
            {"what": {"reference": patient}, **_kind("1", "1")},
            {"what": {"reference": written}, **_kind("2", "4")},
            {"what": _named(told), **_kind("2", "4")},
        ],
    }


def _named(told: Told) -> dict[str, object]:
    return {"identifier": {"system": _TRANSACTION, "value": told.transaction}}


def _kind(type_: str, role: str) -> dict[str, object]:
    return {
        "type": {"system": f"{_CODES}/audit-entity-type", "code": type_},
        "role": {"system": f"{_CODES}/object-role", "code": role},
    }
