"""id_tokens of another issuer (OpenID Connect Core 1.0, 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from smart_auth.errors import (
    BadSignatureError,
    ExpiredTokenError,
    MalformedTokenError,
    WrongAudienceError,
    WrongIssuerError,
)
from smart_auth.tokens.jwt import numeric_date

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "RS384", "PS384")
_LEEWAY = 60  # seconds: clocks of two houses
_OLDEST = 600  # seconds since it was issued
_LONGEST_SUBJECT = 255


def verify_outside_id_token(
    token: str,
    jwks: Mapping[str, object],
    issuer: str,
    client_id: str,
    nonce: str,
    now: datetime,
) -> dict[str, object]:
    """Return the claims of an id_token that ``issuer`` has just made for ``client_id``.

    Raises:
        MalformedTokenError: Not a signed JWT in an algorithm of theirs, or a claim is missing.
        BadSignatureError: None of the keys made its signature.
        WrongIssuerError: Of another issuer.
        WrongAudienceError: For another client, or the answer to another request.
        ExpiredTokenError: Too old.
    """
    try:
        keys = KeySet.import_key_set({"keys": jwks["keys"]})  # type: ignore[typeddict-item]
        claims = dict(jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadSignatureError("the id_token is not one that its issuer signed") from error
    if claims.get("iss") != issuer:
        raise WrongIssuerError("the id_token is of another issuer")
    _require_audience(claims, client_id, nonce)
    moment = now.timestamp()
    if moment > numeric_date(claims, "exp") + _LEEWAY:
        raise ExpiredTokenError("the id_token has expired")
    if abs(moment - numeric_date(claims, "iat")) > _OLDEST:
        raise ExpiredTokenError("the id_token was not made just now")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise MalformedTokenError("the id_token names nobody")
    return claims


def _require_audience(claims: Mapping[str, object], client_id: str, nonce: str) -> None:
    told = claims.get("aud")
    audiences = told if isinstance(told, list) else [told]
    if client_id not in audiences:
        raise WrongAudienceError("the id_token is for another client")
    if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != client_id:
        raise WrongAudienceError("the id_token was asked for by another client")
    if claims.get("nonce") != nonce:
        raise WrongAudienceError("the id_token answers another request")
