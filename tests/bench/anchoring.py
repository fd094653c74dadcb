"""How anchoring keeps up: every event of a busy clinic anchored on a real node, and the embedded chain after many anchors.

Events are rows of the real store with commitments of their own, appended at a fixed rate beside the worker that anchors
them, as it runs beside a server.  Each second's newest event is timed until its anchor is final.
"""

import asyncio
import contextlib
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from anchoring.chain import transaction as tx
from anchoring.chain.embedded import EmbeddedChain
from anchoring.chain.evm import JsonRpcChain, RpcSettings, connect
from anchoring.log.merkle import Tree, leaf_hash
from anchoring.publishing.anchorer import Anchorer
from fhir_server.app import clock
from fhir_server.archive import Archive, open_vault
from fhir_server.chains import account_secret
from fhir_server.evidence import Condition, keep_anchoring, open_evidence
from fhir_server.settings import Settings
from fhir_server.store.database import Database
from fhir_server.transparency import open_transparency
from tests.anchoring.anvil import Anvil, started
from tests.contracts.stores import version

RATE = 1000  # events a second
BLOCK = 2  # seconds, as on many chains
CONFIRMATIONS = 3
_UNIT = 20  # events in a unit of work
_PATIENCE = 180.0  # seconds for what is left at the end
_ANCHORS = 10_000
_KEY = bytes(31) + b"\x07"
_ASK = """
import sys
from pathlib import Path
from anchoring.chain.embedded import EmbeddedChain
chain = EmbeddedChain(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))
chain.identity()
print(chain.head(bytes.fromhex(sys.argv[3])).size)
"""


@dataclass(slots=True)
class Kept:
    """What came of a run.

    Attributes:
        events: How many were appended.
        took: Seconds for that.
        waits: Seconds until the newest event of each second was anchored for good.
        anchors: How many anchors that took.
        gas: Gas an event, of the newest anchor.
        lost: Events that no anchor covers in the end.
    """

    events: int = 0
    took: float = 0.0
    waits: list[float] = field(default_factory=list)
    anchors: int = 0
    gas: float = 0.0
    lost: int = 0


def anchoring(seconds: int = 300) -> str:
    """Measure, and give the rows of a table in Markdown."""
    with started("--block-time", str(BLOCK)) as node, tempfile.TemporaryDirectory() as folder:
        kept = asyncio.run(_keep_up(node, Path(folder), seconds))
    opened = _restart(_ANCHORS)
    final = CONFIRMATIONS * BLOCK
    rows = [
        (
            f"{kept.events:,} events at {kept.events / kept.took:,.0f}/s for {seconds} s: anchored after, at most",
            f"{max(kept.waits):.0f} s, {kept.anchors} anchors, {kept.gas:.1f} gas an event",
            f"60 s + {final} s of confirmations",
        ),
        ("of these lost", str(kept.lost), "0"),
        (
            f"embedded chain of {_ANCHORS:,} anchors: open and ask, in a new process",
            f"{opened:.2f} s",
            "under 2 s",
        ),
    ]
    lines = [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows]
    return "\n".join(["| anchoring | measured | goal |", "|---|---|---|", *lines, ""])


async def _keep_up(node: Anvil, data: Path, seconds: int) -> Kept:
    async with _worker(node, data) as (archive, anchorer):
        kept, marks = Kept(), dict[int, float]()
        watching = asyncio.create_task(_watch(anchorer, marks, kept))
        await _append(archive.database, seconds, marks, kept)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await watching
        kept.lost = kept.events - (anchorer.size - anchorer.lag)
        kept.anchors, kept.gas = anchorer.figures.anchors, anchorer.figures.gas_per_event
        return kept


@asynccontextmanager
async def _worker(node: Anvil, data: Path) -> AsyncIterator[tuple[Archive, Anchorer]]:
    """A store with the worker beside it, as in a server."""
    contract = await asyncio.to_thread(_deploy, node)
    settings = Settings(
        data=data,
        chain_url=node.url,
        chain_contract=contract,
        chain_confirmations=str(CONFIRMATIONS),
        anchor_interval=timedelta(seconds=30),
        anchor_events=65_536,
    )
    archive = await open_vault(settings)
    node.give(tx.address(await account_secret(archive.own).load()), 10**21)
    transparency = await open_transparency(settings, archive.database, archive.own)
    anchorer = await open_evidence(settings, archive.database, archive.own, transparency)
    database = archive.database
    working = asyncio.create_task(
        keep_anchoring(anchorer, database.leases, database.store, clock, Condition())
    )
    try:
        yield archive, anchorer
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await archive.database.close()


def _deploy(node: Anvil) -> str:
    signed, contract = JsonRpcChain(
        connect(node.url), RpcSettings(bytes(20), node.account())
    ).deployment()
    node.send(signed.raw)
    return "0x" + contract.hex()


async def _append(database: Database, seconds: int, marks: dict[int, float], kept: Kept) -> None:
    """Append events at the rate; of each second note when its newest one was durable."""
    began = time.monotonic()
    for number in range(0, seconds * RATE, _UNIT):
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        async with database.store.writing() as unit:
            for event in range(number, number + _UNIT):
                rid = await unit.put(version(f"e{event}"), [], [])
                commitment = hashlib.sha256(event.to_bytes(8, "big")).digest()
                await unit.append_audit(rid, commitment, b"opening")
        kept.events = number + _UNIT
        if kept.events % RATE == 0:
            marks[kept.events] = time.monotonic()
    kept.took = time.monotonic() - began
    marks[kept.events] = time.monotonic()
    kept.waits.append(0.0)  # from now on nothing comes any more


async def _watch(anchorer: Anchorer, marks: dict[int, float], kept: Kept) -> None:
    """Note when what was marked is anchored, until all is."""
    while marks or not kept.waits:
        covered, now = anchorer.size - anchorer.lag, time.monotonic()
        for size in [size for size in marks if size <= covered]:
            kept.waits.append(now - marks.pop(size))
        await asyncio.sleep(0.2)


def _restart(anchors: int) -> float:
    """Seconds that a new process takes, imports and all, to open an embedded chain of so many anchors and ask it."""
    log, tree = hashlib.sha256(b"bench").digest(), Tree()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.sqlite"
        chain = EmbeddedChain(path, _KEY)
        for size in range(1, anchors + 1):
            tree.extend([leaf_hash(size.to_bytes(32, "big"))])
            proof = tree.consistency_path(size - 1, size) if size > 1 else []
            chain.send(chain.prepare(log, size, tree.root(size), proof).raw)
        chain.close()
        began = time.perf_counter()
        command = [sys.executable, "-c", _ASK, str(path), _KEY.hex(), log.hex()]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        took = time.perf_counter() - began
        assert int(said.stdout) == anchors
    return took
