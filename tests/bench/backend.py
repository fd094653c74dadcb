"""A backend service, which signs in with a key of its own (SMART Backend Services)."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from smart_auth.tokens.jwt import Jwk, client_assertion, generate_client_key, public_jwks
from tests.bench.client import Connection

_ALGORITHM = "ES384"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SCOPE = "system/*.rs"


@dataclass(frozen=True, slots=True)
class Backend:
    """A client that may read everything that consent lets its organization read."""

    client_id: str
    organization: str
    key: Jwk = field(default_factory=lambda: generate_client_key(_ALGORITHM), repr=False)

    def registered(self) -> dict[str, object]:
        """As it stands in the clients file."""
        return {
            "client_id": self.client_id,
            "name": "Backend",
            "kind": "confidential-asymmetric",
            "grant_types": ["client_credentials"],
            "scope": _SCOPE,
            "organization": self.organization,
            "purposes": ["TREAT"],
            "jwks": public_jwks(self.key),
        }

    def form(self, port: int) -> bytes:
        """A token request, signed now."""
        url = f"http://localhost:{port}/auth/token"
        assertion = client_assertion(self.key, self.client_id, url, datetime.now(UTC), _ALGORITHM)
        asked = {"grant_type": "client_credentials", "scope": _SCOPE}
        proof = {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
        return urlencode({**asked, **proof}).encode()

    async def token(self, port: int) -> str:
        """An access token."""
        connection = await Connection.open(port, "")
        answer = await connection.send("POST", "/auth/token", self.form(port), form=True)
        connection.close()
        assert answer.status == 200, answer
        return str(json.loads(answer.body)["access_token"])
