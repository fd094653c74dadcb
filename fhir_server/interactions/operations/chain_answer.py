"""``Task/[id]/$chain-answer``: the patient's words by which she can answer a request for access without this server."""

import orjson

from anchoring.registry.grants import NAME, Status, answer_call
from anchoring.registry.typed_data import Domain
from fhir_server.errors import NotFoundError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.operations.access import asked_for
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.registries.requesting import REQUESTS, Requesting
from fhir_server.interactions.stages import document

_ANSWERS = {"approve": Status.APPROVED, "deny": Status.DENIED}


async def chain_answer(in_scope: InScope, desk: Desk) -> Opened:
    """Give the patient, or who acts for her, the signed answers to a request that is made on a chain.

    Raises:
        NotFoundError: There is no such request for this caller, or it is not made on a chain.
        ConflictError: It was answered before.
        ScopeError: The token does not cover it, or the caller does not speak for the patient.
    """
    Parameters(in_scope.asked.interaction.query, ())
    record, patient = await asked_for(in_scope, desk)
    found = [kept.link for kept in await REQUESTS.of(desk.reader, patient)]
    of_it = [link for link in found if link.task == record.id_]
    if not of_it:
        raise NotFoundError("this request is not made on a chain")
    return document(in_scope, orjson.dumps(_told(of_it[0])), (record,))


def _told(link: Requesting) -> dict[str, object]:
    chain_id, _, contract = link.registry.partition(":0x")
    domain = Domain(NAME, int(chain_id), bytes.fromhex(contract))
    words = {
        name: answer_call(domain, link.request, status, link.expiry, link.expiry)
        for name, status in _ANSWERS.items()
    }
    told = {
        "chain": f"eip155:{chain_id}",
        "to": f"0x{contract}",
        **{name: f"0x{call.hex()}" for name, call in words.items()},
        "good-until": str(link.expiry),
    }
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, "valueString": value} for name, value in told.items()],
    }
