"""Which client sends a token, introspection or revocation request (RFC 6749, 2.3; RFC 7523, 2.2).

One way per registered kind: ``private_key_jwt`` as SMART "Client Authentication: Asymmetric"
narrows it, a secret by HTTP Basic or in the form, or, for a public client, its bare ``client_id``.
Two ways in one request are refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_plus

from smart_auth.clients.keys import KeyShelf
from smart_auth.clients.registry import (
    ASYMMETRIC,
    PUBLIC,
    SYMMETRIC,
    Client,
    ClientRegistry,
    assertion_algorithms,
)
from smart_auth.errors import (
    AlreadyThereError,
    InvalidClientError,
    InvalidRequestError,
    MalformedTokenError,
)
from smart_auth.people.passwords import WrongPasswordError, verify_password
from smart_auth.settings import SmartSettings
from smart_auth.tokens.jwt import (
    Claims,
    ClientKeys,
    key_named_by,
    numeric_date,
    unverified_subject,
    verify_assertion,
)

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION = timedelta(minutes=5)
LEEWAY = timedelta(seconds=5)

Remember = Callable[[str, str, datetime], None]
"""Notes ``(client_id, jti, until)``; raises AlreadyThereError when it was noted before."""

_BASIC = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a client's proof is judged by.

    Attributes:
        settings: Issuer and token endpoint, the acceptable ``aud`` of assertions.
        keys: The keys of the client that the assertion says to be from (``keys.py``).
        now: UTC.
        remember: Notes an assertion's ``jti`` for as long as the assertion lives.
    """

    clients: ClientRegistry
    settings: SmartSettings
    keys: ClientKeys | None
    now: datetime
    remember: Remember = field(repr=False)


async def keys_for(
    form: Mapping[str, str], clients: ClientRegistry, shelf: KeyShelf
) -> ClientKeys | None:
    """Return the keys that the assertion in ``form`` has to be signed with, fetched if they must be.

    Raises:
        InvalidClientError: There is an assertion, but not one of a client with keys.
    """
    assertion = form.get("client_assertion")
    if assertion is None:
        return None
    client = clients.find(unverified_subject(assertion))
    if client is None or client.kind != ASYMMETRIC:
        raise InvalidClientError("the client is unknown or has no keys")
    return await shelf.find(client, *key_named_by(assertion))


def authenticate_client(
    headers: Mapping[str, str], form: Mapping[str, str], around: Surroundings
) -> Client:
    """Return the client that proved to send this request.

    Args:
        headers: Names in lower-case.
        form: Parameters, none repeated.
        around: What its proof is judged by.

    Raises:
        InvalidClientError: No proof, a wrong one, or a way that the client is not registered for.
        InvalidRequestError: More than one way at once.
    """
    basic = headers.get("authorization")
    ways = (basic, form.get("client_assertion"), form.get("client_secret"))
    if sum(way is not None for way in ways) > 1:
        raise InvalidRequestError("more than one way of client authentication")
    if form.get("client_assertion") is not None or "client_assertion_type" in form:
        return _by_assertion(form, around)
    if basic is not None:
        return _by_secret(*_basic_credentials(basic), form, around.clients)
    if form.get("client_secret") is not None:
        return _by_secret(form.get("client_id", ""), form["client_secret"], form, around.clients)
    client = around.clients.find(form.get("client_id", ""))
    if client is None or client.kind != PUBLIC:
        raise InvalidClientError("the client is unknown or must authenticate")
    return client


def basic_client_id(header: str) -> str:
    """Return the client that an ``Authorization`` header says to be from, before any proof.

    Raises:
        InvalidClientError: It is not HTTP Basic.
    """
    return _basic_credentials(header)[0]


def _by_secret(
    client_id: str, secret: str, form: Mapping[str, str], clients: ClientRegistry
) -> Client:
    client = clients.find(client_id)
    if client is None or client.kind != SYMMETRIC or client.secret_hash is None:
        raise InvalidClientError("the client is unknown or has no secret")
    _require_same_client(form, client)
    try:
        verify_password(secret, client.secret_hash)
    except WrongPasswordError as error:
        raise InvalidClientError("the client secret is wrong") from error
    return client


def _basic_credentials(header: str) -> tuple[str, str]:
    """Read HTTP Basic; both parts are form-encoded first (RFC 6749, 2.3.1)."""
    shape = _BASIC.fullmatch(header)
    if shape is None:
        raise InvalidClientError("the Authorization header is not HTTP Basic")
    try:
        text = base64.b64decode(shape[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidClientError("the Authorization header cannot be read") from error
    client_id, separator, secret = text.partition(":")
    if not separator:
        raise InvalidClientError("the Authorization header cannot be read")
    return unquote_plus(client_id), unquote_plus(secret)


def _by_assertion(form: Mapping[str, str], around: Surroundings) -> Client:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidClientError("client_assertion_type is not jwt-bearer")
    assertion = form.get("client_assertion", "")
    client = around.clients.find(unverified_subject(assertion))
    if client is None or client.kind != ASYMMETRIC or around.keys is None:
        raise InvalidClientError("the client is unknown or has no keys")
    _require_same_client(form, client)
    claims = verify_assertion(assertion, around.keys, assertion_algorithms(client.fapi))
    _require_audience(claims, client, around.settings)
    expires = _require_times(claims, around.now)
    _require_first_use(client, claims, expires, around.remember)
    return client


def _require_same_client(form: Mapping[str, str], client: Client) -> None:
    if form.get("client_id", client.client_id) != client.client_id:
        raise InvalidClientError("client_id is not the client that authenticated")


def _require_audience(claims: Claims, client: Client, settings: SmartSettings) -> None:
    """Require the token endpoint's URL (SMART) or the issuer (RFC 8414; RFC 9126, 2); under FAPI 2.0
    (5.3.2.1) the issuer alone, so that no other server can make the client sign for this one."""
    value = claims.get("aud")
    if client.fapi:
        if value != settings.issuer:
            raise InvalidClientError("the assertion's aud must be the issuer, as one text")
        return
    named = value if isinstance(value, list) else [value]
    if settings.token_endpoint not in named and settings.issuer not in named:
        raise InvalidClientError("the assertion's aud must be the token endpoint's URL")


def _require_times(claims: Claims, now: datetime) -> datetime:
    """Return ``exp`` plus leeway, at most five minutes ahead (SMART, authentication JWT claims)."""
    moment, leeway = now.timestamp(), LEEWAY.total_seconds()
    try:
        expires = numeric_date(claims, "exp")
        starts = [numeric_date(claims, name) for name in ("nbf", "iat") if name in claims]
    except MalformedTokenError as error:
        raise InvalidClientError(f"the assertion is refused: {error}") from error
    if moment >= expires + leeway:
        raise InvalidClientError("the assertion has expired")
    if expires - moment > LONGEST_ASSERTION.total_seconds() + leeway:
        raise InvalidClientError("the assertion's exp is more than five minutes ahead")
    if any(start > moment + leeway for start in starts):
        raise InvalidClientError("the assertion is not valid yet")
    return datetime.fromtimestamp(expires + leeway, UTC)


def _require_first_use(
    client: Client, claims: Claims, expires: datetime, remember: Remember
) -> None:
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise InvalidClientError("the assertion's jti must be a text of 1 to 255 characters")
    try:
        remember(client.client_id, jti, expires)
    except AlreadyThereError as error:
        raise InvalidClientError("the assertion was used before") from error
