"""In-memory doubles of the room's Protocols, and a small log anchored on a real embedded chain."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anchoring.chain.chain import SELF_OPERATED, ChainIdentity, Head, Mined, SignedTransaction
from anchoring.chain.contract import AnchorCall, anchor_calldata, read_anchor_calldata
from anchoring.chain.embedded import EmbeddedChain
from anchoring.chain.recursion import kept_recursion_limit
from anchoring.errors import AnchorRevertedError, ConsistencyError
from anchoring.log import merkle
from anchoring.log.checkpoint import LogSeeds
from anchoring.log.commitment import commit
from anchoring.log.log import Log
from anchoring.publishing.anchorer import Anchorer, Cadence, open_anchorer
from anchoring.witnessing.announcing import Announcer
from tests.anchoring.anvil import Anvil
from tests.anchoring.place import Place

from .logs import MemoryRecords, MemoryTiles

with (
    kept_recursion_limit()
):  # before any test imports them: they raise the limit of the whole process
    import eth_tester
    import web3

assert eth_tester
assert web3

ACCOUNT_KEY = bytes(31) + b"\x07"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class MemoryLog:
    """A LeafSource: the events that a store would hold."""

    def __init__(self) -> None:
        self.events: list[tuple[bytes, bytes]] = []

    def append(self, count: int) -> None:
        for i in range(len(self.events), len(self.events) + count):
            event = b'{"resourceType":"AuditEvent","id":"%d"}' % i
            self.events.append((event, hashlib.sha256(b"k%d" % i).digest()))

    async def size(self) -> int:
        return len(self.events)

    async def commitments(self, start: int, stop: int) -> list[bytes]:
        return [commit(*opened) for opened in self.events[start:stop]]


class MemoryJournal:
    """An AnchorJournal."""

    def __init__(self) -> None:
        self.pending: bytes | None = None
        self.anchors: dict[int, bytes] = {}

    async def load_pending(self) -> bytes | None:
        return self.pending

    async def save_pending(self, record: bytes) -> None:
        self.pending = record

    async def save_anchor(self, size: int, record: bytes) -> None:
        self.anchors[size], self.pending = record, None

    async def last_anchor(self) -> bytes | None:
        return self.anchors[max(self.anchors)] if self.anchors else None

    async def anchor_covering(self, index: int) -> bytes | None:
        return next((self.anchors[size] for size in sorted(self.anchors) if size > index), None)


class MemoryChain:
    """A Chain that does what the contract does, and counts what was mined."""

    def __init__(self) -> None:
        self.mined: dict[bytes, Mined | None] = {}  # None: reverted
        self.sent: list[bytes] = []
        self.confirmed = True
        self.now = ChainIdentity(5, b"g" * 32, b"c" * 20, b"h" * 32, SELF_OPERATED)

    def accepted(self) -> list[Mined]:
        return [mined for mined in self.mined.values() if mined]

    def identity(self) -> ChainIdentity:
        return self.now

    def head(self, log: bytes) -> Head:
        newest = max(
            (m for m in self.accepted() if m.log == log), key=lambda m: m.size, default=None
        )
        return (
            Head(b"p" * 20, newest.size, newest.root) if newest else Head(bytes(20), 0, bytes(32))
        )

    def prepare(self, log: bytes, size: int, root: bytes, proof: list[bytes]) -> SignedTransaction:
        raw = bytes([len(self.mined)]) + anchor_calldata(AnchorCall(log, size, root, tuple(proof)))
        return SignedTransaction(raw, hashlib.sha256(raw).digest())

    def send(self, raw: bytes) -> None:
        self.sent.append(raw)
        transaction = hashlib.sha256(raw).digest()
        if transaction in self.mined:
            return
        call = read_anchor_calldata(raw[1:])
        head = self.head(call.log)
        block = len(self.mined)
        mined = Mined(block, b"b" * 32, b"p" * 20, call.log, call.size, call.root)
        try:
            old_root = head.root if head.size else merkle.EMPTY_ROOT
            merkle.verify_consistency(head.size, call.size, call.proof, old_root, call.root)
        except ConsistencyError:
            self.mined[transaction] = None
        else:
            self.mined[transaction] = mined if call.size > head.size else None

    def find(self, transaction: bytes) -> Mined | None:
        if transaction not in self.mined:
            return None
        mined = self.mined[transaction]
        if mined is None:
            raise AnchorRevertedError("reverted")
        return replace(mined, final=self.confirmed)

    def replace(self, raw: bytes) -> SignedTransaction:
        newer = bytes([raw[0] + 100]) + raw[1:]
        return SignedTransaction(newer, hashlib.sha256(newer).digest())


@dataclass
class World:
    """A log with everything around it; ``start`` is what a (re)started server does."""

    log: MemoryLog = field(default_factory=MemoryLog)
    tiles: MemoryTiles = field(default_factory=MemoryTiles)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    chain: object = field(default_factory=MemoryChain)
    seeds: LogSeeds = field(
        default_factory=lambda: LogSeeds("hospital.example/audit", b"\x02" * 32, b"\x03" * 32)
    )
    cadence: Cadence = field(default_factory=lambda: Cadence(events=1))

    async def start(self, **changed: object) -> Anchorer:
        log = Log(self.log, self.tiles)
        parts = {name: getattr(self, name) for name in ("journal", "chain", "cadence")}
        parts["announcer"] = Announcer(log, self.seeds, self.records)
        return await open_anchorer(log, **(parts | changed))


@pytest.fixture
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def account_key() -> bytes:
    return ACCOUNT_KEY


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """23 events of a log, anchored at sizes 5, 16 and 23 on an embedded chain; read only."""
    path: Path = tmp_path_factory.mktemp("chain") / "chain.db"
    world = World(chain=EmbeddedChain(path, ACCOUNT_KEY))

    async def anchor() -> dict[int, bytes]:
        anchorer = await world.start()
        for count in (5, 11, 7):
            world.log.append(count)
            assert await anchorer.run_once(NOW)
        return {i: await anchorer.prove(i, *world.log.events[i]) for i in (0, 4, 5, 22)}

    receipts = asyncio.run(anchor())
    return SimpleNamespace(world=world, path=path, receipts=receipts)


@pytest.fixture
def place(anvil: Anvil, make_world: Callable[..., Any]) -> Place:
    return Place(anvil, make_world)


@pytest.fixture
def patient_place(anvil: Anvil, make_world: Callable[..., Any]) -> Place:
    """Where an anchor is final after three blocks, and blocks are made by hand."""
    place = Place(anvil, make_world, confirmations=3)
    anvil.automine(False)
    return place
