"""``POST /log/add-checkpoint``: the statuses of C2SP tlog-witness, and a body that is refused early."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx2
import pytest
from fastapi import FastAPI

from anchoring.log import checkpoint as note
from anchoring.witnessing.witness import Witness, write_submission
from fhir_server.errors import StoreLostError
from fhir_server.portal.witness import WitnessRoutes
from tests.anchoring.logs import MemoryRecords
from tests.anchoring.witnessing.test_witness import FORK, LOG, SEEDS, TREE, sent, signed

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def client(records: MemoryRecords | None = None) -> httpx2.AsyncClient:
    witness = Witness(SEEDS, {LOG.origin: LOG.public_keys()}, records or MemoryRecords())
    app = FastAPI()
    app.include_router(WitnessRoutes(lambda: witness, lambda: NOW).router)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x")


async def post(asked: httpx2.AsyncClient, body: bytes) -> httpx2.Response:
    return await asked.post("/log/add-checkpoint", content=body)


async def test_a_cosignature_is_answered_in_lines_of_a_note() -> None:
    answer = await post(client(), sent(0, 50))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert note.verify(signed(50) + answer.text, SEEDS.public_keys()).size == 50


async def test_another_size_is_409_with_the_size_in_its_own_media_type() -> None:
    asked = client()
    await post(asked, sent(0, 50))
    for body in (sent(0, 60), sent(50, 50, FORK)):
        answer = await post(asked, body)
        assert (answer.status_code, answer.content) == (409, b"50\n")
        assert answer.headers["content-type"] == "text/x.tlog.size"


async def test_each_refusal_has_the_status_of_the_standard() -> None:
    asked = client()
    await post(asked, sent(0, 50))
    stranger = note.LogSeeds("other.example/audit", LOG.ed25519, LOG.mldsa44)
    thief = note.LogSeeds(LOG.origin, b"\x08" * 32, b"\x09" * 32)
    for status, body in (
        (400, b"rubbish"),
        (400, write_submission(50, [], signed(40))),
        (403, write_submission(50, [], signed(60, TREE, thief))),
        (404, write_submission(50, [], signed(60, TREE, stranger))),
        (422, sent(50, 60, FORK)),
    ):
        answer = await post(asked, body)
        assert answer.status_code == status
        assert "— " not in answer.text


async def test_a_body_of_100_mb_is_refused_before_it_is_read() -> None:
    given = []

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(100):
            given.append(1)
            yield b"x" * 2**20

    declared = await client().post("/log/add-checkpoint", content=b"x" * 200_000)
    assert declared.status_code == 413
    streamed = await client().post("/log/add-checkpoint", content=parts())
    assert streamed.status_code == 413
    assert len(given) < 100


async def test_a_store_that_is_lost_cosigns_nothing() -> None:
    class Lost(MemoryRecords):
        async def change(self, name: str, changed: object) -> bytes:
            raise StoreLostError("away")

    answer = await post(client(Lost()), sent(0, 50))
    assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
    assert "— " not in answer.text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_it_is_only_posted_to(method: str) -> None:
    assert (await client().request(method, "/log/add-checkpoint")).status_code == 405
