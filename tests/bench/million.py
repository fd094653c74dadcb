"""How a million Observations load into the vault, 500 at a time.

The machine may be shared, and its speed change by half within minutes.  So a new store is filled before and after each part,
and what counts is the rate against that of the new store at the same time.
"""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fhir_server.app import House, close_house
from tests.bench.observations import draft, new_folder, observation
from tests.bench.worker import opened, run

PLOT = Path(__file__).resolve().parents[2] / "docs" / "performance-million.svg"
_MILLION = 1_000_000
_STEP = 100_000
_PART = 50_000  # between two fillings of a new store
_NEW = 20_000  # what that is filled with
_UNIT = 500


@dataclass(frozen=True, slots=True)
class Point:
    """A step.

    Attributes:
        stored: What was stored at its end.
        rate: Observations a second.
        new: The same of a new store, at that time.
    """

    stored: int
    rate: float
    new: float

    def against(self, first: "Point") -> float:
        """The rate against the first step's, had the machine been the same."""
        return self.rate / self.new / (first.rate / first.new)


def million(say: Callable[[str], None]) -> str:
    """A table, and docs/performance-million.svg."""
    return run(_million(say))


async def _million(say: Callable[[str], None]) -> str:
    points: list[Point] = []
    with new_folder() as data:
        house = await opened(data)
        chance = random.Random(1)
        for start in range(0, _MILLION, _STEP):
            points.append(await _step(house, start, chance))
            say(
                f"{points[-1].stored:,}: {points[-1].rate:,.0f}/s, {points[-1].new:,.0f}/s in a new store"
            )
        await close_house(house)
    PLOT.write_text(_plot([(point.stored, point.rate) for point in points]))
    rows = [
        f"| {p.stored:,} | {p.rate:,.0f}/s | {p.new:,.0f}/s | {p.rate / points[0].rate:.2f} | {p.against(points[0]):.2f} |"
        for p in points
    ]
    head = "| stored | rate of the last 100,000 | a new store meanwhile | against the first | on an even machine |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


async def _step(house: House, start: int, chance: random.Random) -> Point:
    new, seconds = [await _of_new()], 0.0
    for first in range(start, start + _STEP, _PART):
        seconds += await _fill(house, first, _PART, chance)
        new.append(await _of_new())
    return Point(start + _STEP, _STEP / seconds, statistics.mean(new))


async def _of_new() -> float:
    with new_folder() as data:
        house = await opened(data)
        seconds = await _fill(house, 0, _NEW, random.Random(2))
        await close_house(house)
    return _NEW / seconds


async def _fill(house: House, start: int, count: int, chance: random.Random) -> float:
    """Write so many; seconds."""
    began = time.perf_counter()
    for first in range(start, start + count, _UNIT):
        made = [observation(n, chance) for n in range(first, first + _UNIT)]
        async with house.vault.writing() as writer:
            for resource in made:
                await writer.put(draft(house, resource))
    return time.perf_counter() - began


def _plot(points: list[tuple[int, float]]) -> str:
    """A line from zero."""
    width, height, left, bottom = 640, 320, 60, 40
    top = max(rate for _, rate in points) * 1.2
    places = [
        (
            round(left + size / _MILLION * (width - left - 30), 1),
            round(height - bottom - rate / top * (height - bottom - 30), 1),
        )
        for size, rate in points
    ]
    marks = "".join(
        f'<circle cx="{x}" cy="{y}" r="3" fill="#0b5394"/>'
        f'<text x="{x}" y="{y - 8}" text-anchor="middle">{rate:,.0f}</text>'
        f'<text x="{x}" y="{height - bottom + 16}" text-anchor="middle">{size // 1000}k</text>'
        for (x, y), (size, rate) in zip(places, points, strict=True)
    )
    line = " ".join(f"{x},{y}" for x, y in places)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<text x="{left}" y="18">Observations written a second, by how many are stored</text>'
        f'<path d="M{left},30 V{height - bottom} H{width - 20}" fill="none" stroke="#888"/>'
        f'<polyline points="{line}" fill="none" stroke="#0b5394" stroke-width="2"/>{marks}</svg>\n'
    )
