"""The AuditEvents of what was tried at the authorization server: DICOM 110114 "User Authentication".

Where somebody signs in or an app gets a token they are a 110122 "Login", too.  They are in the shape of the others
(``pipeline/audit_event.py``; BALP 1.1 has no pattern for a login) and concern no patient: sealed for nobody, they stand in
nobody's access log.  They name the app, and the person by the ``sub`` of her tokens; of the request nothing else.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime

from fhir_server.ids import timed_id
from fhir_server.interactions.leaf import event_draft, leaf_of
from fhir_server.pipeline.audit_event import trace_entity
from fhir_server.resource_text import instant
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from fhir_server.settings import Settings
from fhir_server.vault.vault import Vault
from profiles.definitions import r4
from smart_auth.attempts import Attempt, Party

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_CODES = "http://terminology.hl7.org/CodeSystem"
_NOBODY = "not authenticated"
_LOGINS = ("token", "sign-in", "outside")


class AuditedAttempts:
    """A ``smart_auth.attempts.AttemptLog`` over the audit log of this server."""

    def __init__(self, vault: Vault, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._vault = vault
        self._settings = settings
        self._clock = clock
        self._tokenizer = Tokenizer(
            Searchable(r4()), vault.blind
        )  # R4's own: AuditEvent has no other parameters
        vault.on_forget(self._tokenizer.forget)

    async def note(self, attempt: Attempt) -> None:
        """See ``AttemptLog.note``.

        Raises:
            StoreFullError: The disk is full: it is not on record.
            StoreLostError: The database does not answer: the same.
        """
        at = int(self._clock().timestamp() * 1000)
        event = attempt_event(attempt, at, self._settings)
        draft = event_draft(event, at, (), self._tokenizer)
        leaf = leaf_of(draft, secrets.token_bytes)
        async with self._vault.writing() as writer:
            await writer.record([(draft, leaf)])


def attempt_event(attempt: Attempt, at: int, settings: Settings) -> dict[str, object]:
    """The AuditEvent of a request ``at`` (ms since 1970 UTC), version 1."""
    event: dict[str, object] = {
        "resourceType": "AuditEvent",
        "id": timed_id(at),
        "meta": {"versionId": "1", "lastUpdated": instant(at)},
        "type": {"system": _DCM, "code": "110114", "display": "User Authentication"},
        "action": "E",
        "recorded": instant(at),
        "outcome": "0" if not attempt.why else "4" if attempt.status < 500 else "8",
    }
    if attempt.endpoint in _LOGINS:
        event["subtype"] = [{"system": _DCM, "code": "110122", "display": "Login"}]
    if attempt.why:
        event["outcomeDesc"] = attempt.why
    event["agent"] = [*_asking(attempt, settings), _server(attempt, settings)]
    event["source"] = {
        "site": settings.fhir_base,
        "observer": {"reference": settings.custodian, "display": "Consentry"},
        "type": [{"system": f"{_CODES}/security-source-type", "code": "6"}],  # Security Server
    }
    event["entity"] = [*([_what(attempt)] if attempt.step else ()), trace_entity(attempt.trace)]
    return event


def _asking(attempt: Attempt, settings: Settings) -> list[dict[str, object]]:
    """The app, and the person before the browser: she asks, where there is one."""
    agents: list[dict[str, object]] = []
    if attempt.client is not None or attempt.person is None:
        agents.append(_agent(attempt, _dcm("110153"), attempt.client))  # Source Role ID
    if attempt.person is not None:
        informant = {"coding": [{"system": f"{_CODES}/v3-ParticipationType", "code": "IRCP"}]}
        issuer = f"{settings.public_url}/auth"
        agents.append(_agent(attempt, informant, attempt.person, issuer))
    return [{**each, "requestor": each is agents[-1]} for each in agents]


def _agent(
    attempt: Attempt, type_: Mapping[str, object], party: Party | None, system: str = ""
) -> dict[str, object]:
    who: dict[str, object] = {}
    if party is not None:
        who["identifier"] = {**({"system": system} if system else {}), "value": party.id}
    if party is None or not party.proved:
        who["display"] = _NOBODY
    network = {"network": {"address": attempt.address, "type": "2"}} if attempt.address else {}
    return {"type": type_, "who": who, **network}


def _server(attempt: Attempt, settings: Settings) -> dict[str, object]:
    return {
        "type": _dcm("110152"),  # Destination Role ID
        "who": {"display": "Consentry"},
        "requestor": False,
        "network": {"address": f"{settings.public_url}/auth/{attempt.endpoint}", "type": "5"},
    }


def _what(attempt: Attempt) -> dict[str, object]:
    """What was asked for: an access token by a grant of this type (RFC 6749, 4), or a step of a page."""
    token = attempt.endpoint == "token"
    return {
        "type": {"system": f"{_CODES}/audit-entity-type", "code": "2"},
        "role": {"system": f"{_CODES}/object-role", "code": "13"},  # Security Resource
        "name": "access token" if token else attempt.endpoint,
        "detail": [{"type": "grant-type" if token else "step", "valueString": attempt.step}],
    }


def _dcm(code: str) -> dict[str, object]:
    return {"coding": [{"system": _DCM, "code": code}]}
