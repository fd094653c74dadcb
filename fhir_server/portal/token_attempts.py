"""The AuditEvents of requests to the token endpoint: DICOM 110114 "User Authentication", 110122 "Login".

They are in the shape of the others (``pipeline/audit_event.py``; BALP 1.1 has no pattern for a login) and concern no
patient: sealed for nobody, they stand in nobody's access log.  They name the app, never the person who uses it, and of the
request nothing else.  No answer without one.
"""

import secrets
from collections.abc import Callable
from datetime import datetime

from fhir_server.ids import timed_id
from fhir_server.interactions.leaf import event_draft, leaf_of
from fhir_server.resource_text import instant
from fhir_server.search.tokens import Tokenizer
from fhir_server.search.values import Searchable
from fhir_server.settings import Settings
from fhir_server.vault.vault import Vault
from profiles.definitions import r4
from smart_auth.tokens.attempts import TokenAttempt

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_CODES = "http://terminology.hl7.org/CodeSystem"
_NOBODY = "not authenticated"


class AuditedAttempts:
    """A ``smart_auth.tokens.attempts.AttemptLog`` over the audit log of this server."""

    def __init__(self, vault: Vault, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._vault = vault
        self._settings = settings
        self._clock = clock
        self._tokenizer = Tokenizer(
            Searchable(r4()), vault.blind
        )  # R4's own: AuditEvent has no other parameters
        vault.on_forget(self._tokenizer.forget)

    async def note(self, attempt: TokenAttempt) -> None:
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


def attempt_event(attempt: TokenAttempt, at: int, settings: Settings) -> dict[str, object]:
    """The AuditEvent of a request ``at`` (ms since 1970 UTC), version 1."""
    event: dict[str, object] = {
        "resourceType": "AuditEvent",
        "id": timed_id(at),
        "meta": {"versionId": "1", "lastUpdated": instant(at)},
        "type": {"system": _DCM, "code": "110114", "display": "User Authentication"},
        "subtype": [{"system": _DCM, "code": "110122", "display": "Login"}],
        "action": "E",
        "recorded": instant(at),
        "outcome": "0" if attempt.status < 400 else "4" if attempt.status < 500 else "8",
    }
    if attempt.why:
        event["outcomeDesc"] = attempt.why
    event["agent"] = [_client(attempt), _server(settings)]
    event["source"] = {
        "site": settings.fhir_base,
        "observer": {"reference": settings.custodian, "display": "Consentry"},
        "type": [{"system": f"{_CODES}/security-source-type", "code": "6"}],  # Security Server
    }
    if attempt.grant_type:
        event["entity"] = [_grant(attempt)]
    return event


def _client(attempt: TokenAttempt) -> dict[str, object]:
    who: dict[str, object] = {}
    if attempt.client_id:
        who["identifier"] = {"value": attempt.client_id}
    if not attempt.proved:
        who["display"] = _NOBODY
    network = {"network": {"address": attempt.address, "type": "2"}} if attempt.address else {}
    return {"type": _dcm("110153"), "who": who, "requestor": True, **network}


def _server(settings: Settings) -> dict[str, object]:
    return {
        "type": _dcm("110152"),
        "who": {"display": "Consentry"},
        "requestor": False,
        "network": {"address": f"{settings.public_url}/auth/token", "type": "5"},
    }


def _grant(attempt: TokenAttempt) -> dict[str, object]:
    """What was asked for: an access token by a grant of this type (RFC 6749, 4)."""
    return {
        "type": {"system": f"{_CODES}/audit-entity-type", "code": "2"},
        "role": {"system": f"{_CODES}/object-role", "code": "13"},  # Security Resource
        "name": "access token",
        "detail": [{"type": "grant-type", "valueString": attempt.grant_type}],
    }


def _dcm(code: str) -> dict[str, object]:
    return {"coding": [{"system": _DCM, "code": code}]}
