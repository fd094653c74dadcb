"""What a token answer holds (RFC 6749, 5.1; RFC 9068; OpenID Connect Core 1.0, 2; SMART
"Obtain access token": launch context, id_token, refresh token).

Consent is no part of any token: it is asked on every request.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from smart_auth.authorization.scopes import ScopeSet
from smart_auth.clients.registry import Client
from smart_auth.people.users import User
from smart_auth.settings import SmartSettings
from smart_auth.store import Grant
from smart_auth.tokens.bearer import subject_of
from smart_auth.tokens.jwt import SigningKeys, sign_access_token, sign_id_token

RandomBytes = Callable[[int], bytes]


class TokenBody(dict[str, object]):
    """A token answer whose ``repr`` says nothing, since Authlib writes it to its debug log."""

    def __repr__(self) -> str:
        return "<token answer>"


def random_text(random_bytes: RandomBytes) -> str:
    """Return 256 random bits as 43 characters of base64url."""
    return base64.urlsafe_b64encode(random_bytes(32)).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Issuer:
    """Makes token answers."""

    settings: SmartSettings
    keys: SigningKeys = field(repr=False)
    random_bytes: RandomBytes = field(repr=False)

    def backend_answer(
        self, client: Client, scopes: ScopeSet, now: datetime, jkt: str | None = None
    ) -> TokenBody:
        """Return the answer to client_credentials (SMART Backend Services): no refresh token.

        ``jkt`` is the thumbprint of the key that the access token is to be bound to.
        """
        lifetime = self.settings.backend_token_lifetime
        identifier = random_text(self.random_bytes)
        claims = self._claims(client, client.client_id, scopes, now, lifetime)
        claims |= {"jti": identifier, "grant": identifier}
        return self._body(claims, lifetime, scopes, jkt)

    def page_token(self, client: Client, person: User, scopes: ScopeSet, now: datetime) -> str:
        """Return an access token for what our own pages show to a person who is signed in."""
        lifetime = self.settings.backend_token_lifetime
        identifier = random_text(self.random_bytes)
        subject = subject_of(self.settings.issuer, person.username)
        claims = self._claims(client, subject, scopes, now, lifetime)
        claims |= {"jti": identifier, "grant": identifier}
        return sign_access_token(claims, self.keys)

    def granted_answer(
        self,
        client: Client,
        grant: Grant,
        scopes: ScopeSet,
        now: datetime,
        jkt: str | None = None,
    ) -> TokenBody:
        """Return the answer to a code or refresh token, its launch context included."""
        lifetime = self.settings.app_token_lifetime
        subject = subject_of(self.settings.issuer, grant.username)
        claims = self._claims(client, subject, scopes, now, lifetime)
        claims |= {"jti": random_text(self.random_bytes), "grant": grant.grant_id}
        context = {"patient": grant.patient, "encounter": grant.encounter}
        present = {name: value for name, value in context.items() if value is not None}
        claims |= {**present, **_authentication(grant)}
        body = self._body(claims, lifetime, scopes, jkt)
        body.update({name: _id_of(reference) for name, reference in present.items()})
        body.update(self._launch_members(grant))
        return body

    def id_token(
        self,
        client: Client,
        person: User,
        grant: Grant,
        scopes: ScopeSet,
        now: datetime,
        nonce: str | None = None,
    ) -> str:
        """Return an id_token (OpenID Connect Core 1.0, 2; SMART "fhirUser")."""
        expires = now + self.settings.app_token_lifetime
        claims: dict[str, object] = {
            "iss": self.settings.issuer,
            "sub": subject_of(self.settings.issuer, person.username),
            "aud": client.client_id,
            "iat": int(now.timestamp()),
            "exp": int(expires.timestamp()),
            **_authentication(grant),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        if "fhirUser" in scopes or "profile" in scopes:
            claims["fhirUser"] = claims["profile"] = self._fhir_user(person)
            claims["name"] = person.name
        return sign_id_token(claims, self.keys)

    def _claims(
        self, client: Client, subject: str, scopes: ScopeSet, now: datetime, lifetime: timedelta
    ) -> dict[str, object]:
        issued = int(now.timestamp())
        return {
            "iss": self.settings.issuer,
            "sub": subject,
            "aud": self.settings.fhir_base,
            "client_id": client.client_id,
            "iat": issued,
            "nbf": issued,
            "exp": issued + int(lifetime.total_seconds()),
            "scope": str(scopes),
        }

    def _body(
        self, claims: dict[str, object], lifetime: timedelta, scopes: ScopeSet, jkt: str | None
    ) -> TokenBody:
        bound = {} if jkt is None else {"cnf": {"jkt": jkt}}
        return TokenBody(
            access_token=sign_access_token({**claims, **bound}, self.keys),
            token_type="DPoP" if bound else "Bearer",
            expires_in=int(lifetime.total_seconds()),
            scope=str(scopes),
        )

    def _launch_members(self, grant: Grant) -> dict[str, object]:
        members: dict[str, object] = {}
        if grant.patient is not None:
            members["need_patient_banner"] = grant.need_patient_banner
            members["smart_style_url"] = self.settings.style_url
        if grant.intent is not None:
            members["intent"] = grant.intent
        context = json.loads(grant.fhir_context)
        if context:
            members["fhirContext"] = context
        return members

    def _fhir_user(self, person: User) -> str:
        return f"{self.settings.fhir_base}/{person.fhir_user}"


def _authentication(grant: Grant) -> dict[str, object]:
    """Return how and when the person signed in (RFC 9068, 2.2.1; OpenID Connect Core 1.0, 2)."""
    told: dict[str, object] = {"auth_time": grant.auth_time}
    if grant.acr is not None:
        told |= {"acr": grant.acr, "amr": list(grant.amr)}
    return told


def _id_of(reference: str) -> str:
    """Return the id of a relative reference: the launch context holds bare ids."""
    return reference.rpartition("/")[2]
