"""Pushed authorization requests (RFC 9126): the app sends what it asks for to the server itself,
authenticated, and the browser carries only a reference to it.

A reference is good once, for 90 seconds, for the client that pushed; nothing else that the browser
brings counts then.  A ``request_uri`` of anywhere else is refused as any unknown one, never fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from smart_auth.authorization.request import LONGEST_PARAMETER, identify_client, read_request
from smart_auth.authorization.support import ScopeSupport
from smart_auth.clients.registry import Client, ClientRegistry
from smart_auth.errors import (
    InvalidRequestError,
    PageError,
    RedirectError,
    RefusedRequestError,
    TooLargeError,
    UnauthorizedClientError,
)
from smart_auth.exchange import HttpResponse, json_response
from smart_auth.settings import SmartSettings
from smart_auth.store import digest
from smart_auth.tokens.issuing import random_text
from smart_auth.vault import Vault

MOST_CHARACTERS = 64 * 1024
LIFETIME = timedelta(seconds=90)
_URN = "urn:ietf:params:oauth:request_uri:"
_KIND = "pushed"
_VERSION = b"\x01"
_PROOFS = ("client_secret", "client_assertion", "client_assertion_type")


def pushed_parameters(
    form: Mapping[str, str],
    client: Client,
    clients: ClientRegistry,
    settings: SmartSettings,
    support: ScopeSupport,
) -> dict[str, str]:
    """Return the authorization request that an authenticated client pushed, checked as it will be
    again when the browser comes with it.

    Raises:
        OAuthError: It is not one that the authorization endpoint would take (RFC 9126, 2.3).
    """
    if "request_uri" in form:
        raise InvalidRequestError("request_uri must not be pushed")
    if "authorization_code" not in client.grant_types:
        raise UnauthorizedClientError("the client is not registered for authorization_code")
    if any(len(value) > LONGEST_PARAMETER for value in form.values()):
        raise InvalidRequestError("a parameter of the request is too long")
    asked = {name: value for name, value in form.items() if name not in _PROOFS}
    asked["client_id"] = client.client_id
    try:
        read_request(asked, identify_client(asked, clients), settings, support)
    except PageError as error:
        raise InvalidRequestError("redirect_uri is not the registered one") from error
    except RedirectError as error:
        raise RefusedRequestError(error.error, str(error)) from error
    return asked


def require_small(size: int) -> None:
    """Return when a pushed request of ``size`` characters is read at all.

    Raises:
        TooLargeError: It is larger than 64 Ki (RFC 9126, 2.3).
    """
    if size > MOST_CHARACTERS:
        raise TooLargeError("the pushed request is too large")


async def keep_pushed(asked: Mapping[str, str], vault: Vault, now: datetime) -> HttpResponse:
    """Keep a request that ``pushed_parameters`` returned; answer with its reference (RFC 9126, 2.2)."""
    handle = random_text(vault.random_bytes)
    kept = _VERSION + json.dumps(dict(asked)).encode()
    await vault.store.put(_KIND, digest(handle), kept, now + LIFETIME)
    seconds = int(LIFETIME.total_seconds())
    return json_response(201, {"request_uri": _URN + handle, "expires_in": seconds})


async def resolve(
    parameters: dict[str, str], clients: ClientRegistry, vault: Vault
) -> dict[str, str]:
    """Return what the browser brings, or, when that is a ``request_uri``, what was pushed for it.

    Raises:
        PageError: The reference is unknown, expired, used or another client's; or there is none,
            although the client must push. No redirect then: nothing of the request is sure.
    """
    client_id = parameters.get("client_id", "")
    uri = parameters.get("request_uri", "")
    if not uri.startswith(_URN):
        client = clients.find(client_id)
        if client is not None and client.pushes:
            raise PageError("The app must push its request to this server first.")
        return parameters
    key = digest(uri.removeprefix(_URN))
    kept = await vault.store.find(_KIND, key)
    asked = None if kept is None else _unpack(kept)
    if asked is None or asked["client_id"] != client_id:
        raise PageError("The app's request is unknown here or has expired.")
    if await vault.store.take(_KIND, key) is None:
        raise PageError("The app's request was used already.")
    return asked


def _unpack(kept: bytes) -> dict[str, str]:
    if kept[:1] != _VERSION:
        raise ValueError("unknown version of a stored record")
    return dict(json.loads(kept[1:]))
