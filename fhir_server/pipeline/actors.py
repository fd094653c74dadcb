"""Everything a requester is, for consent: the user, the organizations with their parents, roles and teams.

Who a client or user is bound to is registered with the authorization server; the parents come from
``Organization.partOf``.  For an app used by a person, the person counts, not the app's maker: a patient who uses the
hospital's app does not become the hospital.
"""

import orjson

from consent_engine import AccessRequest, Coding
from fhir_server.forms import Asked, Json
from fhir_server.vault.vault import Reader

_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_MOST_PARENTS = 8


async def access_request(
    asked: Asked, action: str, custodian: str, reader: Reader
) -> AccessRequest:
    """The question that is put to the consent engine for this request."""
    caller = asked.requester.caller
    purpose = asked.requester.purpose
    actors: set[str] = set()
    if caller is not None:
        actors.update(caller.organizations)
        if caller.user:
            actors.add(caller.user)
        for organization in caller.organizations:
            actors.update(await _parents(organization, reader))
    return AccessRequest(
        actors=frozenset(actors),
        identifiers=frozenset(),
        purpose=Coding(_ACT_REASON, purpose) if purpose else None,
        action=action,
        time=asked.received.now,
        custodian=custodian,
    )


async def _parents(organization: str, reader: Reader) -> set[str]:
    found: set[str] = set()
    current = organization
    while len(found) < _MOST_PARENTS:
        type_, _, id_ = current.partition("/")
        version = await reader.find(type_, id_) if id_ else None
        if version is None or version.deleted or version.patients:
            break
        parent = _part_of(orjson.loads(await reader.open(version)))
        if not parent or parent in found:
            break
        found.add(parent)
        current = parent
    return found


def _part_of(organization: Json) -> str:
    part_of = organization.get("partOf")
    reference = part_of.get("reference") if isinstance(part_of, dict) else None
    return reference.partition("/_history/")[0] if isinstance(reference, str) else ""
