"""Whatever a chain does, in any order: each checkpoint is anchored once, and the journal says where it stands."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from anchoring.chain.chain import SELF_OPERATED, ChainIdentity, Head, Mined, SignedTransaction
from anchoring.chain.contract import AnchorCall, anchor_calldata, read_anchor_calldata
from anchoring.chain.journal import decode_anchor
from anchoring.errors import (
    AnchorRevertedError,
    ChainUnavailableError,
    ConsistencyError,
    NonceTakenError,
)
from anchoring.log import merkle
from anchoring.log.checkpoint import log_id
from anchoring.receipts import receipt

_CONFIRMATIONS = 2
_FOREIGN = b"foreign"


@dataclass
class Block:
    """One block of the model: its transactions, in order."""

    hash_: bytes
    transactions: list[bytes] = field(default_factory=list)


class Model:
    """A chain with blocks, a pool, one account's nonces, and reorganisations; the contract follows from the blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.pool: dict[int, bytes] = {}
        self.down = False
        self._made = 0
        self.mine()

    def identity(self) -> ChainIdentity:
        self._answer()
        return ChainIdentity(5, b"g" * 32, b"c" * 20, b"h" * 32, SELF_OPERATED)

    def head(self, log: bytes) -> Head:
        self._answer()
        accepted = self.accepted()
        if not accepted:
            return Head(bytes(20), 0, bytes(32))
        return Head(b"p" * 20, accepted[-1].size, accepted[-1].root)

    def prepare(self, log: bytes, size: int, root: bytes, proof: list[bytes]) -> SignedTransaction:
        self._answer()
        call = anchor_calldata(AnchorCall(log, size, root, tuple(proof)))
        return self._signed(self.nonce, 0, call)

    def replace(self, raw: bytes) -> SignedTransaction:
        self._answer()
        nonce, fee, call = raw[0], raw[1], raw[2:]
        if nonce != self.nonce:
            return self._signed(self.nonce, 0, call)
        return self._signed(nonce, min(fee + 1, 9), call)

    def send(self, raw: bytes) -> None:
        self._answer()
        if any(raw in block.transactions for block in self.blocks):
            return
        if raw[0] < self.nonce:
            raise NonceTakenError("taken")
        if self.pool.get(raw[0], raw)[1] <= raw[1]:
            self.pool[raw[0]] = raw

    def find(self, transaction: bytes) -> Mined | None:
        self._answer()
        for number, block, raw, accepted in self._executed():
            if hashlib.sha256(raw).digest() == transaction:
                final = len(self.blocks) - number >= _CONFIRMATIONS
                if accepted is not None:
                    return Mined(
                        number,
                        block.hash_,
                        b"p" * 20,
                        accepted.log,
                        accepted.size,
                        accepted.root,
                        final,
                    )
                if final:
                    raise AnchorRevertedError("reverted")
        return None

    @property
    def nonce(self) -> int:
        return sum(len(block.transactions) for block in self.blocks)

    def accepted(self) -> list[AnchorCall]:
        """What the contract accepted, in the order of the blocks."""
        return [call for _, _, _, call in self._executed() if call is not None]

    def mine(self) -> None:
        block = Block(hashlib.sha256(b"%d" % self._made).digest())
        self._made += 1
        nonce = self.nonce
        while nonce in self.pool:
            block.transactions.append(self.pool.pop(nonce))
            nonce += 1
        self.pool = {n: raw for n, raw in self.pool.items() if n >= nonce}
        self.blocks.append(block)

    def spend(self) -> None:
        """Somebody else uses the account's next nonce."""
        self.pool[self.nonce] = bytes([self.nonce, 9]) + _FOREIGN
        self.mine()

    def reorganise(self, depth: int, *, kept: bool) -> None:
        """Replace the newest blocks; what was in them goes back to the pool, or is forgotten."""
        gone = self.blocks[-depth:] if depth < len(self.blocks) else self.blocks[1:]
        self.blocks = self.blocks[: len(self.blocks) - len(gone)]
        for raw in (raw for block in gone for raw in block.transactions) if kept else ():
            self.pool.setdefault(raw[0], raw)
        pool, self.pool = self.pool, {}
        for _ in gone:
            self.mine()
        self.pool = pool

    def _answer(self) -> None:
        if self.down:
            raise ChainUnavailableError("down")

    def _signed(self, nonce: int, fee: int, call: bytes) -> SignedTransaction:
        raw = bytes([nonce, fee]) + call
        return SignedTransaction(raw, hashlib.sha256(raw).digest())

    def _executed(self) -> list[tuple[int, Block, bytes, AnchorCall | None]]:
        done: list[tuple[int, Block, bytes, AnchorCall | None]] = []
        size, root = 0, merkle.EMPTY_ROOT
        for number, block in enumerate(self.blocks):
            for raw in block.transactions:
                call = None if raw[2:] == _FOREIGN else read_anchor_calldata(raw[2:])
                if call is not None and not _holds(size, root, call):
                    call = None
                if call is not None:
                    size, root = call.size, call.root
                done.append((number, block, raw, call))
        return done


