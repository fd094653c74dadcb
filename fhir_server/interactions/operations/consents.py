"""``$file-consent`` and ``$revoke-consent`` (HL7 Scalable Consent Management): a Consent comes and ends on record.

Beside the version of the Consent a Provenance says who signed it, and a document may be filed in the same commit.  A revoked
Consent is inactive, never deleted; from the next request on it permits nothing.
"""

import re
from dataclasses import replace

from fhir_server.errors import InvalidParameterError, InvalidResourceError
from fhir_server.forms import InScope, Opened
from fhir_server.interactions.desk import Desk
from fhir_server.interactions.lifecycle.signing import sign
from fhir_server.interactions.lifecycle.writers import subject_of
from fhir_server.interactions.lifecycle.writing import write_beside
from fhir_server.interactions.operations.asked import Parameters
from fhir_server.interactions.patch import to_be_changed
from fhir_server.interactions.registries.mirroring import bring
from fhir_server.interactions.stages import one
from fhir_server.interactions.versions import write_version
from fhir_server.ownership import local
from fhir_server.resource_text import (
    ResourceText,
    read_resource,
    resource_of_parameter,
    with_member,
)
from profiles.patch.merge_patch import merge_patch

_DOCUMENTS = {"document": "DocumentReference", "questionnaire": "QuestionnaireResponse"}
_SOURCES = ("sourceReference", "sourceAttachment")
_ENDED = '{"status":"inactive"}'
_LONGEST_REASON = 500


async def file_consent(in_scope: InScope, desk: Desk) -> Opened:
    """Write a new Consent, its document and its signature; the answer is the Consent.

    Raises:
        InvalidParameterError: There is no Consent, or ``holder`` is no address.
        InvalidResourceError: Something sent is not valid R4, or not of the patient of the Consent alone.
        NotFoundError: Consent does not permit it.
        ScopeError: The token does not cover it, or the requester does not speak for the patient.
    """
    interaction = in_scope.asked.interaction
    holder = _holder(Parameters(interaction.query, ("holder",)).text("holder"))
    consent = _sent(interaction.content, "consent", "Consent")
    if consent is None:
        raise InvalidParameterError("this operation needs the parameter 'consent', a Consent")
    patient = subject_of(consent.value, desk.tools.base)
    documents = [_sent(interaction.content, name, type_) for name, type_ in _DOCUMENTS.items()]
    beside = [await write_beside(in_scope, desk, each, patient) for each in documents if each]
    if beside and not any(name in consent.value for name in _SOURCES):
        consent = with_member(consent, "sourceReference", {"reference": beside[0].reference})
    advice = desk.tools.require_valid(consent)
    record = await write_version(in_scope, desk, desk.tools.new_id(), consent, None)
    signature = _sent(interaction.content, "provenance", "Provenance")
    await sign(in_scope, desk, record, patient, sent=signature)
    if holder:
        await bring(desk, record, patient, holder, in_scope.asked.received.at)
    made = one(in_scope, record, status=201, issues=advice)
    return replace(made, records=(record, *beside))


async def revoke_consent(in_scope: InScope, desk: Desk) -> Opened:
    """Make a Consent inactive, as a version with a signature; one that is inactive stays as it is.

    Raises:
        InvalidParameterError: ``consent`` or ``patient`` is missing where the url names none, or is another one.
        NotFoundError: Missing, or not permitted.
        GoneError: It was deleted (by an older release).
        PreconditionFailedError: ``If-Match`` does not hold.
        ScopeError: The token covers not both to read and to update it, or the requester does not speak for the patient.
    """
    interaction = in_scope.asked.interaction
    asked = Parameters(interaction.query, ("consent", "patient", "reason"))
    id_ = interaction.id_ or _named(asked.required("consent"), desk)
    writing = replace(in_scope.asked, interaction=replace(interaction, id_=id_))
    current, previous = await to_be_changed(in_scope, desk, id_)
    patient = subject_of(previous.value, desk.tools.base)
    named = asked.text("patient")
    if named and subject_of({"patient": {"reference": named}}, desk.tools.base) != patient:
        raise InvalidParameterError("the Consent is not one of this patient")
    ended = read_resource(merge_patch(previous.text.decode(), _ENDED).encode())
    record = await write_version(
        replace(in_scope, asked=writing), desk, id_, ended, current, previous
    )
    if record is not previous:
        reason = asked.text("reason").strip()[:_LONGEST_REASON]
        await sign(in_scope, desk, record, patient, reason=reason)
    return one(in_scope, record)


def _holder(text: str) -> bytes:
    """The address of a key of the patient's own for the chain, 20 bytes; empty for none."""
    if text and not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise InvalidParameterError("'holder' is an address: 0x and 40 hexadecimal digits")
    return bytes.fromhex(text[2:])


def _sent(parameters: ResourceText | None, name: str, type_: str) -> ResourceText | None:
    """The resource of a parameter; of the Consent itself also where it is sent alone."""
    if parameters is None:
        return None
    found = resource_of_parameter(parameters, name)
    if found is None and name == "consent":
        found = resource_of_parameter(parameters)
    if found is not None and found.type_ != type_:
        raise InvalidResourceError(f"'{name}' must be a {type_}", "Parameters.parameter.resource")
    return found


def _named(reference: str, desk: Desk) -> str:
    type_, id_ = local(reference, desk.tools.base)
    if type_ != "Consent":
        raise InvalidParameterError("'consent' must refer to a Consent of this server")
    return id_
