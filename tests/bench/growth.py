"""How a search by patient and code grows with what is stored, as a table and a plot."""

import asyncio
from math import log10
from pathlib import Path

import orjson

from tests.bench.client import Call, Connection, hammer
from tests.bench.servers import Consentry
from tests.bench.workload import BATCHES, load, patients, searches

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
PLOT = Path(__file__).resolve().parents[2] / "docs" / "performance-growth.svg"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 320, 60, 40


def growth() -> str:
    """Fill a server step by step; at each size ask for the same patients' observations, one request at a time."""
    server = Consentry()
    try:
        points = _points(server)
    finally:
        server.stop()
    PLOT.write_text(_plot(points))
    rows = [f"| {size:,} | {ms:.2f} ms | {ms / points[0][1]:.2f} |" for size, ms in points]
    head = [
        "| resources | patient and code, median of one client | against the first |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows])


def _points(server: Consentry) -> list[tuple[int, float]]:
    stored = asyncio.run(load(server, server.token(), BATCHES))[0]
    stored += asyncio.run(load(server, server.token(), patients()[:1]))[0]
    calls = searches(asyncio.run(_observations(server, server.token())))
    points = []
    files = patients()[1:20]
    at = 0
    for size in SIZES:
        while stored < size:
            stored += asyncio.run(load(server, server.token(), files[at % len(files) :][:1]))[0]
            at += 1
        points.append((stored, _median(server, calls)))
    return points


def _median(server: Consentry, calls: list[Call]) -> float:
    return hammer(server.port, server.token(), calls, clients=1, seconds=5).p50_ms


async def _observations(server: Consentry, token: str) -> list[dict[str, object]]:
    connection = await Connection.open(server.port, token)
    answer = await connection.send("GET", "/fhir/Observation?_count=100")
    connection.close()
    return [entry["resource"] for entry in orjson.loads(answer.body)["entry"]]


def _plot(points: list[tuple[int, float]]) -> str:
    """A line over a logarithmic scale of sizes."""
    top = max(ms for _, ms in points) * 1.25
    low, high = len(str(SIZES[0])) - 1, len(str(SIZES[-1])) - 1

    def place(size: float, ms: float) -> tuple[float, float]:
        share = (log10(size) - low) / (high - low)
        x = _LEFT + share * (_WIDTH - _LEFT - 30)
        return round(x, 1), round(_HEIGHT - _BOTTOM - ms / top * (_HEIGHT - _BOTTOM - 30), 1)

    line = " ".join("{},{}".format(*place(*point)) for point in points)
    marks = "".join(_mark(*place(size, ms), f"{ms:.2f} ms") for size, ms in points)
    x0, y0 = place(SIZES[0], 0)
    ticks = "".join(_tick(place(10**n, 0)[0], y0, f"{10**n:,}") for n in range(low, high + 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
        f'<text x="{_LEFT}" y="18">search by patient and code: median of one request, by resources stored</text>'
        f'<path d="M{x0},30 V{y0} H{_WIDTH - 20}" fill="none" stroke="#888"/>{ticks}'
        f'<polyline points="{line}" fill="none" stroke="#0b5394" stroke-width="2"/>{marks}</svg>\n'
    )


def _mark(x: float, y: float, text: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="3" fill="#0b5394"/><text x="{x}" y="{y - 8}" text-anchor="middle">{text}</text>'


def _tick(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y + 18}" text-anchor="middle">{text}</text>'
