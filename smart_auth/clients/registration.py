"""Dynamic client registration (RFC 7591), and its management (RFC 7592).

Who registers brings an initial access token, whose terms bound what the client may ever have.  Its
metadata become the mapping that the operator's file would hold, so that the same rules are asked.
Metadata that are not named here are left out, and so not told back (RFC 7591, 2); software
statements are refused, because nobody is trusted to sign them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import anyio.to_thread

from smart_auth.authorization.scopes import narrow, parse_scopes
from smart_auth.clients.initial_tokens import InitialTokens
from smart_auth.clients.registered import Registered, RegisteredClients, Terms
from smart_auth.clients.registry import ASYMMETRIC, PUBLIC, SYMMETRIC, read_client
from smart_auth.credentials import Credentials
from smart_auth.errors import (
    ChangedError,
    FieldError,
    OAuthError,
    RefusedRequestError,
    RegistrationTokenError,
    ScopeParseError,
)
from smart_auth.exchange import HttpRequest, HttpResponse, json_response, oauth_error_response
from smart_auth.people.passwords import WrongPasswordError, hash_password, verify_password
from smart_auth.settings import SmartSettings
from smart_auth.store import digest
from smart_auth.strict_json import read_json
from smart_auth.tokens.issuing import RandomBytes, random_text

METHODS = {
    "none": PUBLIC,
    "client_secret_basic": SYMMETRIC,
    "client_secret_post": SYMMETRIC,
    "private_key_jwt": ASYMMETRIC,
}
_PLAIN = ("redirect_uris", "grant_types", "jwks", "jwks_uri", "launch_uri", "fapi")
_FLAGS = {
    "dpop_bound_access_tokens": "bound",
    "require_pushed_authorization_requests": "pushes",
}
_SERVERS = (
    *("registration_access_token", "registration_client_uri"),
    *("client_secret_expires_at", "client_id_issued_at"),
)
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Registration:
    """The client registration and configuration endpoints."""

    settings: SmartSettings
    clients: RegisteredClients
    tokens: InitialTokens
    random_bytes: RandomBytes = field(repr=False)
    clock: Callable[[], datetime] = field(repr=False)
    credentials: Credentials

    async def register(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 7591, 3."""
        try:
            return await self._register(_bearer(request), request.body)
        except OAuthError as error:
            return oauth_error_response(error)

    async def manage(self, request: HttpRequest, client_id: str) -> HttpResponse:
        """Answer RFC 7592, 2: GET reads, PUT replaces, DELETE ends."""
        try:
            known = await self._known(_bearer(request), client_id)
        except OAuthError as error:
            return oauth_error_response(error)
        return replace(await self._managed(request, known), client=client_id)

    async def _managed(self, request: HttpRequest, known: Registered) -> HttpResponse:
        try:
            if request.method == "DELETE":
                await self.clients.remove(known.client_id)
                return HttpResponse(204, (("Cache-Control", "no-store"), ("Pragma", "no-cache")))
            if request.method == "PUT":
                return await self._replace(known, _bearer(request), request.body)
            return json_response(200, self._told(known, _bearer(request)))
        except OAuthError as error:
            return oauth_error_response(error)

    async def _register(self, initial: str, body: bytes) -> HttpResponse:
        now = self.clock()
        terms = await self.tokens.terms_of(initial, now)
        self._require_credentials(terms)
        metadata, token = _document(body), random_text(self.random_bytes)
        method = _method(metadata)
        secret = random_text(self.random_bytes) if METHODS[method] == SYMMETRIC else None
        client_id = random_text(self.random_bytes)[:22]
        client = await _client_of(metadata, client_id, method, terms, await _hashed(secret))
        made = Registered(client, method, int(now.timestamp()), digest(token), terms)
        await self.tokens.use(initial, now)
        await self.clients.save(made)
        return replace(json_response(201, self._told(made, token, secret)), client=client_id)

    async def _replace(self, known: Registered, token: str, body: bytes) -> HttpResponse:
        metadata = _document(body)
        if metadata.get("client_id") != known.client_id:
            raise _refused("client_id must be the client's own")
        if any(name in metadata for name in _SERVERS):
            raise _refused(f"{', '.join(_SERVERS)} are the server's to say")
        method, before = _method(metadata), known.client.get("secret_hash")
        hashed, secret = before if isinstance(before, str) else None, None
        await _require_same_secret(metadata, hashed)
        if METHODS[method] != SYMMETRIC:
            hashed = None
        elif hashed is None:
            secret = random_text(self.random_bytes)
            hashed = await _hashed(secret)
        client = await _client_of(metadata, known.client_id, method, known.terms, hashed)
        changed = replace(known, client=client, method=method)
        try:
            await self.clients.save(changed)
        except ChangedError as error:
            raise _refused("the client was changed meanwhile: read it again") from error
        return json_response(200, self._told(changed, token, secret))

    async def _known(self, token: str, client_id: str) -> Registered:
        known = await self.clients.find(client_id)
        if known is None or not hmac.compare_digest(digest(token), known.token):
            raise RegistrationTokenError("the registration access token is not good for this")
        if client_id in self.clients.registry.disabled:
            raise RegistrationTokenError("the client is disabled")
        self._require_credentials(known.terms)
        return known

    def _require_credentials(self, terms: Terms) -> None:
        """Refuse clients of an organization whose credentials do not hold now."""
        if terms.organization and not self.credentials.all_hold((terms.organization,)):
            raise RegistrationTokenError("the organization has no credential that holds")

    def _told(
        self, registered: Registered, token: str, secret: str | None = None
    ) -> dict[str, object]:
        """Return the client information response (RFC 7591, 3.2.1; RFC 7592, 3)."""
        client = registered.client
        told: dict[str, object] = {
            "client_id": registered.client_id,
            "client_id_issued_at": registered.issued_at,
            "client_name": client["name"],
            "token_endpoint_auth_method": registered.method,
            "scope": client["scope"],
            "registration_client_uri": f"{self.settings.registration_endpoint}/{registered.client_id}",
            "registration_access_token": token,
        }
        told |= {name: client[name] for name in _PLAIN if name in client}
        told |= {name: client[ours] for name, ours in _FLAGS.items() if ours in client}
        if "authorization_code" in _texts(client.get("grant_types")):
            told["response_types"] = ["code"]
        if secret is not None:
            told |= {"client_secret": secret, "client_secret_expires_at": 0}
        return told


