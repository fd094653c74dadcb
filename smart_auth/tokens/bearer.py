"""Who calls: from a bearer token (RFC 6750, RFC 9068) to a Caller.

A verified token is remembered by its SHA-256 until it expires, so that a repeated bearer costs a
hash and two dictionary look-ups; whether it was revoked is asked every time (see revocation.py).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from smart_auth.authorization.scopes import ScopeSet, parse_scopes
from smart_auth.authorization.support import ScopeSupport, supported
from smart_auth.clients.registry import Client, ClientRegistry
from smart_auth.errors import (
    ExpiredTokenError,
    MalformedTokenError,
    NotYetValidError,
    ScopeParseError,
    UnknownCallerError,
    UnprovedTokenError,
    WrongAudienceError,
    WrongIssuerError,
)
from smart_auth.people.users import User, UserRegistry
from smart_auth.settings import SmartSettings
from smart_auth.tokens.jwt import Claims, SigningKeys, numeric_date, verify_access_token
from smart_auth.tokens.revocation import Revocations, Standing

_MOST_REMEMBERED = 10_000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls and what the token covers; what patients consent to is not in here.

    Attributes:
        subject: ``sub`` of the token: the client_id, or the person's at this issuer.
        organization: The organization that the client is bound to.
        user: ``fhirUser`` reference of the person; None for a backend service.
        organizations: Of the person; for a backend service the client's own.
        patient: The patient in context; scopes of level ``patient`` reach this one only.
        purposes: v3-ActReason codes both client and person may use, the default first.
        token_id: ``jti`` of the token.
        grant_id: What all tokens of one grant share; revocation names it.
        system: The custodian's own system.
        acr: How surely the person signed in, one of ``assurance.LEVELS``; None where nobody did.
        amr: With what (RFC 8176).
        auth_time: When, UTC.
        key: Thumbprint of the key that the token is bound to (RFC 9449, 6); None for a bearer token.
    """

    client_id: str
    client_name: str
    subject: str
    organization: str | None
    user: str | None
    user_name: str | None = field(repr=False)
    organizations: tuple[str, ...]
    patient: str | None
    encounter: str | None
    scopes: ScopeSet
    purposes: tuple[str, ...]
    token_id: str
    grant_id: str
    issued: datetime
    expires: datetime
    system: bool
    key: str | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    auth_time: datetime | None = None

    @property
    def standing(self) -> Standing:
        """Return what this caller's token is revoked by."""
        return Standing(self.grant_id, self.subject, self.client_id, self.issued)


@dataclass(slots=True)
class _Remembered:
    caller: Caller
    client: Client
    standing: Standing
    rechecked: datetime


def subject_of(issuer: str, username: str) -> str:
    """Return the ``sub`` of a person: stable, at this issuer only, and not the user name."""
    return sha256(f"{issuer}|{username}".encode()).hexdigest()[:40]


