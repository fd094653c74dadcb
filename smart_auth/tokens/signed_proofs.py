"""DPoP proofs as signed JWTs (RFC 9449, 4.2): the key is in the header, the signature fits it.

What a proof must say is proof_of_possession.py.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import dataclass
from functools import lru_cache

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from smart_auth.errors import ConfigurationError, InvalidProofError
from smart_auth.strict_json import read_json
from smart_auth.tokens.jwt import BIGGEST_TOKEN, Claims, algorithms_of, import_key

PROOF_ALGORITHMS = ("ES256", "ES384", "PS256", "RS256")

_BIGGEST_HEADER = 4096
_PROOFS = JWSRegistry(algorithms=PROOF_ALGORITHMS)
_PROOFS.max_header_length = _BIGGEST_HEADER  # it holds a key


@dataclass(frozen=True, slots=True)
class SignedProof:
    """A DPoP proof whose signature fits the key in its header.

    Attributes:
        thumbprint: Of that key (RFC 7638, SHA-256).
    """

    claims: Claims
    thumbprint: str
    algorithm: str


def verify_proof(proof: str) -> SignedProof:
    """Return what a DPoP proof says (RFC 9449, 4.3, points 2 to 7); claims are not looked at.

    Raises:
        InvalidProofError: Not one compact JWS of that type in an acceptable algorithm, its key is
            private, weak or missing, or the signature does not match it.
    """
    if len(proof) > BIGGEST_TOKEN or proof.count(".") != 2 or not proof.isascii():
        raise InvalidProofError("the DPoP header must be one signed JWT")
    key, algorithm, thumbprint = _proof_key(proof[: proof.index(".")])
    try:
        claims = dict(jwt.decode(proof, key, registry=_PROOFS).claims)
    except (JoseError, ValueError, RecursionError) as error:
        raise InvalidProofError("the proof's signature does not match") from error
    return SignedProof(claims, thumbprint, algorithm)


@lru_cache(maxsize=1024)  # a client's proofs all have the same header
def _proof_key(head: str) -> tuple[Key, str, str]:
    header = _proof_header(head)
    if header.get("typ") != "dpop+jwt" or "crit" in header:
        raise InvalidProofError("the proof's header is not one of a dpop+jwt")
    algorithm, member = header.get("alg"), header.get("jwk")
    if not isinstance(algorithm, str) or algorithm not in PROOF_ALGORITHMS:
        raise InvalidProofError(f"the proof must be signed with {' or '.join(PROOF_ALGORITHMS)}")
    if not isinstance(member, dict):
        raise InvalidProofError("the proof's header must hold its key as jwk")
    try:
        key = import_key(member)
    except ConfigurationError as error:
        raise InvalidProofError("the proof's jwk cannot be read") from error
    if key.is_private or "d" in member or "k" in member:
        raise InvalidProofError("the proof's jwk must be a public key")
    if algorithm not in algorithms_of(key):
        raise InvalidProofError("the proof's jwk is not a key for its algorithm")
    return key, algorithm, key.thumbprint()


def _proof_header(head: str) -> dict[str, object]:
    try:
        header = read_json(urlsafe_b64decode(head + "==")) if len(head) <= _BIGGEST_HEADER else None
    except ValueError as error:
        raise InvalidProofError("the proof's header cannot be read") from error
    if not isinstance(header, dict):
        raise InvalidProofError("the proof's header cannot be read")
    return header
