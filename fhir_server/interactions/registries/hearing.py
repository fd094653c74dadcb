"""Hearing: a patient's revocation on the chain ends her Consent here, from the next request on.

It is written as the server's own act in one unit of work: the version that is inactive, the Provenance that names the
transaction, and the AuditEvent.  Being told twice, or of a Consent that has ended, changes nothing.
"""

import logging
from dataclasses import dataclass

from anchoring.registry.consents import read_revoked
from anchoring.registry.node import Log
from fhir_server.errors import KeyDestroyedError
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.registries.acting import rewrite, sign_for, tell
from fhir_server.interactions.registries.filing import FILINGS
from fhir_server.interactions.registries.links import BROKEN
from fhir_server.resource_text import ResourceText, read_resource
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Writer

_LOG = logging.getLogger("consentry")
_REVOKED = "the patient's key has revoked this Consent on the chain"


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
    return None if read is None else Told(*read, transaction_of(log, chain_id))


def transaction_of(log: Log, chain_id: int) -> str:
    """The name of the transaction of an event."""
    return f"eip155:{chain_id}:0x{log.transaction.hex()}"


async def end_filed(writer: Writer, tools: Tools, told: Told, at: int) -> bool:
    """End the Consent that a revocation is about; whether there was one to end.

    Args:
        at: Now, milliseconds since 1970 UTC.
    """
    kept = await FILINGS.find(writer, told.id)
    if kept is None or kept.link.address != told.holder:
        return False  # somebody else's, or under the id of ours with a key that is not hers
    return await end_consent(
        writer, tools, kept.link.consent, kept.link.patient, told.transaction, at
    )


async def end_consent(
    writer: Writer, tools: Tools, consent: str, patient: str, transaction: str, at: int
) -> bool:
    """End a Consent (by its logical id) of a patient, if it is active; whether it was."""
    found = await current(writer, "Consent", consent)
    if found is None or found[1].value.get("status") != "active":
        return False
    written = await rewrite(writer, tools, *found, {"status": "inactive"}, at)
    await sign_for(writer, tools, written, patient, _REVOKED, transaction, at)
    await tell(writer, tools, [written], patient, _REVOKED, transaction, at)
    return True


async def current(
    writer: Writer, type_: str, id_: str
) -> tuple[SealedVersion, ResourceText] | None:
    """The current version of a record, opened; None if it is not there, erased, or not what was sealed."""
    version = await writer.find(type_, id_)
    if version is None or version.deleted:
        return None
    try:
        return version, read_resource(await writer.open(version))
    except KeyDestroyedError:
        return None
    except BROKEN:
        _LOG.error("integrity", extra={"kind": type_})
        return None