class BearerAuthenticator:
    """Verifies access tokens."""

    def __init__(
        self,
        settings: SmartSettings,
        keys: SigningKeys,
        clients: ClientRegistry,
        users: UserRegistry,
        revocations: Revocations,
        support: ScopeSupport,
    ) -> None:
        """``support`` knows which scopes can work: the others permit nothing."""
        self._settings = settings
        self._keys = keys
        self._clients = clients
        self._users = users
        self._people = {subject_of(settings.issuer, user.username): user for user in users}
        self._revocations = revocations
        self._support = support
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    async def authenticate(self, bearer: str, now: datetime) -> Caller:
        """Return who holds ``bearer`` (the token alone, without ``Bearer``); ``now`` in UTC.

        Whether the holder may use it, when it is bound to a key, is asked in server.py.

        Raises:
            BearerError: The token is refused; answer 401 with ``invalid_token``.
        """
        key = sha256(bearer.encode("utf-8", "surrogatepass")).digest()
        known = self._remembered.get(key)
        if known is None or self._clients.find(known.caller.client_id) is not known.client:
            caller = self._verify(bearer, now)
            known = _Remembered(caller, self._client(caller.client_id), caller.standing, now)
            await self._revocations.require_not_revoked(known.standing)
            self._remember(key, known)
            return caller
        return await self._again(known, now)

    def recheck(self) -> None:
        """Ask the store about every token again: another process has revoked some."""
        for known in self._remembered.values():
            known.rechecked = _LONG_AGO

    def forget(self) -> None:
        """Verify every token anew: the keys have changed, or which scopes can work."""
        self._remembered.clear()

    def person(self, subject: str) -> User | None:
        """Return the user of a ``sub`` claim."""
        known = self._people.get(subject)
        return None if known is None else self._users.find(known.username)

    async def _again(self, known: _Remembered, now: datetime) -> Caller:
        caller = known.caller
        if now >= caller.expires:
            raise ExpiredTokenError("the token has expired")
        if now - known.rechecked >= self._settings.revocation_recheck:
            await self._revocations.require_not_revoked(known.standing)
            known.rechecked = now
        self._revocations.require_not_revoked_here(known.standing)
        if caller.user is not None and self.person(caller.subject) is None:
            raise UnknownCallerError("the token's user is not registered")
        return caller

    def _remember(self, key: bytes, known: _Remembered) -> None:
        self._remembered[key] = known
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _verify(self, bearer: str, now: datetime) -> Caller:
        claims = verify_access_token(bearer, self._keys)
        if claims.get("iss") != self._settings.issuer:
            raise WrongIssuerError("the token is of another issuer")
        if claims.get("aud") != self._settings.fhir_base:
            raise WrongAudienceError("the token is for another audience")
        if now.timestamp() >= numeric_date(claims, "exp"):
            raise ExpiredTokenError("the token has expired")
        if now.timestamp() < numeric_date(claims, "nbf"):
            raise NotYetValidError("the token is not valid yet")
        return self._caller(claims)

    def _client(self, client_id: str) -> Client:
        client = self._clients.find(client_id)
        if client is None:
            raise UnknownCallerError("the token's client is not registered")
        return client

    def _caller(self, claims: Claims) -> Caller:
        client = self._client(_text(claims, "client_id"))
        subject = _text(claims, "sub")
        person = None if subject == client.client_id else self.person(subject)
        if person is None and subject != client.client_id:
            raise UnknownCallerError("the token's user is not registered")
        key = _bound_to(claims)
        if client.bound and key is None:
            raise UnprovedTokenError("tokens of this client must be bound to a key by now")
        return Caller(
            client_id=client.client_id,
            client_name=client.name,
            subject=subject,
            organization=client.organization,
            user=person.fhir_user if person else None,
            user_name=person.name if person else None,
            organizations=_organizations(client, person),
            patient=_optional_text(claims, "patient"),
            encounter=_optional_text(claims, "encounter"),
            scopes=supported(_scopes(claims), self._support),
            purposes=_purposes(client, person),
            token_id=_text(claims, "jti"),
            grant_id=_text(claims, "grant"),
            issued=datetime.fromtimestamp(numeric_date(claims, "iat"), UTC),
            expires=datetime.fromtimestamp(numeric_date(claims, "exp"), UTC),
            system=client.system,
            key=key,
            acr=_optional_text(claims, "acr"),
            amr=_texts(claims, "amr"),
            auth_time=_auth_time(claims),
        )


def _texts(claims: Claims, name: str) -> tuple[str, ...]:
    value = claims.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MalformedTokenError(f"the claim {name} must be a list of texts")
    return tuple(value)


def _auth_time(claims: Claims) -> datetime | None:
    if claims.get("auth_time") is None:
        return None
    return datetime.fromtimestamp(numeric_date(claims, "auth_time"), UTC)


def _bound_to(claims: Claims) -> str | None:
    confirmation = claims.get("cnf")
    if confirmation is None:
        return None
    if not isinstance(confirmation, dict) or not isinstance(confirmation.get("jkt"), str):
        raise MalformedTokenError("the claim cnf cannot be read")
    return str(confirmation["jkt"])


def _organizations(client: Client, person: User | None) -> tuple[str, ...]:
    if person is not None:
        return person.organizations
    return (client.organization,) if client.organization else ()


def _purposes(client: Client, person: User | None) -> tuple[str, ...]:
    if person is None:
        return client.purposes
    return tuple(purpose for purpose in client.purposes if purpose in person.purposes)


def _scopes(claims: Claims) -> ScopeSet:
    try:
        return parse_scopes(_text(claims, "scope"))
    except ScopeParseError as error:
        raise MalformedTokenError("the claim scope cannot be read") from error


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise MalformedTokenError(f"the claim {name} must be a text")
    return value


def _optional_text(claims: Claims, name: str) -> str | None:
    return None if claims.get(name) is None else _text(claims, name)
