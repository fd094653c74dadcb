"""What registers clients in tests (RFC 7591, 7592)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from smart_auth.clients.registered import Terms
from smart_auth.exchange import HttpRequest, HttpResponse
from tests.smart_auth.conftest import ISSUER, REDIRECT, Answer, House

TERMS = Terms("openid fhirUser launch/patient offline_access patient/*.rs", None, ("PATRQT",))
BACKEND = Terms("system/Patient.rs system/Observation.rs", "Organization/insurer", ("HPAYMT",))
APP = {
    "client_name": "New app",
    "redirect_uris": [REDIRECT],
    "token_endpoint_auth_method": "none",
    "grant_types": ["authorization_code", "refresh_token"],
}


async def initial(house: House, terms: Terms = TERMS, uses: int = 1, days: int = 1) -> str:
    now = house.clock.now
    return await house.server.initial_tokens.make(terms, uses, now + timedelta(days=days), now)


def request(method: str, token: str | None, content: object = None, path: str = "") -> HttpRequest:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return HttpRequest(method, f"{ISSUER}/register{path}", "/auth/register", headers, body=body)


async def register(house: House, token: str | None, metadata: object) -> Answer:
    return Answer(await house.server.register(request("POST", token, metadata)))


async def joined(house: House, **changed: object) -> dict[str, Any]:
    metadata = {name: v for name, v in (APP | changed).items() if v is not ...}
    answer = await register(house, await initial(house), metadata)
    assert answer.status == 201, answer.body
    return answer.body


async def manage(
    house: House, method: str, client: dict[str, Any], content: object = None, token: str = ""
) -> HttpResponse:
    own = token or client["registration_access_token"]
    asked = request(method, own, content, f"/{client['client_id']}")
    return await house.server.manage_client(asked, client["client_id"])
