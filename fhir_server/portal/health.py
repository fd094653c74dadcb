"""``/health``: whether the server lives, and whether it can do its work.  Nobody needs a token; nothing is told of data.

``/health/live`` says that the process answers: restart it if not.  ``/health/ready`` says that the store writes and the key
provider answers: send requests elsewhere if not.  ``/health`` says how anchoring is, too, which stops nobody's care:
an event that waits too long makes it degraded, and if anchoring has ended it is 503, so that somebody looks.  While a server
starts it does not answer at all.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from fastapi import APIRouter, Response

from fhir_server.measures import AnchorMeasures

_GOOD_FOR = 5.0  # seconds: whoever asks more often makes no more work
_PATIENCE = 5.0  # seconds for each answer


@dataclass(frozen=True, slots=True)
class Probes:
    """What is asked.

    Attributes:
        write: Makes something durable in the store.
        wrap: Lets the key provider wrap and unwrap a key.
        anchoring: Tells how anchoring is.
        late: How long an event may wait for its anchor, seconds.
    """

    write: Callable[[], Awaitable[None]]
    wrap: Callable[[], Awaitable[None]]
    anchoring: Callable[[], AnchorMeasures]
    late: float


class HealthRoutes:
    """``/health`` and its parts."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._turn = asyncio.Lock()
        self._found: dict[str, bool] = {}
        self._at = float("-inf")
        self.router = APIRouter(include_in_schema=False)
        for path, answer in (("", self.health), ("/live", self.live), ("/ready", self.ready)):
            self.router.add_api_route(
                f"/health{path}", answer, methods=["GET"], response_model=None
            )

    async def live(self) -> Response:
        """200, always."""
        return _json({"status": "up"}, 200)

    async def ready(self) -> Response:
        """200 if all that it needs answers, else 503."""
        found = await self._probed()
        ready = all(found.values())
        return _json({"status": "ready" if ready else "not ready", **found}, 200 if ready else 503)

    async def health(self) -> Response:
        """All of it; 200, or 503 if anchoring has ended."""
        found = await self._probed()
        told = self._probes.anchoring()
        state = (
            "stopped" if told.stopped else "late" if told.waited > self._probes.late else "going"
        )
        status = "up" if state == "going" else "degraded"
        lag = {"anchorLag": told.lag, "anchorLagSeconds": int(told.waited), "anchoring": state}
        ready = all(found.values())
        code = 503 if told.stopped else 200
        return _json({"status": status, "ready": ready, **found, **lag}, code)

    async def _probed(self) -> dict[str, bool]:
        async with self._turn:
            if time.monotonic() - self._at > _GOOD_FOR:
                probes = (("store", self._probes.write), ("keys", self._probes.wrap))
                self._found = {name: await _answers(probe) for name, probe in probes}
                self._at = time.monotonic()
            return self._found


async def _answers(probe: Callable[[], Awaitable[None]]) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            await probe()
    except Exception:  # noqa: BLE001  whatever it is: the answer is no
        return False
    return True


def _json(value: dict[str, object], status: int) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
