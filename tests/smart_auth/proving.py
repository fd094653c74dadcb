"""What a client does to prove that it holds a key (RFC 9449, 4.2)."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, JWKRegistry, RSAKey

from tests.smart_auth.conftest import TOKEN_URL, House

REGISTRY = jws.JWSRegistry(
    algorithms=["ES256", "ES384", "PS256", "RS256", "RS384", "ES512", "HS256"]
)


@dataclass
class Prover:
    """A client's key, and its proofs."""

    house: House
    algorithm: str = "ES256"
    key: Any = field(default_factory=lambda: ECKey.generate_key("P-256"))

    @classmethod
    def of(cls, house: House, algorithm: str) -> Prover:
        curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
        curve = curves.get(algorithm)
        key = ECKey.generate_key(curve) if curve else RSAKey.generate_key(2048)
        return cls(house, algorithm, key)

    @property
    def thumbprint(self) -> str:
        return str(self.key.thumbprint())

    def proof(
        self,
        method: str = "POST",
        url: str = TOKEN_URL,
        token: str | None = None,
        header: dict[str, Any] | None = None,
        **changed: Any,
    ) -> str:
        """A good proof, changed here and there; a member that is ``...`` is left out."""
        claims = {
            "jti": secrets.token_urlsafe(12),
            "htm": method,
            "htu": url,
            "iat": int(self.house.clock.now.timestamp()),
        }
        if token is not None:
            digest = sha256(token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        public = self.key.as_dict(private=False)
        full = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": public} | (header or {})
        full = {name: value for name, value in full.items() if value is not ...}
        claims = {n: v for n, v in (claims | changed).items() if v is not ...}
        payload = json.dumps(claims).encode()
        return jws.serialize_compact(full, payload, self.key, registry=REGISTRY)

    def headers(self, **changed: Any) -> dict[str, str]:
        return {"dpop": self.proof(**changed)}


def imported(member: dict[str, object]) -> Any:
    return JWKRegistry.import_key(member)  # type: ignore[arg-type]
