"""The authorization server: tokens a second over HTTP, the authorize page, and what checking a token costs in process."""

import asyncio
import base64
import json
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, urlencode

from joserfc import jws
from joserfc.jwk import ECKey

from fhir_server.app import clock, close_house, open_house
from fhir_server.settings import Settings
from smart_auth.server import SmartServer
from smart_auth.tokens.proof_of_possession import Sent
from tests.bench.backend import Backend
from tests.bench.client import Connection
from tests.bench.servers import Consentry

_APP = "bench-app"
_BACK = "https://app.example.org/callback"
_TOKENS = 4000
_CLIENTS = 16
_CHECKS = 5000


def tokens() -> str:
    """A table in Markdown."""
    backend = Backend("bench-backend", "Organization/custodian")
    checked, bound = asyncio.run(_checked())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clients.json"
        file.write_text(json.dumps([backend.registered(), _app()]))
        server = Consentry(clients_file=str(file))
        try:
            rate, again = asyncio.run(_token_rate(server, backend)), asyncio.run(_page(server))
        finally:
            server.stop()
    rows = [
        ("checking a bearer token, revocation checked, p50", f"{checked:.0f} µs", "under 60 µs"),
        ("checking a bound token and its ES256 proof, p50", f"{bound:.0f} µs", ""),
        (f"client_credentials with ES384, {_CLIENTS} clients", f"{rate:,.0f}/s", "400/s"),
        ("authorize page, 1 client, p50", f"{again:.1f} ms", "under 50 ms"),
    ]
    lines = [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows]
    return "\n".join(["| what | measured | goal |", "|---|---|---|", *lines, ""])


def _app() -> dict[str, object]:
    return {
        "client_id": _APP,
        "name": "App",
        "kind": "public",
        "redirect_uris": [_BACK],
        "scope": "launch/patient patient/*.rs",
        "purposes": ["TREAT"],
    }


async def _token_rate(server: Consentry, backend: Backend) -> float:
    """Tokens a second; assertions are signed before the clock starts."""
    bodies = [backend.form(server.port) for _ in range(_TOKENS)]

    async def one(part: list[bytes]) -> None:
        connection = await Connection.open(server.port, "")
        for body in part:
            answer = await connection.send("POST", "/auth/token", body, form=True)
            assert answer.status == 200, answer
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(one(bodies[number::_CLIENTS]) for number in range(_CLIENTS)))
    return _TOKENS / (time.perf_counter() - started)


async def _page(server: Consentry) -> float:
    """Milliseconds until the first page of an authorization is there, the median of 200."""
    challenge = base64.urlsafe_b64encode(sha256(b"verifier").digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": _APP,
        "redirect_uri": _BACK,
        "scope": "launch/patient patient/*.rs",
        "aud": f"http://localhost:{server.port}/fhir",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    connection = await Connection.open(server.port, "")

    async def once() -> None:
        path = f"/auth/authorize?{urlencode(asked, quote_via=quote)}"
        assert (await connection.send("GET", path)).status == 200

    took = await _median(once, 200)
    connection.close()
    return took / 1000


async def _checked() -> tuple[float, float]:
    """Microseconds of checking a bearer token, and a bound one."""
    with tempfile.TemporaryDirectory() as folder:
        house = await open_house(Settings(data=Path(folder)))
        try:
            return await _check(house.smart), await _check_bound(house.smart)
        finally:
            await close_house(house)


async def _check(smart: SmartServer) -> float:
    token = smart.system_token("system/*.rs", clock())

    async def once() -> None:
        await smart.authenticate(token, clock())

    return await _median(once, _CHECKS)


async def _check_bound(smart: SmartServer) -> float:
    key = ECKey.generate_key("P-256")
    token = smart.system_token("system/*.rs", clock(), str(key.thumbprint()))
    url = f"{smart.fhir_base}/Patient/1"
    proofs = iter([_proof(key, token, url) for _ in range(500)])

    async def once() -> None:
        await smart.authenticate(token, clock(), Sent(next(proofs), ("GET",), url))

    return await _median(once, 500)


def _proof(key: ECKey, token: str, url: str) -> str:
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    claims = {
        "jti": secrets.token_urlsafe(12),
        "htm": "GET",
        "htu": url,
        "iat": int((clock() + timedelta(seconds=1)).timestamp()),
        "ath": base64.urlsafe_b64encode(sha256(token.encode()).digest()).decode().rstrip("="),
    }
    return jws.serialize_compact(header, json.dumps(claims), key, algorithms=["ES256"])


async def _median(once: Callable[[], Awaitable[None]], times: int) -> float:
    """Microseconds."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        await once()
        took.append(time.perf_counter() - started)
    return sorted(took)[times // 2] * 1e6
