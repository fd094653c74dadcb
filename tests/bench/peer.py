"""Against a peer: both servers stand loaded, and each is asked in turn."""

import asyncio
from collections.abc import Sequence

from tests.bench.client import Call, Rate
from tests.bench.servers import Consentry, Peer, Server
from tests.bench.turns import ROUNDS, in_turn
from tests.bench.workload import BATCHES, Loaded, load, loaded, new_ones, patients, rate, searches

_SECONDS = 3.0


def against_peer() -> str:
    """A table."""
    servers: list[Server] = []
    try:
        for kind in (Consentry, Peer):
            servers.append(kind())
        return _table(*servers)
    finally:
        for server in servers:
            server.stop()


def _table(ours: Server, peer: Server) -> str:
    imported = _import(ours, peer)
    one, other = loaded(ours), loaded(peer)
    rows = [
        ("import", *imported, "1 or more"),
        ("read by id, 16 clients", *_in_turn(one, other, one.reads, other.reads), "2 or more"),
        (
            "create, 16 clients",
            *_in_turn(one, other, new_ones(one.found), new_ones(other.found)),
            "1 or more",
        ),
        (
            "patient and code, 16 clients",
            *_in_turn(one, other, searches(one.found), searches(other.found)),
            "1 or more",
        ),
        (
            f"first page of {one.sorted_:,} Observations by date, 1 client",
            *_in_turn(one, other, [one.sort], [other.sort], rounds=1, clients=1),
            "20 or more",
        ),
    ]
    lines = [f"| {w} | {a:,.1f}/s | {b:,.1f}/s | {a / b:.1f} | {goal} |" for w, a, b, goal in rows]
    head = f"| what | Consentry | {Peer.name} | ratio | goal |"
    return "\n".join([head, "|---|---|---|---|---|", *lines, ""])


def _import(ours: Server, peer: Server) -> tuple[float, float]:
    """Resources a second of both: each file goes to one and then to the other."""
    count, seconds = 0, [0.0, 0.0]
    for file in [*BATCHES, *patients()]:
        for at, server in enumerate((ours, peer)):
            entries, taken = asyncio.run(load(server, server.token(), [file]))
            seconds[at] += taken
        count += entries
    return count / seconds[0], count / seconds[1]


def _in_turn(
    one: Loaded,
    other: Loaded,
    calls: Sequence[Call],
    others: Sequence[Call],
    *,
    rounds: int = ROUNDS,
    clients: int = 16,
) -> tuple[float, float]:
    """Answers a second of both, in the round whose ratio is the middle one."""
    return in_turn(
        lambda: _rate(one, calls, clients), lambda: _rate(other, others, clients), rounds=rounds
    )


def _rate(asked: Loaded, calls: Sequence[Call], clients: int) -> float:
    measured: Rate = rate(asked.server, calls, clients=clients, seconds=_SECONDS)
    return measured.per_second
