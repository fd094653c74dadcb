"""Reading an authorization request (RFC 6749, 4.1.1; RFC 7636, 4.3; OpenID Connect Core 1.0,
3.1.2.1; SMART App Launch 2.2, "Obtain authorization code"), and the answer's redirect.

First the client and its redirect URI: while these are in doubt, an error is a page.  Then the
rest: errors go to the redirect URI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from smart_auth.authorization.scopes import ScopeSet, narrow, parse_scopes
from smart_auth.authorization.support import ScopeSupport, require_some
from smart_auth.clients.registry import Client, ClientRegistry
from smart_auth.errors import InvalidRequestError, InvalidScopeError, PageError, RedirectError
from smart_auth.exchange import Pairs, single_parameters
from smart_auth.people.assurance import acr_wanted
from smart_auth.settings import SmartSettings
from smart_auth.store import AuthorizationRequest

LONGEST_PARAMETER = 8192
_SHA256 = re.compile(r"[A-Za-z0-9_\-]{43}")  # in base64url (RFC 7636, 4.2; RFC 9449, 10)
_LONGEST_NONCE = 512


def read_parameters(pairs: Pairs) -> dict[str, str]:
    """Return the parameters, none repeated, too long or with control characters.

    Raises:
        PageError: One of them is; nothing of the request can be trusted then.
    """
    if any(len(value) > LONGEST_PARAMETER for _, value in pairs):
        raise PageError("A parameter of the request is too long.")
    try:
        return single_parameters(pairs)
    except InvalidRequestError as error:
        raise PageError(f"The request is malformed: {error}.") from error


def identify_client(parameters: Mapping[str, str], clients: ClientRegistry) -> Client:
    """Return the client whose registered redirect URI the request names, character by character.

    Raises:
        PageError: Unknown client, or a redirect URI that is missing or not registered
            (RFC 6749, 3.1.2.4: no redirect then; RFC 9700, 2.1: exact comparison).
    """
    client = clients.find(parameters.get("client_id", ""))
    if client is None or "authorization_code" not in client.grant_types:
        raise PageError("The app is not registered here.")
    if parameters.get("redirect_uri") not in client.redirect_uris:
        raise PageError("The app's return address is not the registered one.")
    return client


def read_request(
    parameters: Mapping[str, str], client: Client, settings: SmartSettings, support: ScopeSupport
) -> AuthorizationRequest:
    """Return the request of a client that ``identify_client`` found.

    Raises:
        RedirectError: Anything else is wrong; ``error`` is the code for the client.
    """
    _require_code_flow(parameters)
    _require_audience(parameters, settings)
    challenge = _code_challenge(parameters)
    nonce = parameters.get("nonce")
    if nonce is not None and len(nonce) > _LONGEST_NONCE:
        raise RedirectError("invalid_request", "nonce is too long")
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=parameters["redirect_uri"],
        scope=str(_scopes(parameters, client, support)),
        code_challenge=challenge,
        state=parameters.get("state"),
        nonce=nonce,
        launch=parameters.get("launch") or None,
        max_age=_max_age(parameters),
        dpop_jkt=_dpop_jkt(parameters),
        acr=acr_wanted(parameters.get("acr_values", "")),
    )


def code_location(request: AuthorizationRequest, code: str, issuer: str) -> str:
    """Return the redirect with a code, the exact ``state``, and ``iss`` (RFC 9207)."""
    return _location(request.redirect_uri, {"code": code}, request.state, issuer)


def error_location(redirect_uri: str, state: str | None, error: RedirectError, issuer: str) -> str:
    """Return the redirect with an error (RFC 6749, 4.1.2.1; RFC 9207)."""
    answer = {"error": error.error, "error_description": str(error)}
    return _location(redirect_uri, answer, state, issuer)


def _location(redirect_uri: str, answer: dict[str, str], state: str | None, issuer: str) -> str:
    parameters = {**answer, **({} if state is None else {"state": state}), "iss": issuer}
    separator = "&" if "?" in redirect_uri else "?"
    return redirect_uri + separator + urlencode(parameters, quote_via=quote, safe="")


def _require_code_flow(parameters: Mapping[str, str]) -> None:
    for name in ("request", "request_uri"):  # those pushed here were resolved before
        if name in parameters:
            raise RedirectError(f"{name}_not_supported", f"{name} is not supported")
    if "response_type" not in parameters:
        raise RedirectError("invalid_request", "response_type is missing")
    if parameters["response_type"] != "code":
        raise RedirectError("unsupported_response_type", "response_type must be code")
    if parameters.get("response_mode", "query") != "query":
        raise RedirectError("invalid_request", "response_mode must be query")


def _require_audience(parameters: Mapping[str, str], settings: SmartSettings) -> None:
    """Require the FHIR base as ``aud``, one slash at its end or none (SMART; fhirclient.js)."""
    audience = parameters.get("aud")
    if audience not in (settings.fhir_base, settings.fhir_base + "/"):
        raise RedirectError("invalid_request", "aud must be the FHIR base URL of this server")


def _code_challenge(parameters: Mapping[str, str]) -> str:
    """Return the challenge; every client must send one (SMART; RFC 9700, 2.1.1)."""
    if parameters.get("code_challenge_method") != "S256":
        raise RedirectError("invalid_request", "code_challenge_method must be S256")
    challenge = parameters.get("code_challenge", "")
    if _SHA256.fullmatch(challenge) is None:
        raise RedirectError("invalid_request", "code_challenge must be a base64url SHA-256")
    return challenge


def _scopes(parameters: Mapping[str, str], client: Client, support: ScopeSupport) -> ScopeSet:
    try:
        asked = parse_scopes(parameters.get("scope", ""))
        granted = narrow(asked.at_levels("patient", "user"), client.scope)
        if "launch" not in parameters:
            granted = granted.without_words("launch", "launch/encounter")
        return require_some(granted, support)
    except InvalidScopeError as error:
        raise RedirectError("invalid_scope", str(error)) from error


def _dpop_jkt(parameters: Mapping[str, str]) -> str | None:
    thumbprint = parameters.get("dpop_jkt")
    if thumbprint is not None and _SHA256.fullmatch(thumbprint) is None:
        raise RedirectError("invalid_request", "dpop_jkt must be a base64url SHA-256")
    return thumbprint


def _max_age(parameters: Mapping[str, str]) -> int | None:
    """Return ``max_age``; ``prompt=login`` is a max_age of 0 (OpenID Connect Core 1.0, 3.1.2.1)."""
    if "login" in parameters.get("prompt", "").split(" "):
        return 0
    text = parameters.get("max_age")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise RedirectError("invalid_request", "max_age must be a number of seconds")
    return int(text)
