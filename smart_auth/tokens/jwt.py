"""JSON Web Tokens: keys, signatures and claims; with signed_proofs.py the only importer of joserfc.

* Access tokens: ``at+jwt`` (RFC 9068), ES384.
* id_tokens: OpenID Connect Core 1.0, 2; RS256, because conformance kits accept nothing else.
* Client assertions: RFC 7523 with the algorithms of SMART ("Client Authentication: Asymmetric"),
  ES384 and RS384; of clients under FAPI 2.0: PS256, ES256 and ES384.

Stored form of the keys (our own): a JWK set in JSON with one member more, ``"version": 1``.  The
first key of an algorithm signs; all of them verify, so a new key is put in front.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite

from joserfc import jws, jwt
from joserfc.errors import BadSignatureError as JoseSignatureError
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, KeyParameters, RSAKey

from smart_auth.errors import (
    BadSignatureError,
    ConfigurationError,
    InvalidClientError,
    MalformedTokenError,
)

Claims = Mapping[str, object]
Jwk = dict[str, object]

ACCESS_ALGORITHM = "ES384"
ID_ALGORITHM = "RS256"
ASSERTION_ALGORITHMS = ("ES384", "RS384")  # SMART
FAPI_ALGORITHMS = ("PS256", "ES256", "ES384")  # FAPI 2.0, 5.4.1 has no RSA with PKCS #1 v1.5

_FOREIGN_KEYS = ("jwk", "jku", "x5u", "x5c", "crit")
_CURVES = {"P-384": ("ES384",), "P-256": ("ES256",)}
_SMALLEST_RSA, _BIGGEST_RSA = 2048, 8192  # bits
_LONGEST_EXPONENT = 6  # digits of base64url: four bytes
_VERSION = 1
_MOST_KEYS = 20
BIGGEST_TOKEN = 16384


@dataclass(slots=True)
class SigningKeys:
    """The server's private keys: the first of each list signs.  They may be renewed (signing_keys.py)."""

    access: tuple[ECKey, ...] = field(repr=False)
    identity: tuple[RSAKey, ...] = field(repr=False)

    def take(self, other: SigningKeys) -> None:
        """Hold the keys of ``other`` from now on."""
        self.access, self.identity = other.access, other.identity

    def public_jwks(self) -> dict[str, object]:
        """Return the public halves as a JWK set (RFC 7517), for ``jwks_uri``."""
        keys: tuple[Key, ...] = (*self.access, *self.identity)
        return {"keys": [dict(key.as_dict(private=False)) for key in keys]}


def generate_keys() -> bytes:
    """Make a P-384 key for access tokens and a 3072-bit RSA key for id_tokens; stored form."""
    access = ECKey.generate_key("P-384", _key_members(ACCESS_ALGORITHM))
    identity = RSAKey.generate_key(3072, _key_members(ID_ALGORITHM))
    keys = [key.as_dict(private=True) for key in (access, identity)]
    return json.dumps({"version": _VERSION, "keys": keys}).encode()


def load_keys(stored: bytes) -> SigningKeys:
    """Read what ``generate_keys`` made.

    Raises:
        ConfigurationError: Another version, no key of an algorithm, or not our form.
    """
    try:
        document = json.loads(stored)
        if document["version"] != _VERSION:
            raise ConfigurationError("signing keys: unknown version")
        keys = [JWKRegistry.import_key(key) for key in document["keys"]]
    except (ValueError, KeyError, TypeError, JoseError) as error:
        raise ConfigurationError("signing keys: not a stored key set") from error
    access = tuple(key for key in keys if isinstance(key, ECKey) and key.is_private)
    identity = tuple(key for key in keys if isinstance(key, RSAKey) and key.is_private)
    if not access or not identity:
        raise ConfigurationError("signing keys: one EC and one RSA private key are needed")
    return SigningKeys(access, identity)


def sign_access_token(claims: Claims, keys: SigningKeys) -> str:
    """Return an ``at+jwt`` (RFC 9068, 2) with these claims."""
    return _sign(claims, keys.access[0], ACCESS_ALGORITHM, "at+jwt")


def sign_id_token(claims: Claims, keys: SigningKeys) -> str:
    """Return an id_token (OpenID Connect Core 1.0, 2) with these claims."""
    return _sign(claims, keys.identity[0], ID_ALGORITHM, "JWT")