def _holds(size: int, root: bytes, call: AnchorCall) -> bool:
    if call.size <= size or (size == 0 and call.proof):
        return False
    try:
        merkle.verify_consistency(size, call.size, call.proof, root, call.root)
    except ConsistencyError:
        return False
    return True


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("anchor"), st.integers(1, 5)),
        st.tuples(st.just("run"), st.integers(1, 90)),
        st.tuples(st.just("mine"), st.integers(1, 3)),
        st.tuples(st.just("forget"), st.integers(1, 12)),
        st.tuples(st.just("shuffle"), st.integers(1, 12)),
        st.tuples(st.just("drop"), st.just(0)),
        st.tuples(st.just("spend"), st.just(0)),
        st.tuples(st.just("down"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=40,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(steps=[("anchor", 1), ("shuffle", 2), ("mine", 1), ("anchor", 1)])  # found by chance once
@example(steps=[("anchor", 1), ("shuffle", 2), ("mine", 1), ("anchor", 1), ("restart", 0)])
@example(steps=[("anchor", 1), ("anchor", 1), ("shuffle", 4), ("spend", 0)])  # refused: too early
@example(steps=[("anchor", 1), ("anchor", 1), ("anchor", 2), ("shuffle", 6), ("spend", 0)])
@given(steps=STEPS)
def test_in_the_end_all_is_anchored_once_and_stands_where_the_journal_says(
    make_world: Any, now: datetime, steps: list[tuple[str, int]]
) -> None:
    asyncio.run(_play(make_world(chain=Model()), now, steps))


async def _play(world: Any, now: datetime, steps: list[tuple[str, int]]) -> None:
    model: Model = world.chain
    anchorer = await world.start()
    for step, number in steps:
        if step == "restart":
            anchorer = await world.start()
        elif step == "run":
            now += timedelta(seconds=number)
            await _run(anchorer, now)
        elif step == "anchor":
            world.log.append(number)
            await _run(anchorer, now)
            model.mine()
            model.mine()
            await _run(anchorer, now)
        else:
            _happen(world, model, step, number)
    await _calm(world, model, anchorer, now)


def _happen(world: Any, model: Model, step: str, number: int) -> None:
    """What the anchorer has no part in."""
    if step == "append":
        world.log.append(number)
    elif step == "mine":
        for _ in range(number):
            model.mine()
    elif step in ("forget", "shuffle"):
        model.reorganise(number, kept=step == "shuffle")
    elif step == "drop":
        model.pool.clear()
    elif step == "spend":
        model.spend()
    else:
        model.down = not model.down


async def _run(anchorer: Any, now: datetime) -> None:
    try:
        await anchorer.run_once(now)
    except (ChainUnavailableError, AnchorRevertedError):
        return


async def _calm(world: Any, model: Model, anchorer: Any, now: datetime) -> None:
    """The chain goes on without faults: all is anchored soon, and each receipt is true."""
    model.down = False
    world.log.append(1)
    for _ in range(60):
        now += timedelta(seconds=61)
        await _run(anchorer, now)
        model.mine()
        model.mine()
    events = len(world.log.events)
    assert anchorer.lag == 0
    assert not anchorer.under_way
    sizes = [call.size for call in model.accepted()]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == events
    assert {call.log for call in model.accepted()} == {log_id(world.seeds.origin)}
    for index in range(events):
        told = receipt.parse(await anchorer.prove(index, *world.log.events[index]))
        block = model.blocks[told.anchor.block]
        assert block.hash_ == told.anchor.block_hash
        assert told.anchor.transaction in block.transactions
        found = model.find(told.anchor.hash_)
        assert found is not None
        assert (found.size, found.final) == (told.size, True)
    assert decode_anchor(world.journal.anchors[max(world.journal.anchors)]).made.size == events
