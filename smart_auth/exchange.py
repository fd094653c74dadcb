"""HTTP as this room sees it: one request in, one response out, without any web framework.

``fhir_server`` translates. Nothing here reads a socket; bodies are parsed before they arrive.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from smart_auth.errors import (
    InvalidRequestError,
    OAuthError,
    TemporarilyUnavailableError,
    UseNonceError,
)

_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")

Pairs = tuple[tuple[str, str], ...]

_NO_STORE: Pairs = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request.

    Attributes:
        method: Upper-case.
        url: Absolute URL as the client used it; only informative, never trusted.
        path: Path part of the URL.
        headers: Names in lower-case.
        query: Decoded query parameters in their order, repeats kept.
        form: Decoded ``application/x-www-form-urlencoded`` body, repeats kept.
        cookies: Cookie values by name.
        body: Where it is no form.
        address: Where it came from; empty where nobody knows.
        trace: Its id in the audit log.
    """

    method: str
    url: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    query: Pairs = field(default=(), repr=False)
    form: Pairs = field(default=(), repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    address: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response: status code, headers in order, body as bytes; and for the audit log, not sent, what it means.

    Attributes:
        refusal: Why what was asked was not done, in this server's words; empty where it was.
        client: Id of the client that was authenticated; empty for none.
        person: User name of who has shown who she is by this request; empty for nobody.
    """

    status: int
    headers: Pairs = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    refusal: str = ""
    client: str = ""
    person: str = field(default="", repr=False)


def single_parameters(pairs: Pairs) -> dict[str, str]:
    """Return the parameters by name, none of them repeated (RFC 6749, 3.1 and 3.2).

    Raises:
        InvalidRequestError: A name occurs twice, or a value holds a control character.
    """
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise InvalidRequestError("a parameter is repeated")
    if any(has_control_character(value) for _, value in pairs):
        raise InvalidRequestError("a parameter holds a control character")
    return dict(pairs)


def has_control_character(text: str) -> bool:
    """Tell whether ``text`` holds a C0 control, U+007F or a lone surrogate: never in OAuth."""
    return _CONTROL.search(text) is not None


def json_response(status: int, body: Mapping[str, object], more: Pairs = ()) -> HttpResponse:
    """Return a JSON answer that no cache may keep (RFC 6749, 5.1: both headers)."""
    headers = (("Content-Type", "application/json"), *_NO_STORE, *more)
    told = (str(body[name]) for name in ("error", "error_description") if body.get(name))
    text = json.dumps(body, separators=(",", ":")).encode()
    return HttpResponse(status, headers, text, refusal=": ".join(told))


def oauth_error_response(error: OAuthError) -> HttpResponse:
    """Return the error answer of RFC 6749, 5.2."""
    more: Pairs = ()
    if error.status == 401:
        more = (("WWW-Authenticate", f'{error.challenge}, error="{error.error}"'),)
    if isinstance(error, TemporarilyUnavailableError):
        more = (("Retry-After", str(error.retry_after)),)
    if isinstance(error, UseNonceError):
        more = (("DPoP-Nonce", error.nonce),)
    body = {"error": error.error, "error_description": str(error)}
    return json_response(error.status, body, more)