def verify_access_token(token: str, keys: SigningKeys) -> dict[str, object]:
    """Return the claims of an access token that we signed; times and audience are not looked at.

    Raises:
        MalformedTokenError: Not an ``at+jwt`` in ES384 (RFC 9068, 4), or it brings its own key.
        BadSignatureError: Its key is not ours or the signature does not match.
    """
    header = _header_of(token)
    if header is None or str(header.get("typ", "")).lower() not in ("at+jwt", "application/at+jwt"):
        raise MalformedTokenError("not an at+jwt access token")
    if header.get("alg") != ACCESS_ALGORITHM or any(name in header for name in _FOREIGN_KEYS):
        raise MalformedTokenError("the token's header is not one of ours")
    key = next((key for key in keys.access if key.kid == header.get("kid")), None)
    if key is None:
        raise BadSignatureError("the token's key is not one of ours")
    try:
        return dict(jwt.decode(token, key, algorithms=[ACCESS_ALGORITHM]).claims)
    except JoseSignatureError as error:
        raise BadSignatureError("the token's signature does not match") from error
    except (JoseError, ValueError) as error:
        raise MalformedTokenError("the token cannot be read") from error


def generate_client_key(algorithm: str) -> Jwk:
    """Make a private JWK for a client: of the algorithm's curve, or RSA with 3072 bits.

    Raises:
        ConfigurationError: Not an algorithm of client assertions.
    """
    if algorithm not in (*ASSERTION_ALGORITHMS, *FAPI_ALGORITHMS):
        raise ConfigurationError("a client key is for ES384, RS384, ES256 or PS256")
    members = _key_members(algorithm)
    curve = next((name for name, fitting in _CURVES.items() if algorithm in fitting), None)
    key: Key = (
        RSAKey.generate_key(3072, members) if curve is None else ECKey.generate_key(curve, members)
    )
    return dict(key.as_dict(private=True))


def public_jwks(private_key: Jwk) -> dict[str, object]:
    """Return the JWK set with the public half of one private key, to register a client with."""
    return {"keys": [dict(import_key(private_key).as_dict(private=False))]}


def client_assertion(key: Jwk, client_id: str, token_url: str, now: datetime, alg: str) -> str:
    """Return a client assertion for 4 minutes (SMART, "Client Authentication: Asymmetric")."""
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": token_url,
        "exp": int((now + timedelta(minutes=4)).timestamp()),
        "jti": secrets.token_urlsafe(24),
    }
    return _sign(claims, import_key(key), alg, "JWT")


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """The public keys of a client: registered, or fetched from where it registered."""

    keys: tuple[Key, ...] = field(repr=False)

    def fitting(self, kid: object, algorithm: str) -> tuple[Key, ...]:
        """Return the keys for a ``kid`` and algorithm; ``kid`` may lack when there is one key."""
        named = [key for key in self.keys if key.kid == kid]
        if kid is None and len(self.keys) == 1:
            named = list(self.keys)
        return tuple(key for key in named if algorithm in algorithms_of(key))


def load_client_keys(
    jwks: object, algorithms: Collection[str] = ASSERTION_ALGORITHMS
) -> ClientKeys:
    """Read the ``jwks`` of a client's registration (RFC 7591, 2), or what its ``jwks_uri`` holds.

    Raises:
        ConfigurationError: Not a JWK set, a private key in it, too many, or none for ``algorithms``.
    """
    members = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(members, list):
        raise ConfigurationError("jwks must be a JWK set: an object with a list named keys")
    if len(members) > _MOST_KEYS:
        raise ConfigurationError(f"jwks must hold {_MOST_KEYS} keys at most")
    keys = tuple(import_key(member) for member in members)
    if any(key.is_private for key in keys):
        raise ConfigurationError("jwks must hold public keys only: a private key is in it")
    if not any(name in algorithms for key in keys for name in algorithms_of(key)):
        wanted = " or ".join(algorithms)
        raise ConfigurationError(f"jwks must hold a key for {wanted}; RSA of 2048 bits or more")
    return ClientKeys(keys)


def unverified_subject(assertion: str) -> str:
    """Return who an assertion says it is from, before any proof: only to find the client's keys.

    Raises:
        InvalidClientError: It is not a JWT with a text ``sub`` equal to ``iss`` (RFC 7523, 3).
    """
    claims = _claims_of(assertion)
    subject = claims.get("sub")
    if not isinstance(subject, str) or claims.get("iss") != subject:
        raise InvalidClientError("iss and sub of the assertion must both be the client_id")
    return subject


