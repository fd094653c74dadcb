"""``make bench``: the figures of docs/performance.md, measured on real servers, ours with everything on.

``--alone`` leaves the peer out, ``--peer`` everything else; ``--growth`` measures how a search grows
with what is stored, and draws docs/performance-growth.svg; ``--mongo`` measures the server on a MongoDB, ``--store`` the
sealed store in process, ``--tokens`` the authorization server, ``--consent`` what consent costs, ``--million`` how a million
Observations load (docs/performance-million.svg), ``--log`` the audit log in tiles, ``--anchoring [SECONDS]`` whether
anchoring keeps up (300 seconds), ``--machine RATE`` what the machine itself does to answers at that rate,
``--beside`` what a large transaction costs those who read meanwhile.
"""

import os
import platform
import sys
from collections.abc import Callable

from tests.bench.anchoring import anchoring
from tests.bench.beside import beside
from tests.bench.client import Rate
from tests.bench.consent import consent
from tests.bench.growth import growth
from tests.bench.log import log
from tests.bench.machine import counting
from tests.bench.million import million
from tests.bench.on_mongo import on_mongo
from tests.bench.peer import against_peer
from tests.bench.servers import Consentry
from tests.bench.store import store
from tests.bench.tokens import tokens
from tests.bench.workload import SYNTHEA, Figures, measure


def main(arguments: list[str]) -> int:
    """Measure and print tables in Markdown."""
    if not SYNTHEA.exists():
        _say("bench: the Synthea set is not here (../shared/data/synthea-2021)")
        return 1
    _say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for name, part in _PARTS.items():
        if f"--{name}" in arguments:
            _say(part([int(each) for each in arguments if each.isdigit()]))
            return 0
    figures = _measured()
    _say(_goals(figures))
    _say(_machine(figures.read.per_second))
    _say(beside())
    if "--alone" not in arguments:
        _say(against_peer())
    _say(tokens())
    _say(consent())
    _say(anchoring())
    _say(log(_say))
    return 0


def _measured() -> Figures:
    server = Consentry()
    try:
        return measure(server)
    finally:
        server.stop()


def _goals(f: Figures) -> str:
    rows = [
        (f"transaction of {f.largest[0]:,} entries", f"{f.largest[1]:.1f} s", "under 10 s"),
        (f"import of {f.loaded[0]:,} resources, `consentry load`", _import(f.loaded), "550/s"),
        ("the same transactions from one client", _import(f.by_one), ""),
        ("resident memory while loading, most", f"{f.peak_mb:.0f} MB", "under 400 MB"),
        ("read by id, 16 clients", _told(f.read), "1,500/s, p99 under 15 ms"),
        ("one patient's observations by code, 16 clients", _told(f.search), "600/s"),
    ]
    lines = [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows]
    return "\n".join(["| what | measured | goal |", "|---|---|---|", *lines, ""])


def _machine(rate: float) -> str:
    return f"two processes that only count, asked as often: {_told(counting(rate))}\n"


def _import(loaded: tuple[int, float]) -> str:
    return f"{loaded[0] / loaded[1]:,.0f}/s"


def _told(rate: Rate) -> str:
    return f"{rate.per_second:,.0f}/s, p50 {rate.p50_ms:.1f} ms, p99 {rate.p99_ms:.1f} ms"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


_PARTS: dict[str, Callable[[list[int]], str]] = {
    "anchoring": lambda numbers: anchoring(*numbers),
    "beside": lambda _: beside(),
    "peer": lambda _: against_peer(),
    "store": lambda _: store(),
    "machine": lambda numbers: _machine(*numbers),
    "million": lambda _: million(_say),
    "mongo": lambda _: on_mongo(),
    "tokens": lambda _: tokens(),
    "consent": lambda _: consent(),
    "log": lambda _: log(_say),
    "growth": lambda _: growth(),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
