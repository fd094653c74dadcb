"""Which token a text is (RFC 7662, 2.2; SMART "Token Introspection"), for introspection and
revocation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from smart_auth.errors import BearerError
from smart_auth.people.users import UserRegistry
from smart_auth.settings import SmartSettings
from smart_auth.tokens.bearer import BearerAuthenticator, Caller, subject_of
from smart_auth.vault import Vault


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A living access or refresh token.

    Attributes:
        members: The introspection answer, without ``active``.
    """

    client_id: str
    grant_id: str
    members: dict[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenFinder:
    """Finds living tokens."""

    settings: SmartSettings
    authenticator: BearerAuthenticator
    users: UserRegistry
    vault: Vault
    clock: Callable[[], datetime] = field(repr=False)

    async def find(self, text: str) -> KnownToken | None:
        """Return the living token that ``text`` is, or None: unknown, expired or revoked."""
        try:
            caller = await self.authenticator.authenticate(text, self.clock())
        except BearerError:
            return await self._refresh_token(text)
        return KnownToken(caller.client_id, caller.grant_id, self._members(caller))

    def _members(self, caller: Caller) -> dict[str, object]:
        members: dict[str, object | None] = {
            "scope": str(caller.scopes),
            "client_id": caller.client_id,
            "token_type": "DPoP" if caller.key else "Bearer",
            "cnf": {"jkt": caller.key} if caller.key else None,
            "iss": self.settings.issuer,
            "sub": caller.subject,
            "aud": self.settings.fhir_base,
            "iat": int(caller.issued.timestamp()),
            "exp": int(caller.expires.timestamp()),
            "jti": caller.token_id,
            "patient": _id(caller.patient),
            "encounter": _id(caller.encounter),
            "acr": caller.acr,
            "amr": list(caller.amr) or None,
            "auth_time": int(caller.auth_time.timestamp()) if caller.auth_time else None,
            "fhirUser": f"{self.settings.fhir_base}/{caller.user}" if caller.user else None,
        }
        return {name: value for name, value in members.items() if value is not None}

    async def _refresh_token(self, text: str) -> KnownToken | None:
        grant = await self.vault.peek_refresh(text)
        if grant is None or self.users.find(grant.username) is None:
            return None
        members: dict[str, object] = {
            "scope": grant.scope,
            "client_id": grant.client_id,
            "iss": self.settings.issuer,
            "sub": subject_of(self.settings.issuer, grant.username),
        }
        return KnownToken(grant.client_id, grant.grant_id, members)


def _id(reference: str | None) -> str | None:
    """Return the id of a reference, as SMART's launch context has it."""
    return None if reference is None else reference.partition("/")[2]
