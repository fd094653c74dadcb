"""Proofs of possession (RFC 9449, DPoP): who sends a token also proves to hold a key, for this very
request, and the token is good with that key only.

A proof is a JWT signed with the key that its own header brings.  It names the method and URL of the
request, was made in the last minute, and is taken once: its ``jti`` is noted in the store, for all
workers.  A nonce of ours shows that it was not made long before; it needs no store, because it is a
MAC of the minute under a key in the register.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from smart_auth.clients.registry import Client, assertion_algorithms
from smart_auth.errors import (
    AlreadyThereError,
    ChangedError,
    InvalidProofError,
    MalformedTokenError,
    UseNonceError,
)
from smart_auth.store import Entry, GrantStore, RegisterStore, digest
from smart_auth.tokens.jwt import Claims, numeric_date
from smart_auth.tokens.signed_proofs import SignedProof, verify_proof

WINDOW = timedelta(seconds=60)
_AHEAD = timedelta(seconds=10)  # how much faster the clock of a client may go
_MINUTE = 60
_NONCE_MINUTES = 5
_DEFAULT_PORTS = {"https": 443, "http": 80}
_SECRET = digest("dpop-nonce")


@dataclass(frozen=True, slots=True)
class Sent:
    """A proof and the request that it came with.

    Attributes:
        text: The ``DPoP`` header; empty when there was none.
        methods: What the request's method may be called.
        url: Absolute; query and fragment do not count.
    """

    text: str = field(repr=False)
    methods: tuple[str, ...]
    url: str


@dataclass(frozen=True, slots=True)
class ProvedBefore:
    """The thumbprint of a key that the request which this one is a part of has proved to hold."""

    thumbprint: str


class Proofs:
    """Checks proofs, each once."""

    def __init__(self, store: GrantStore, register: RegisterStore) -> None:
        self._store = store
        self._register = register
        self._secret = b""

    async def require(
        self,
        sent: Sent,
        now: datetime,
        *,
        token: str | None = None,
        client: Client | None = None,
    ) -> str:
        """Return the thumbprint (RFC 7638) of the key that this request proves to be sent with.

        Args:
            token: The access token that comes with it, whose hash the proof must hold (``ath``).
            client: Under FAPI 2.0 it must use a nonce, and FAPI's algorithms.

        Raises:
            InvalidProofError: The proof is not for this request, too old, used, or none at all.
            UseNonceError: It lacks the server's nonce, or has an old one.
        """
        proof = verify_proof(sent.text)
        _require_request(proof.claims, sent)
        if token is not None and proof.claims.get("ath") != _hash(token):
            raise InvalidProofError("ath must be the hash of the access token")
        strict = client is not None and client.fapi
        if strict and proof.algorithm not in assertion_algorithms(fapi=True):
            raise InvalidProofError("the proof's algorithm is not one of FAPI 2.0")
        await self._require_nonce(proof.claims, now, needed=strict)
        await self._require_fresh(proof, now)
        return proof.thumbprint

    async def nonce(self, now: datetime) -> str:
        """Return the nonce of this minute; good for five."""
        return _nonce(await self._key(), _minute(now))

    async def _require_nonce(self, claims: Claims, now: datetime, *, needed: bool) -> None:
        given = claims.get("nonce")
        if given is None and not needed:
            return
        key, minute = await self._key(), _minute(now)
        good = [_nonce(key, minute - age) for age in range(_NONCE_MINUTES)]
        if not isinstance(given, str) or not any(_is_same(given, each) for each in good):
            raise UseNonceError("the proof must hold the server's nonce", good[0])

    async def _require_fresh(self, proof: SignedProof, now: datetime) -> None:
        try:
            made = numeric_date(proof.claims, "iat")
        except MalformedTokenError as error:
            raise InvalidProofError("iat must be a number") from error
        moment = now.timestamp()
        if made < moment - WINDOW.total_seconds() or made > moment + _AHEAD.total_seconds():
            raise InvalidProofError("the proof was not made in the last minute")
        jti = proof.claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= 255:
            raise InvalidProofError("jti must be a text of 1 to 255 characters")
        until = datetime.fromtimestamp(made, UTC) + WINDOW + timedelta(seconds=1)
        key = digest(f"{proof.thumbprint}\n{jti.encode('utf-8', 'backslashreplace').hex()}")
        try:
            await self._store.add("dpop-jti", key, b"\x01", until)
        except AlreadyThereError as error:
            raise InvalidProofError("the proof was used before") from error

    async def _key(self) -> bytes:
        """Return the key of nonces, the same in all processes."""
        while not self._secret:
            entry = await self._register.find("nonce-key", _SECRET)
            if entry is not None:
                self._secret = entry.value
                break
            try:
                await self._register.save(
                    "nonce-key", Entry(_SECRET, "", 0, secrets.token_bytes(32))
                )
            except ChangedError:
                continue  # another process was faster: take its key
        return self._secret


def _require_request(claims: Claims, sent: Sent) -> None:
    if claims.get("htm") not in sent.methods:
        raise InvalidProofError("htm must be the request's method")
    named = claims.get("htu")
    if not isinstance(named, str) or _normal(named) != _normal(sent.url):
        raise InvalidProofError("htu must be the request's URL without query and fragment")


def _normal(url: str) -> tuple[str, str, int | None, str]:
    """Return scheme, host, port and path as they are compared (RFC 9449, 4.3; RFC 3986, 6.2.2)."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        host = parts.hostname or ""
    except ValueError:
        return "", "", None, ""
    if "@" in parts.netloc:
        return "", "", None, ""
    return parts.scheme, host, port, unquote(parts.path).rstrip("/")


def _hash(token: str) -> str:
    made = sha256(token.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _minute(now: datetime) -> int:
    return int(now.timestamp()) // _MINUTE


def _nonce(key: bytes, minute: int) -> str:
    told = minute.to_bytes(8, "big")
    made = hmac.digest(key, b"dpop-nonce" + told, "sha256")[:16]
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _is_same(given: str, good: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), good.encode())
