"""What a process keeps of memory after large requests, and what it does not."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path

import pytest

from fhir_server import memory
from fhir_server.memory import GivingBack


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that memory was given back."""
    given: list[int] = []

    class _Library:
        def malloc_trim(self, kept: int) -> int:
            given.append(kept)
            return 1

    monkeypatch.setattr(memory, "_C", _Library())
    monkeypatch.setattr(memory, "_AFTER", 0.01)
    return given


async def test_what_a_large_request_took_is_given_back_once_it_is_over(trims: list[int]) -> None:
    giving = GivingBack()
    for size in (300_000, 5_000_000, 100):
        giving.after(size)
    assert trims == []
    await asyncio.sleep(0.2)
    assert trims == [0]
    giving.after(300_000)
    await asyncio.sleep(0.2)
    assert trims == [0, 0]


async def test_small_requests_give_back_nothing(trims: list[int]) -> None:
    giving = GivingBack()
    for _ in range(1000):
        giving.after(200_000)
    await asyncio.sleep(0.1)
    assert trims == []


async def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_C", None)
    memory.keep_together()
    memory.share_memory()
    GivingBack().after(5_000_000)
    await asyncio.sleep(0)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)
async def test_the_system_has_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_AFTER", 0.01)
    kept = []
    for _ in range(2000):  # of which every hundredth stays, so that the rest is free in between
        held = [bytearray(20_000) for _ in range(10)]
        kept.append(held.pop())
    before = _resident()
    del kept[::2], held
    GivingBack().after(5_000_000)
    await asyncio.sleep(0.3)
    assert _resident() < before - 10


def _resident() -> float:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
