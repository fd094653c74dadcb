"""How a search by patient and code grows with what is stored, as a table and a plot."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import log10
from pathlib import Path

import orjson

from tests.bench.client import Connection, hammer
from tests.bench.servers import Consentry
from tests.bench.turns import in_turn
from tests.bench.workload import BATCHES, load, patients, searches

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
PLOT = Path(__file__).resolve().parents[2] / "docs" / "performance-growth.svg"
_SECONDS = 2.0
_GOAL = 2
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 320, 60, 40


@dataclass(frozen=True, slots=True)
class Point:
    """Medians in milliseconds: of the server that grows, and of one that stays as the first was, asked in turn."""

    size: int
    ms: float
    small_ms: float

    @property
    def ratio(self) -> float:
        return self.ms / self.small_ms


def growth() -> str:
    """Fill a server step by step; at each size ask for the same patients' observations, one request at a time."""
    servers = [Consentry(), Consentry()]
    try:
        points = _points(*servers)
    finally:
        for server in servers:
            server.stop()
    PLOT.write_text(_plot(points))
    rows = [f"| {p.size:,} | {p.ms:.2f} ms | {p.small_ms:.2f} ms | {p.ratio:.2f} |" for p in points]
    first = f"a store of {points[0].size:,} meanwhile"
    head = f"| resources | patient and code, median of one client | {first} | ratio |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def _points(server: Consentry, small: Consentry) -> list[Point]:
    first = [*BATCHES, patients()[0]]
    stored = asyncio.run(load(server, server.token(), first))[0]
    asyncio.run(load(small, small.token(), first))
    one, other = _median_of(server), _median_of(small)
    points = []
    files = patients()[1:20]
    at = 0
    for size in SIZES:
        while stored < size:
            stored += asyncio.run(load(server, server.token(), files[at % len(files) :][:1]))[0]
            at += 1
        points.append(Point(stored, *in_turn(one, other)))
    return points


def _median_of(server: Consentry) -> Callable[[], float]:
    """Asks a server for what it has now, then and later."""
    calls = searches(asyncio.run(_observations(server, server.token())))

    def median() -> float:
        return hammer([server.port], server.token(), calls, clients=1, seconds=_SECONDS).p50_ms

    return median


async def _observations(server: Consentry, token: str) -> list[dict[str, object]]:
    connection = await Connection.open(server.port, token)
    answer = await connection.send("GET", "/fhir/Observation?_count=100")
    connection.close()
    return [entry["resource"] for entry in orjson.loads(answer.body)["entry"]]


def _plot(points: list[Point]) -> str:
    """A line over a logarithmic scale of sizes: how many times what the small store took meanwhile."""
    top = max(_GOAL, *(p.ratio for p in points)) * 1.1
    low, high = len(str(SIZES[0])) - 1, len(str(SIZES[-1])) - 1

    def place(size: float, ratio: float) -> tuple[float, float]:
        share = (log10(size) - low) / (high - low)
        x = _LEFT + share * (_WIDTH - _LEFT - 30)
        return round(x, 1), round(_HEIGHT - _BOTTOM - ratio / top * (_HEIGHT - _BOTTOM - 30), 1)

    line = " ".join("{},{}".format(*place(p.size, p.ratio)) for p in points)
    marks = "".join(_mark(*place(p.size, p.ratio), f"{p.ratio:.2f}") for p in points)
    x0, y0 = place(SIZES[0], 0)
    ticks = "".join(_tick(place(10**n, 0)[0], y0, f"{10**n:,}") for n in range(low, high + 1))
    goal = place(SIZES[0], _GOAL)[1]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
        f'<text x="{_LEFT}" y="18">search by patient and code, by size: times a store of {points[0].size:,}</text>'
        f'<path d="M{x0},30 V{y0} H{_WIDTH - 20}" fill="none" stroke="#888"/>{ticks}'
        f'<path d="M{x0},{goal} H{_WIDTH - 20}" stroke="#888" stroke-dasharray="4"/>'
        f'<text x="{x0 + 6}" y="{goal - 6}" fill="#666">goal: at most {_GOAL}</text>'
        f'<polyline points="{line}" fill="none" stroke="#0b5394" stroke-width="2"/>{marks}</svg>\n'
    )


def _mark(x: float, y: float, text: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="3" fill="#0b5394"/><text x="{x}" y="{y - 8}" text-anchor="middle">{text}</text>'


def _tick(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y + 18}" text-anchor="middle">{text}</text>'
