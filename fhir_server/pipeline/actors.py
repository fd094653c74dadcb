"""Everything a requester is, for consent: the user, the organizations with their parents, roles and teams.

Who a client or user is bound to is registered with the authorization server; the parents come from
``Organization.partOf``.  For an app used by a person, the person counts, not the app's maker: a patient who uses the
hospital's app does not become the hospital.
"""

from collections import OrderedDict
from dataclasses import replace

import orjson

from consent_engine import AccessRequest, Coding
from fhir_server.crypto.seal import SEAL_HEAD
from fhir_server.forms import Asked, Json
from fhir_server.store.protocol import SealedVersion
from fhir_server.vault.vault import Reader

_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_MOST_PARENTS = 8
_KEPT = 10_000


class Organizations:
    """Which organization is part of which.

    A parent is read in the snapshot of the request and remembered by the nonce of the record's seal, so that a change holds
    for the very next request; only the opening is saved.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, str] = OrderedDict()

    async def parents(self, organization: str, reader: Reader) -> set[str]:
        """The organizations above one (``Organization/1``), at most 8."""
        found: set[str] = set()
        current = organization
        while len(found) < _MOST_PARENTS:
            type_, _, id_ = current.partition("/")
            version = await reader.find(type_, id_) if id_ else None
            if version is None or version.deleted or version.patients:
                break
            parent = await self._parent(version, reader)
            if not parent or parent in found:
                break
            found.add(parent)
            current = parent
        return found

    async def _parent(self, version: SealedVersion, reader: Reader) -> str:
        seal = version.sealed[:SEAL_HEAD]
        known = self._kept.get(seal)
        if known is None:
            known = self._kept[seal] = _part_of(orjson.loads(await reader.open(version)))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return known


async def access_request(
    asked: Asked, action: str, custodian: str, reader: Reader, organizations: Organizations
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
            actors.update(await organizations.parents(organization, reader))
    return AccessRequest(
        actors=frozenset(actors),
        identifiers=frozenset(),
        purpose=Coding(_ACT_REASON, purpose) if purpose else None,
        action=action,
        time=asked.received.now,
        custodian=custodian,
    )


def question(
    own: AccessRequest, actors: frozenset[str] | None, purpose: str | None
) -> AccessRequest:
    """A request's own question, of other actors or for another purpose; None: its own, and "" is no purpose."""
    asked = own.purpose
    if purpose is not None:
        asked = Coding(_ACT_REASON, purpose) if purpose else None
    return replace(own, actors=own.actors if actors is None else actors, purpose=asked)


def _part_of(organization: Json) -> str:
    part_of = organization.get("partOf")
    reference = part_of.get("reference") if isinstance(part_of, dict) else None
    return reference.partition("/_history/")[0] if isinstance(reference, str) else ""
