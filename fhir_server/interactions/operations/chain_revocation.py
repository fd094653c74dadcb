"""``Consent/[id]/$chain-revocation``: the patient's word by which she can end a Consent without this server.

It is the call of the registry, signed by the key of the version that is in force: whoever sends it to the chain, with any
account, revokes that version there, and so ends the Consent here.  She keeps it where she likes, as one keeps a cheque.
"""

import orjson

from anchoring.registry.consents import NAME, Status, change_call
from anchoring.registry.typed_data import Domain
from fhir_server.errors import NotFoundError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.lifecycle.writers import require_spoken_for, subject_of
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.patch import to_be_changed
from fhir_server.interactions.registries.filing import FILINGS, Filing
from fhir_server.interactions.stages import document

_NOT_FILED = "this version is not on a chain, or not yet"


async def chain_revocation(in_scope: InScope, desk: Desk) -> Opened:
    """Give the patient, or who acts for her, the signed revocation of the current version.

    Raises:
        NotFoundError: Missing, not permitted, or not on a chain.
        GoneError: It was deleted (by an older release).
        ScopeError: The token covers not both to read and to update it, or the requester does not speak for the patient.
    """
    interaction = in_scope.asked.interaction
    Parameters(interaction.query, ())
    current, record = await to_be_changed(in_scope, desk, interaction.id_)
    patient = subject_of(record.value, desk.tools.base)
    require_spoken_for(in_scope.asked.requester, patient, record.patients, record.decisions)
    found = [kept.link for kept in await FILINGS.of(desk.reader, patient)]
    of_now = [
        filing
        for filing in found
        if (filing.consent, filing.version) == (record.id_, current.version)
        and filing.wanted is Status.ACTIVE
        and not filing.brought
    ]
    if not of_now:
        raise NotFoundError(_NOT_FILED)
    return document(in_scope, orjson.dumps(_told(of_now[-1])), (record,))


def _told(filing: Filing) -> dict[str, object]:
    chain_id, _, contract = filing.registry.partition(":0x")
    domain = Domain(NAME, int(chain_id), bytes.fromhex(contract))
    call = change_call(domain, filing.holder, Status.REVOKED, filing.expiry)
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "chain", "valueString": f"eip155:{chain_id}"},
            {"name": "to", "valueString": f"0x{contract}"},
            {"name": "data", "valueString": f"0x{call.hex()}"},
            {"name": "id", "valueString": f"0x{filing.id.hex()}"},
            {"name": "holder", "valueString": f"0x{filing.holder.address.hex()}"},
            {"name": "good-until", "valueString": str(filing.expiry)},
        ],
    }