async def _client_of(
    metadata: Mapping[str, object], client_id: str, method: str, terms: Terms, hashed: str | None
) -> dict[str, object]:
    """Return the client as the operator's file would hold it, when its rules allow it."""
    client: dict[str, object] = {
        "client_id": client_id,
        "name": _name(metadata, client_id),
        "kind": METHODS[method],
        "grant_types": ["authorization_code"],
        "scope": _scope(metadata, terms),
        "purposes": list(terms.purposes),
    }
    client |= {name: metadata[name] for name in _PLAIN if name in metadata}
    client |= {ours: metadata[name] for name, ours in _FLAGS.items() if name in metadata}
    client |= {} if terms.organization is None else {"organization": terms.organization}
    client |= {} if hashed is None else {"secret_hash": hashed}
    try:
        await anyio.to_thread.run_sync(read_client, client)  # looking at an RSA key takes long
    except FieldError as error:
        code = "redirect_uri" if error.field == "redirect_uris" else "client_metadata"
        raise RefusedRequestError(f"invalid_{code}", str(error)) from error
    return client


def _document(body: bytes) -> dict[str, object]:
    try:
        metadata = read_json(body)
    except ValueError as error:
        raise _refused("the body must be a JSON object, no member twice") from error
    if not isinstance(metadata, dict):
        raise _refused("the body must be a JSON object")
    if "software_statement" in metadata:
        raise RefusedRequestError(
            "unapproved_software_statement", "software statements are not accepted here"
        )
    if metadata.get("response_types", ["code"]) not in (["code"], []):
        raise _refused("response_types must be code")
    return metadata


def _method(metadata: Mapping[str, object]) -> str:
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    if not isinstance(method, str) or method not in METHODS:
        raise _refused(f"token_endpoint_auth_method must be one of {', '.join(METHODS)}")
    return method


def _name(metadata: Mapping[str, object], client_id: str) -> str:
    """Return the name that people will be shown: one that shows as what it is."""
    name = metadata.get("client_name", client_id)
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise _refused(f"client_name must be 1 to {_LONGEST_NAME} characters that can be seen")
    return name


def _scope(metadata: Mapping[str, object], terms: Terms) -> str:
    asked = metadata.get("scope", terms.scope)
    try:
        scope = narrow(
            parse_scopes(asked if isinstance(asked, str) else ""), parse_scopes(terms.scope)
        )
    except ScopeParseError as error:
        raise _refused("scope does not follow the grammar") from error
    if not scope:
        raise _refused("none of the scopes may be had with this initial access token")
    return str(scope)


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _bearer(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RegistrationTokenError("an access token for registration is needed")
    return token.strip()


async def _hashed(secret: str | None) -> str | None:
    return None if secret is None else await anyio.to_thread.run_sync(hash_password, secret)


async def _require_same_secret(metadata: Mapping[str, object], hashed: str | None) -> None:
    if "client_secret" not in metadata:
        return
    try:
        secret = str(metadata["client_secret"])
        await anyio.to_thread.run_sync(verify_password, secret, hashed or "")
    except (WrongPasswordError, UnicodeError) as error:
        raise _refused("client_secret must be the one that was given") from error


def _refused(why: str) -> RefusedRequestError:
    return RefusedRequestError("invalid_client_metadata", why)
