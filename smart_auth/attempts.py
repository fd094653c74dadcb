"""What was tried at the endpoints of this room, told to whoever keeps the audit log: who asked, and how it ended.

What is told holds nothing that the request held but the client's id: no code, token, assertion, secret, scope,
user name or password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from smart_auth.clients.authentication import basic_client_id
from smart_auth.clients.registry import GRANT_TYPES
from smart_auth.errors import InvalidClientError
from smart_auth.exchange import HttpRequest, HttpResponse
from smart_auth.tokens.jwt import unverified_subject

LONGEST_CLIENT_ID = 128
_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")  # RFC 6749, A.1: a client_id is of these characters
_STEP = re.compile(r"[a-z\-]{1,20}")  # as the forms of our pages name theirs


@dataclass(frozen=True, slots=True)
class Party:
    """A client or a person.

    Attributes:
        id: Of a client its id, shortened and plain; of a person the ``sub`` of her tokens here.
        proved: Whether it was authenticated; a public client's id is taken as it is.
    """

    id: str
    proved: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to an endpoint of this room.

    Attributes:
        endpoint: Its path behind the issuer: ``token``, ``sign-in``.
        client: Which client asked, or which one a person decided about; None where none was named.
        person: Who sat before the browser, as far as it is known.
        step: Of a request for a token the grant type, of a form its step; empty where it is none of this server's.
        address: Where the request came from.
        status: HTTP status of the answer.
        why: Of a refusal, its code, if it has one, and words of this server; empty for all others.
        trace: Id of the request.
    """

    endpoint: str
    client: Party | None
    person: Party | None
    step: str
    address: str
    status: int
    why: str
    trace: str


class AttemptLog(Protocol):
    """Where attempts are put on record."""

    async def note(self, attempt: Attempt) -> None:
        """Put one on record; durable when it returns.  If it raises, the request gets no other answer."""
        ...


class NoAttemptLog:
    """Keeps nothing: for commands, which answer nobody."""

    async def note(self, attempt: Attempt) -> None:
        """See ``AttemptLog.note``."""


def attempt_of(
    endpoint: str,
    request: HttpRequest,
    response: HttpResponse,
    client: Party | None,
    person: Party | None = None,
) -> Attempt:
    """Return what is told of an answered request: what the answer says of who asked comes before what was claimed."""
    return Attempt(
        endpoint=endpoint,
        client=Party(response.client, proved=True) if response.client else client,
        person=person,
        step=_step(dict(request.form)),
        address=request.address,
        status=response.status,
        why=response.refusal,
        trace=request.trace,
    )


def claimed_client(request: HttpRequest) -> Party | None:
    """Return which client the request says to be from, in whichever way it says so; None for none."""
    client_id = _claimed(request.headers, dict(request.query + request.form))
    return party(client_id, proved=False) if client_id else None


def party(client_id: str, *, proved: bool) -> Party:
    """Return the client of an id that anybody may have written."""
    return Party(_NOT_PLAIN.sub("?", client_id[:LONGEST_CLIENT_ID]), proved)


def _claimed(headers: Mapping[str, str], parameters: Mapping[str, str]) -> str:
    try:
        if "client_assertion" in parameters:
            return unverified_subject(parameters["client_assertion"])
        if headers.get("authorization", "").lower().startswith("basic"):
            return basic_client_id(headers["authorization"])
    except InvalidClientError:
        pass
    return parameters.get("client_id", "")


def _step(form: Mapping[str, str]) -> str:
    grant_type, step = form.get("grant_type", ""), form.get("step", "")
    if grant_type in GRANT_TYPES:
        return grant_type
    return step if _STEP.fullmatch(step) else ""
