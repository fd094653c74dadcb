"""Who signed a version of a Consent: a Provenance, written in the same commit (R4 provenance.html).

It names the version, who filed or ended it, for whom, and holds the signature if one was sent.  Signatures are kept as they
were sent; whether they hold is not judged.
"""

from fhir_server.errors import InvalidResourceError
from fhir_server.forms import InScope, Record
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.lifecycle.kept import SIGNATURE, SYSTEM
from fhir_server.interactions.lifecycle.writing import put_own, seconds
from fhir_server.resource_text import ResourceText
from smart_auth.tokens.bearer import Caller

_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"


async def sign(
    in_scope: InScope,
    desk: Desk,
    consent: Record,
    patient: str,
    *,
    sent: ResourceText | None = None,
    reason: str = "",
) -> None:
    """Write the Provenance of a version.

    Args:
        sent: A Provenance of the signatory, whose ``signature`` is kept.
        reason: Why, in the requester's words.

    Raises:
        InvalidResourceError: The signature is not R4, or is somebody else's.
    """
    asked = in_scope.asked
    caller = asked.requester.caller
    assert caller is not None, "nobody without a token comes here"
    version = consent.version.version
    provenance: dict[str, object] = {
        "resourceType": "Provenance",
        "target": [{"reference": f"{consent.reference}/_history/{version}"}],
        "recorded": seconds(asked.received.now),
        "activity": {
            "coding": [
                {"system": SYSTEM, "code": SIGNATURE},
                {"system": _OPERATION, "code": "CREATE" if version == 1 else "UPDATE"},
            ]
        },
        "agent": [_agent(caller, patient)],
    }
    if reason:
        provenance["reason"] = [{"text": reason}]
    if sent is not None:
        provenance["signature"] = _signature(sent)
    _require_of(provenance, patient, desk)
    await put_own(desk.unit(), desk.tools, provenance, patient, asked.received.at)


def who(caller: Caller) -> dict[str, object]:
    """Reference to the person, or to the system by its client_id."""
    if caller.user:
        return {"reference": caller.user}
    return {"identifier": {"value": caller.client_id}, "display": caller.client_name}


def _agent(caller: Caller, patient: str) -> dict[str, object]:
    agent: dict[str, object] = {"who": who(caller)}
    if caller.user != patient:
        agent["onBehalfOf"] = {"reference": patient}
    return agent


def _signature(sent: ResourceText) -> object:
    signature = sent.value.get("signature")
    if sent.type_ != "Provenance" or not isinstance(signature, list):
        raise InvalidResourceError("'provenance' is a Provenance with a signature", "Parameters")
    return signature


def _require_of(provenance: dict[str, object], patient: str, desk: Desk) -> None:
    """Refuse what is no Provenance, and one that would be another patient's as well."""
    tools = desk.tools
    if "signature" in provenance:
        tools.require_valid(ResourceText("", provenance))
    if tools.patients(provenance, "Provenance", "") != (patient,):
        raise InvalidResourceError("a signature names nobody but its patient", "Provenance")
