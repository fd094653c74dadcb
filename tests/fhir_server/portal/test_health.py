"""Health: the process lives; what it needs answers, or does not."""

from __future__ import annotations

import asyncio
import json

import pytest

from fhir_server.measures import AnchorMeasures
from fhir_server.portal.health import HealthRoutes, Probes
from tests.fhir_server.rest.served import Served


class Needs:
    """A store and a key provider that can be broken."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.asked = 0

    async def _probe(self, name: str) -> None:
        self.asked += 1
        if name in self.broken:
            raise OSError("the address of something that nobody need know")

    async def write(self) -> None:
        await self._probe("store")

    async def wrap(self) -> None:
        await self._probe("keys")


async def status(needs: Needs) -> tuple[int, dict[str, object]]:
    answer = await HealthRoutes(
        Probes(needs.write, needs.wrap, lambda: AnchorMeasures(3, 5.5), 60)
    ).ready()
    return answer.status_code, json.loads(answer.body)


async def test_a_server_whose_needs_answer_is_ready() -> None:
    assert await status(Needs()) == (200, {"status": "ready", "store": True, "keys": True})


@pytest.mark.parametrize("broken", ["store", "keys"])
async def test_a_server_that_lacks_something_is_not_ready_and_says_what(broken: str) -> None:
    needs = Needs()
    needs.broken = {broken}
    code, told = await status(needs)
    assert code == 503
    assert told == {"status": "not ready", "store": True, "keys": True, broken: False}


async def test_it_lives_all_the_same() -> None:
    needs = Needs()
    needs.broken = {"store", "keys"}
    routes = HealthRoutes(Probes(needs.write, needs.wrap, lambda: AnchorMeasures(3, 5.5), 60))
    assert (await routes.live()).status_code == 200
    whole = await routes.health()
    assert whole.status_code == 200
    assert json.loads(whole.body) == {
        "status": "up", "ready": False, "store": False, "keys": False,
        "anchorLag": 3, "anchorLagSeconds": 5, "anchoring": "going",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "code", "status", "state"),
    [
        (AnchorMeasures(), 200, "up", "going"),
        (AnchorMeasures(9, 60.0), 200, "up", "going"),
        (AnchorMeasures(9, 60.1), 200, "degraded", "late"),
        (AnchorMeasures(9, 1.0, stopped=1), 503, "degraded", "stopped"),
    ],
)
async def test_an_event_that_waits_too_long_degrades_it_and_a_contradiction_fails_it(
    told: AnchorMeasures, code: int, status: str, state: str
) -> None:
    needs = Needs()
    routes = HealthRoutes(Probes(needs.write, needs.wrap, lambda: told, 60))
    whole = await routes.health()
    said = json.loads(whole.body)
    assert (whole.status_code, said["status"], said["anchoring"]) == (code, status, state)
    assert (await routes.ready()).status_code == 200  # care goes on all the same


async def test_whoever_asks_again_and_again_makes_no_work() -> None:
    needs = Needs()
    routes = HealthRoutes(Probes(needs.write, needs.wrap, AnchorMeasures, 60))
    await asyncio.gather(*(routes.ready() for _ in range(50)))
    assert needs.asked == 2


async def test_a_need_that_hangs_is_one_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fhir_server.portal.health._PATIENCE", 0.01)
    needs = Needs()
    probes = Probes(needs.write, lambda: asyncio.sleep(60), AnchorMeasures, 60)
    answer = await HealthRoutes(probes).ready()
    assert answer.status_code == 503


@pytest.mark.asyncio(loop_scope="module")
async def test_a_real_server_says_that_it_is_ready(served: Served) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        answer = await served.client.get(path, headers={"authorization": ""})
        assert answer.status_code == 200, answer.text
    assert (await served.client.get("/health/ready")).json()["status"] == "ready"
