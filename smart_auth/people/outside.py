"""Signing in at an outside OpenID provider: the code flow with PKCE (OpenID Connect Core 1.0, 3.1;
RFC 9700, 2.1), from the client's side.

Who signs in there must be a user here: her ``outside`` is the provider's ``sub`` for her, which
alone is stable (OpenID Connect Core 1.0, 5.7).  Nobody is made by signing in.

What waits while the browser is at the provider lies in the store under the digest of ``state``,
bound to the browser's cookie, and is used once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Protocol

from smart_auth.authorization.request import read_parameters
from smart_auth.errors import BadSignatureError, BearerError, PageError, ProviderError
from smart_auth.exchange import HttpRequest
from smart_auth.people.assurance import TWO_FACTORS
from smart_auth.people.browser import Visitor
from smart_auth.people.users import User, UserRegistry
from smart_auth.settings import SmartSettings
from smart_auth.store import digest
from smart_auth.tokens.issuing import random_text
from smart_auth.tokens.outside_tokens import verify_outside_id_token
from smart_auth.vault import Vault

_KIND = "outside"
_METHOD = re.compile("[a-z0-9]{2,8}")
_MOST_METHODS = 8
_AWAY = "Signing in there did not work. Try again."


@dataclass(frozen=True, slots=True)
class Errand:
    """A browser that is at the provider.

    Attributes:
        sign_in: Handle of the sign-in that it is for.
        cookie: Digest of the browser's cookie.
    """

    sign_in: str = field(repr=False)
    cookie: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class IdentityProvider(Protocol):
    """An outside OpenID provider; ``fhir_server`` implements it.

    Attributes:
        name: What people call it.
        origin: Of its authorization endpoint: where the form that begins it leads.
    """

    name: str
    issuer: str
    client_id: str

    async def address(self, back: str, state: str, errand: Errand) -> str:
        """Return the URL of an authentication request; ``back`` is where it answers to.

        Raises:
            ProviderError: It does not answer, or not as an OpenID provider.
        """
        ...

    async def redeem(self, back: str, code: str, errand: Errand) -> str:
        """Return the id_token that a code is good for.

        Raises:
            ProviderError: There is none, or the provider does not answer.
        """
        ...

    async def keys(self, *, fresh: bool = False) -> Mapping[str, object]:
        """Return its JWK set: what was fetched before, if it need not be ``fresh``.

        Raises:
            ProviderError: It does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who came back from the provider.

    Attributes:
        sign_in: Handle of the sign-in that it is for.
        amr: With what she showed who she is (RFC 8176); ``mfa`` if that was two factors.
    """

    sign_in: str = field(repr=False)
    person: User
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """Sends browsers to the provider, and knows who came back."""

    provider: IdentityProvider
    settings: SmartSettings
    users: UserRegistry
    vault: Vault
    clock: Callable[[], datetime] = field(repr=False)

    async def begin(self, visitor: Visitor, sign_in: str) -> str:
        """Return where to send a browser whose sign-in of this handle is to be done outside.

        Raises:
            PageError: The provider does not answer.
        """
        state, nonce, verifier = (random_text(self.vault.random_bytes) for _ in range(3))
        errand = Errand(sign_in, digest(visitor.cookie), nonce, verifier)
        try:
            address = await self.provider.address(self.settings.outside_page, state, errand)
        except ProviderError as error:
            raise self._down() from error
        expires = self.clock() + self.settings.page_lifetime
        kept = json.dumps(asdict(errand)).encode()
        await self.vault.store.put(_KIND, digest(state), kept, expires)
        return address

    async def arrive(self, request: HttpRequest, visitor: Visitor) -> Arrival:
        """Return who came back (OpenID Connect Core 1.0, 3.1.2.5 to 3.1.3.7).

        Raises:
            PageError: It is another browser or another answer than the one awaited, the provider
                says no, or the person is not a user here.
        """
        answer = read_parameters(request.query)
        kept = await self.vault.store.take(_KIND, digest(answer.get("state", "")))
        if kept is None:
            raise PageError("This page has expired or was used already.")
        errand = Errand(**json.loads(kept))
        if errand.cookie != digest(visitor.cookie):
            raise PageError("This answer does not belong to this browser.", status=403)
        foreign = answer.get("iss", self.provider.issuer) != self.provider.issuer  # RFC 9207
        if foreign or "code" not in answer:
            raise PageError(_AWAY, status=403)
        claims = await self._claims(answer["code"], errand)
        person = self.users.find_outside(str(claims["sub"]))
        if person is None:
            raise PageError("You are not registered here. Ask the clinic.", status=403)
        return Arrival(errand.sign_in, person, _methods(claims))

    async def _claims(self, code: str, errand: Errand) -> Mapping[str, object]:
        provider = self.provider
        try:
            token = await provider.redeem(self.settings.outside_page, code, errand)
            return await self._verified(token, errand)
        except ProviderError as error:
            raise self._down() from error
        except BearerError as error:
            raise PageError(_AWAY, status=403) from error

    async def _verified(self, token: str, errand: Errand) -> Mapping[str, object]:
        expected = self.provider.issuer, self.provider.client_id, errand.nonce, self.clock()
        try:
            return verify_outside_id_token(token, await self.provider.keys(), *expected)
        except BadSignatureError:  # it may have new keys
            keys = await self.provider.keys(fresh=True)
            return verify_outside_id_token(token, keys, *expected)

    def _down(self) -> PageError:
        return PageError(f"{self.provider.name} does not answer. Try again later.", status=503)


def _methods(claims: Mapping[str, object]) -> tuple[str, ...]:
    """Return ``amr``; two factors if the provider says so there or by ``acr``."""
    told = claims.get("amr")
    plain = [m for m in told if isinstance(m, str)] if isinstance(told, list) else []
    methods = [m for m in plain if _METHOD.fullmatch(m)][:_MOST_METHODS]
    both = "mfa" in plain or claims.get("acr") == TWO_FACTORS
    return tuple(dict.fromkeys([*methods, *(["mfa"] if both else [])]))