def key_named_by(assertion: str) -> tuple[object, str]:
    """Return the ``kid`` (or None) and ``alg`` that an assertion's header says, before any proof.

    Raises:
        InvalidClientError: There is no header that can be read.
    """
    header = _header_of(assertion)
    if header is None:
        raise InvalidClientError("the assertion is not a signed JWT")
    return header.get("kid"), str(header.get("alg"))


def verify_assertion(
    assertion: str, keys: ClientKeys, algorithms: Collection[str] = ASSERTION_ALGORITHMS
) -> dict[str, object]:
    """Return the claims of an assertion signed with one of the client's keys.

    Raises:
        InvalidClientError: Another algorithm than ``algorithms``, a key brought along in the
            header, no key of that ``kid``, or the signature does not match.
    """
    header = _header_of(assertion)
    if header is None or any(name in header for name in _FOREIGN_KEYS):
        raise InvalidClientError("the assertion's header is not acceptable")
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise InvalidClientError("the assertion's typ must be JWT")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidClientError(f"the assertion must be signed with {' or '.join(algorithms)}")
    fitting = keys.fitting(header.get("kid"), algorithm)
    if not fitting:
        raise InvalidClientError("no registered key fits the assertion's kid and alg")
    return _decode_assertion(assertion, fitting[0], algorithm)


def numeric_date(claims: Claims, name: str) -> float:
    """Return a NumericDate claim (RFC 7519, 2) in seconds.

    Raises:
        MalformedTokenError: Absent, or not a finite number.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise MalformedTokenError(f"the claim {name} must be a number")
    return value


def _decode_assertion(assertion: str, key: Key, algorithm: str) -> dict[str, object]:
    try:
        return dict(jwt.decode(assertion, key, algorithms=[algorithm]).claims)
    except (JoseError, ValueError) as error:
        raise InvalidClientError("the assertion's signature does not match") from error


def _sign(claims: Claims, key: Key, algorithm: str, type_: str) -> str:
    header: dict[str, object] = {"alg": algorithm, "kid": key.kid, "typ": type_}
    return jwt.encode(header, dict(claims), key, algorithms=[algorithm])


def _header_of(token: str) -> dict[str, object] | None:
    """Return the header of a compact JWS, unverified; None when there is none to read."""
    if len(token) > BIGGEST_TOKEN or token.count(".") != 2:
        return None
    try:
        return dict(jws.extract_compact(token.encode("ascii")).headers())
    except (JoseError, ValueError, TypeError, RecursionError):
        return None


def _claims_of(assertion: str) -> dict[str, object]:
    if _header_of(assertion) is None:
        raise InvalidClientError("the assertion is not a signed JWT")
    try:
        claims = json.loads(jws.extract_compact(assertion.encode("ascii")).payload)
    except (JoseError, ValueError, RecursionError) as error:
        raise InvalidClientError("the assertion's claims cannot be read") from error
    if not isinstance(claims, dict):
        raise InvalidClientError("the assertion's claims cannot be read")
    return claims


def import_key(member: object) -> Key:
    """Read one JWK (RFC 7517, 4).

    Raises:
        ConfigurationError: It is not one that can be read.
    """
    if not isinstance(member, dict):
        raise ConfigurationError("a key must be a JWK object")
    try:
        key = JWKRegistry.import_key(member)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError("a key is not a JWK that can be read") from error
    key.ensure_kid()
    return key


def algorithms_of(key: Key) -> Collection[str]:
    """Return which of the assertion algorithms a key may be used with."""
    if key.get("use") not in (None, "sig"):
        return ()
    fitting: tuple[str, ...] = ()
    if isinstance(key, ECKey):
        fitting = _CURVES.get(key.curve_name, ())
    if isinstance(key, RSAKey) and _is_reasonable(key):
        fitting = ("RS384", "PS256", "RS256")
    return [name for name in fitting if key.get("alg") in (None, name)]


def _is_reasonable(key: RSAKey) -> bool:
    """Whether an RSA key is long enough, and not made so that checking its signatures takes long."""
    exponent = str(key.get("e"))
    return (
        _SMALLEST_RSA <= key.raw_value.key_size <= _BIGGEST_RSA
        and len(exponent) <= _LONGEST_EXPONENT
    )


def _key_members(algorithm: str) -> KeyParameters:
    return {"alg": algorithm, "use": "sig", "kid": secrets.token_urlsafe(12)}
