"""``/log/``: what is signed is served to everybody, and nothing beyond it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import httpx2
import pytest
from fastapi import FastAPI

from anchoring.log import checkpoint
from anchoring.log.checkpoint import LogSeeds, WitnessSeeds
from anchoring.log.log import Log
from anchoring.log.merkle import leaf_hash
from anchoring.witnessing.announcing import Announcer
from anchoring.witnessing.witness import Witness
from fhir_server.errors import StoreLostError
from fhir_server.portal.log import LogRoutes
from fhir_server.portal.pace import Pace
from fhir_server.transparency import Transparency
from tests.anchoring.logs import MemoryLeaves, MemoryRecords, MemoryTiles, commitments

SEEDS = LogSeeds("hospital.example/audit", b"\x02" * 32, b"\x03" * 32)
COSIGNS = WitnessSeeds("hospital.example/witness", b"\x04" * 32, b"\x05" * 32)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALL = commitments(1000)


class Site:
    """A log of 1,000 events behind its routes."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.leaves, self.records = MemoryLeaves(ALL), MemoryRecords()
        log = Log(self.leaves, MemoryTiles())
        self.announcer = Announcer(log, SEEDS, self.records)
        app = FastAPI()
        witness = Witness(COSIGNS, {}, MemoryRecords())
        transparency = Transparency(log, self.announcer, witness)
        app.include_router(LogRoutes(lambda: transparency, pace).router)
        transport = httpx2.ASGITransport(app=app)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://x")

    async def get(self, path: str) -> httpx2.Response:
        return await self.client.get(f"/log/{path}")


@pytest.fixture
async def site() -> Site:
    made = Site()
    await made.announcer.announce(700, NOW)
    return made


async def test_the_newest_checkpoint_is_plain_text_that_is_soon_stale(site: Site) -> None:
    answer = await site.get("checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=2"
    assert checkpoint.verify(answer.text, SEEDS.public_keys()).size == 700
    await site.announcer.announce(900, NOW)
    assert checkpoint.parse((await site.get("checkpoint")).text)[0].size == 900


async def test_before_anything_is_signed_nothing_is_there() -> None:
    empty = Site()
    for path in ("checkpoint", "tile/0/000", "tile/0/000.p/1", "tile/entries/000.p/1"):
        answer = await empty.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    assert (await empty.get("keys")).status_code == 200


async def test_the_keys_are_verifier_keys(site: Site) -> None:
    lines = (await site.get("keys")).text.splitlines()
    keys = (*SEEDS.public_keys(), *COSIGNS.public_keys())
    assert tuple(checkpoint.parse_vkey(line) for line in lines) == keys


@pytest.mark.parametrize("path", ["0/000", "0/001", "0/002.p/188", "0/002.p/1", "0/000.p/255"])
async def test_tiles_and_their_entries_are_for_good(site: Site, path: str) -> None:
    index, _, width = path[2:].partition(".p/")
    events = ALL[int(index) * 256 :][: int(width or 256)]
    answer = await site.get(f"tile/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.content == b"".join(map(leaf_hash, events))
    bundle = await site.get(f"tile/entries{path[1:]}")
    assert bundle.content == b"".join(b"\x00\x20" + event for event in events)
    assert bundle.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_a_tile_of_the_next_level_has_the_roots_of_the_full_ones(site: Site) -> None:
    upper = await site.get("tile/1/000.p/2")
    assert len(upper.content) == 64
    assert (await site.get("tile/1/000.p/1")).content == upper.content[:32]
    assert (await site.get("tile/1/000.p/3")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("0/002", "0/002.p/189", "0/003", "0/003.p/1", "1/000", "2/000.p/1", "7/x999/x999/999"),
        *("0/000.p/0", "0/000.p/256", "0/000.p/300", "0/000.p/-1", "0/0", "0/-01", "-1/000"),
        *("8/000", "64/000", "0/x001", "entries/002", "entries/003.p/1", "", "0", "0/000/"),
        *("0/..%2f..%2fetc", "%2e%2e/tile/0/000", "0/%00", "0/" + "x999/" * 400 + "999", "0/é"),
        *("0/x999/x999/x999/x999/x999/x999/999", "entries/x999/x999/x999/x999/x999/x999/999"),
    ],
)
async def test_what_the_checkpoint_does_not_reach_or_nobody_names_so_is_not_there(
    site: Site, path: str
) -> None:
    assert (await site.get(f"tile/{path}")).status_code == 404


async def test_nothing_can_be_written_but_what_the_standard_says(site: Site) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("checkpoint", "tile/0/000", "keys"):
            assert (await site.client.request(method, f"/log/{path}")).status_code == 405


async def test_who_asks_too_much_is_told_to_wait() -> None:
    site = Site(Pace(1, 5, lambda: 0.0))
    statuses = [(await site.get(path)).status_code for path in ("checkpoint", "tile/x") * 2]
    assert statuses == [404] * 4
    assert (await site.get("keys")).status_code == 200
    for path in ("checkpoint", "tile/0/000", "keys"):
        answer = await site.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.headers["cache-control"] == "no-store"


async def test_a_store_that_lost_events_or_itself_serves_nothing_wrong(site: Site) -> None:
    site.leaves.held = ALL[:600]
    answer = await site.get("tile/entries/002.p/188")
    assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")

    async def lost(name: str) -> bytes | None:
        raise StoreLostError("away")

    site.records.find = lost
    for path in ("checkpoint", "tile/0/003"):
        assert (await site.get(path)).status_code == 503


async def test_a_head_is_answered_like_a_get(site: Site) -> None:
    for path in ("checkpoint", "tile/0/000", "keys"):
        answer = await site.client.head(f"/log/{path}")
        assert answer.status_code == 200
        assert answer.headers == (await site.get(path)).headers


def test_a_commitment_is_not_the_leaf_hash_that_stands_for_it() -> None:
    assert leaf_hash(ALL[0]) == hashlib.sha256(b"\x00" + ALL[0]).digest()
