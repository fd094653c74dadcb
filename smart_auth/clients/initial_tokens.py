"""Initial access tokens (RFC 7591, 3 and 1.2): who has one may register clients, within its terms.

The operator makes them.  Stored form (our own): ``0x01 | JSON object in UTF-8``; kind
``initial-token``, key the digest of the token.  One that is used up or has expired stays until the
next one is made.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from smart_auth.authorization.scopes import parse_scopes
from smart_auth.clients.registered import Terms
from smart_auth.errors import ChangedError, ConfigurationError, RegistrationTokenError
from smart_auth.reading import REFERENCE
from smart_auth.store import Entry, RegisterStore, digest
from smart_auth.tokens.issuing import RandomBytes, random_text

_KIND = "initial-token"
_VERSION = b"\x01"
_CODE = re.compile(r"[A-Za-z]{2,20}")


@dataclass(frozen=True, slots=True)
class InitialToken:
    """What an initial access token is good for.

    Attributes:
        uses: How many clients may still register with it.
        expires: Seconds since the epoch.
    """

    terms: Terms
    uses: int
    expires: float


class InitialTokens:
    """Makes initial access tokens, and takes them."""

    def __init__(self, register: RegisterStore, random_bytes: RandomBytes) -> None:
        self._register = register
        self._random_bytes = random_bytes

    async def make(self, terms: Terms, uses: int, expires: datetime, now: datetime) -> str:
        """Return a new token; forget those that are good for nothing any more.

        Raises:
            ConfigurationError: The terms, ``uses`` or ``expires`` make no sense.
        """
        if not parse_scopes(terms.scope):
            raise ConfigurationError("an initial access token needs scopes that clients may have")
        if terms.organization is not None and REFERENCE.fullmatch(terms.organization) is None:
            raise ConfigurationError("the organization must be a reference: Organization/1")
        if not all(_CODE.fullmatch(purpose) for purpose in terms.purposes):
            raise ConfigurationError("a purpose must be a code of v3-ActReason such as TREAT")
        if not 1 <= uses <= 10_000 or expires <= now:
            raise ConfigurationError("a token is good for 1 to 10,000 uses, and for some time")
        for entry in await self._register.of(_KIND):
            if not _is_good(_unpack(entry), now):
                await self._register.drop(_KIND, entry.key)
        text = random_text(self._random_bytes)
        token = InitialToken(terms, uses, expires.timestamp())
        await self._register.save(_KIND, Entry(digest(text), "", 0, _pack(token)))
        return text

    async def terms_of(self, text: str, now: datetime) -> Terms:
        """Return what a token is good for, without using it.

        Raises:
            RegistrationTokenError: Unknown, expired or used up.
        """
        return (await self._find(text, now))[1].terms

    async def use(self, text: str, now: datetime) -> None:
        """Use a token once: of callers at the same moment no more succeed than it has uses.

        Raises:
            RegistrationTokenError: Unknown, expired or used up.
        """
        while True:
            entry, token = await self._find(text, now)
            used = replace(entry, value=_pack(replace(token, uses=token.uses - 1)))
            try:
                return await self._register.save(_KIND, used)
            except ChangedError:
                continue  # somebody else used it meanwhile: look again

    async def _find(self, text: str, now: datetime) -> tuple[Entry, InitialToken]:
        entry = await self._register.find(_KIND, digest(text))
        token = None if entry is None else _unpack(entry)
        if entry is None or token is None or not _is_good(token, now):
            raise RegistrationTokenError("the initial access token is unknown, expired or used up")
        return entry, token


def _is_good(token: InitialToken, now: datetime) -> bool:
    return token.uses > 0 and now.timestamp() < token.expires


def _pack(token: InitialToken) -> bytes:
    return _VERSION + json.dumps(asdict(token)).encode()


def _unpack(entry: Entry) -> InitialToken:
    if entry.value[:1] != _VERSION:
        raise ValueError("unknown version of a stored token")
    members = json.loads(entry.value[1:])
    terms = Terms(**{**members["terms"], "purposes": tuple(members["terms"]["purposes"])})
    return InitialToken(**{**members, "terms": terms})
