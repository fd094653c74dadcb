"""``POST Patient/[id]/$erase``: everything of one patient is erased (GDPR, article 17); the answer proves it.

For the custodian's own systems with a scope to delete Patients (``pipeline/administration.py``): erasure is demanded of the
custodian and answered for by it, so no Consent stands in its way.  Nothing is opened for the caller.  Asked again it
answers the same, with the receipt once the log is anchored.
"""

import asyncio
import base64

import orjson

from anchoring.errors import NotYetAnchoredError
from fhir_server.errors import NotFoundError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Tools
from fhir_server.interactions.erasing.erasures import UnknownPatientError
from fhir_server.interactions.erasing.statement import Erased
from fhir_server.interactions.read import MISSING
from fhir_server.interactions.stages import document
from fhir_server.resource_text import instant

_BETWEEN = 0.1  # seconds


async def erase(in_scope: InScope, tools: Tools) -> Opened:
    """Erase, and wait a little for the anchor (``Tools.anchor_wait``).

    Raises:
        NotFoundError: Nothing was ever kept of this patient.
    """
    asked = in_scope.asked
    caller = asked.requester.caller
    assert caller is not None, "only systems of the custodian come here"
    reference = f"Patient/{asked.interaction.id_}"
    try:
        erased = await tools.erasures.erase(reference, caller.client_id, asked.received.at)
    except UnknownPatientError as error:
        raise NotFoundError(MISSING) from error
    return document(in_scope, _told(erased, await _receipt(erased, tools)))


async def _receipt(erased: Erased, tools: Tools) -> bytes:
    """The receipt of the AuditEvent, or empty if the log is not anchored soon."""
    proved = await tools.erasures.evidence(erased)
    clock = asyncio.get_running_loop().time
    until = clock() + tools.anchor_wait
    while True:
        try:
            return await tools.prove(*proved)
        except NotYetAnchoredError:
            if clock() >= until:
                return b""
            await asyncio.sleep(_BETWEEN)


def _told(erased: Erased, receipt: bytes) -> bytes:
    """R4 Parameters."""
    found: list[dict[str, object]] = [
        {"name": "erased", "valueInstant": instant(erased.at)},
        {"name": "records", "valueUnsignedInt": erased.buried},
        {"name": "sharedVersions", "valueUnsignedInt": erased.shared},
        {"name": "auditEvent", "valueReference": {"reference": f"AuditEvent/{erased.event}"}},
    ]
    if receipt:
        encoded = base64.b64encode(receipt).decode()
        found.append({"name": "receipt", "valueBase64Binary": encoded})
    return orjson.dumps({"resourceType": "Parameters", "parameter": found})
