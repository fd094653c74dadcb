"""The anchorer beside the server: what stands in its way makes it wait, not stop."""

from __future__ import annotations

import asyncio

import pytest

from anchoring.errors import ChainUnavailableError
from fhir_server import evidence
from fhir_server.errors import StoreFullError

from .clinic import START


class Faltering:
    """An anchorer that fails twice."""

    lag = 3

    def __init__(self) -> None:
        self.runs = 0

    async def run_once(self, _: object) -> None:
        self.runs += 1
        if self.runs == 1:
            raise ChainUnavailableError("down")
        if self.runs == 2:
            raise StoreFullError("the disk is full")


async def test_neither_a_chain_that_is_down_nor_a_full_disk_stops_anchoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence, "_PAUSE", 0.001)
    anchorer = Faltering()
    task = asyncio.create_task(evidence.keep_anchoring(anchorer, lambda: START))  # type: ignore[arg-type]
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert anchorer.runs > 3
