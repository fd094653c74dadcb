"""The ASGI application, served to a client of these tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from fhir_server.app import clock, close_house, create_app, open_house, open_tokens
from fhir_server.settings import Settings

FHIR = "application/fhir+json"
ALL, NARROW = "system/*.cruds", "system/Observation.rs"


@asynccontextmanager
async def _running(app: Any) -> AsyncIterator[None]:
    """The lifespan protocol of ASGI."""
    asked: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await asked.put({"type": "lifespan.startup"})
    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, asked.get, told.put))
    started = await told.get()
    assert started["type"] == "lifespan.startup.complete", started
    yield
    await asked.put({"type": "lifespan.shutdown"})
    await task


class Served:
    """A client of the application, a maker of tokens for a scope, and its audit log."""

    def __init__(self, client: httpx2.AsyncClient, token: Callable[[str], str]) -> None:
        self.client = client
        self.token = token

    async def ask(
        self, method: str, url: str, content: bytes = b"", **headers: str
    ) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, f"/fhir{url}", content=content, headers=named)

    async def log_size(self) -> int:
        """How many audit records there are: told by a search for them, which adds one itself."""
        answer = await self.ask("GET", "/AuditEvent?_count=0")
        return int(answer.json()["total"])


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Served]:
    """A server with these settings, on a new database."""
    await close_house(await open_house(settings))
    app = create_app(settings)
    async with open_tokens(settings) as smart, _running(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://localhost:8080"
        ) as client:
            yield Served(client, lambda scope: smart.system_token(scope, clock()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _open(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    data = tmp_path_factory.mktemp("served")
    async with serving(Settings(data=data, max_bundle_bytes=20 * 1024 * 1024)) as served:
        yield served


@pytest.fixture
def served(_open: Served) -> Served:
    """With a token of its own for each test: a module's may run for longer than a token is good."""
    _open.client.headers.update(
        {"authorization": f"Bearer {_open.token(ALL)}", "content-type": FHIR}
    )
    return _open
