"""Requests to the token endpoint, told to whoever keeps the audit log: which client asked, and how it ended.

What is told holds nothing that the request held but the client's id: no code, token, assertion, secret or scope.
"""

from __future__ import annotations

import json
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


@dataclass(frozen=True, slots=True)
class TokenAttempt:
    """One request to the token endpoint.

    Attributes:
        client_id: As claimed, shortened and plain; empty if none was named.
        proved: Whether it was authenticated; a public client's id is taken as it is.
        grant_type: One that this server has; empty for any other.
        address: Where the request came from.
        status: HTTP status of the answer.
        why: Of a refusal, its code (RFC 6749, 5.2) and words of this server; empty for a token.
    """

    client_id: str
    proved: bool
    grant_type: str
    address: str
    status: int
    why: str


class AttemptLog(Protocol):
    """Where requests to the token endpoint are put on record."""

    async def note(self, attempt: TokenAttempt) -> None:
        """Put one on record; durable when it returns.  If it raises, the request gets no other answer."""
        ...


class NoAttemptLog:
    """Keeps nothing: for commands, which answer nobody."""

    async def note(self, attempt: TokenAttempt) -> None:
        """See ``AttemptLog.note``."""


def attempt_of(request: HttpRequest, response: HttpResponse, authenticated: str) -> TokenAttempt:
    """Return what is told of an answered request.

    Args:
        authenticated: Id of the client that was authenticated; empty for none.
    """
    form = dict(request.form)
    grant_type = form.get("grant_type", "")
    return TokenAttempt(
        client_id=_plain(authenticated or _claimed(request.headers, form)),
        proved=bool(authenticated),
        grant_type=grant_type if grant_type in GRANT_TYPES else "",
        address=request.address,
        status=response.status,
        why=_why(response),
    )


def _why(response: HttpResponse) -> str:
    if response.status < 400:
        return ""
    body = json.loads(response.body)
    words = body.get("error_description", "")
    return f"{body['error']}: {words}" if words else str(body["error"])


def _claimed(headers: Mapping[str, str], form: Mapping[str, str]) -> str:
    """Who the client says it is, in whichever way it says so."""
    try:
        if "client_assertion" in form:
            return unverified_subject(form["client_assertion"])
        if "authorization" in headers:
            return basic_client_id(headers["authorization"])
    except InvalidClientError:
        pass
    return form.get("client_id", "")


def _plain(client_id: str) -> str:
    return _NOT_PLAIN.sub("?", client_id[:LONGEST_CLIENT_ID])
