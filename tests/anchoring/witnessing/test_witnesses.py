"""Our witnesses: those who cosign, lie, hang, send rubbish, or know more than we do."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from anchoring.errors import (
    CheckpointError,
    NotCosignedError,
    StaleCheckpointError,
    WitnessRefusal,
    WitnessSilentError,
)
from anchoring.log import checkpoint as note
from anchoring.log.checkpoint import LogSeeds, WitnessSeeds
from anchoring.log.log import Log
from anchoring.witnessing import witnesses as asking
from anchoring.witnessing.announcing import Announcer
from anchoring.witnessing.witness import Witness, parse_submission
from anchoring.witnessing.witnesses import Quorum, Reply, WitnessAt, Witnesses

from ..logs import MemoryLeaves, MemoryRecords, MemoryTiles, commitments

LOG = LogSeeds("hospital.example/audit", b"\x02" * 32, b"\x03" * 32)
EVENTS = commitments(700)
Answer = Callable[[bytes], Awaitable[Reply]]


def seeds(name: str) -> WitnessSeeds:
    return WitnessSeeds(f"{name}.example/witness", name.encode() * 32, name.encode() * 32)


def fresh(name: str) -> Witness:
    """A witness that has cosigned nothing."""
    return Witness(seeds(name), {LOG.origin: LOG.public_keys()}, MemoryRecords())


class Net:
    """Witnesses by the letter of their host, each in memory unless a test puts another answer in its place."""

    def __init__(self, now: datetime, names: str = "ab") -> None:
        self.now = now
        self.records = MemoryRecords()
        self.told: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.olds: list[int] = []
        self.at = {name: fresh(name) for name in names}
        self.instead: dict[str, Answer] = {}

    async def post(self, url: str, body: bytes) -> Reply:
        name = url.removeprefix("https://")[0]
        assert url == f"https://{name}.example/log/add-checkpoint"
        self.asked.append(name)
        self.olds.append(parse_submission(body).old)
        if name in self.instead:
            return await self.instead[name](body)
        return await self.honest(name, body)

    async def honest(self, name: str, body: bytes) -> Reply:
        try:
            lines = await self.at[name].add_checkpoint(body, self.now)
        except StaleCheckpointError as refusal:
            return Reply(409, "text/x.tlog.size", b"%d\n" % refusal.size)
        except WitnessRefusal as refusal:
            return Reply(refusal.status, "text/plain", b"no\n")
        return Reply(200, "text/plain; charset=utf-8", lines.encode())

    def quorum(self, needed: int = 0, *, waits: bool = False) -> Quorum:
        named = tuple(
            WitnessAt(f"https://{name}.example/log", witness.keys)
            for name, witness in self.at.items()
        )
        return Quorum(named, needed, waits)

    def announcer(self, quorum: Quorum | None = None, events: int = 700) -> Announcer:
        """A process of our server, just started."""
        log = Log(MemoryLeaves(EVENTS[:events]), MemoryTiles())
        cosigned = Witnesses(
            self.quorum() if quorum is None else quorum,
            self.post,
            self.records,
            lambda name, words: self.told.append((name[0], words.partition(":")[0])),
        )
        return Announcer(log, LOG, self.records, cosigned)


@pytest.fixture
def net(now: datetime) -> Net:
    return Net(now)


async def names(announcer: Announcer, signed: str) -> set[str]:
    """Who cosigned, by the letters of their hosts, with both keys each."""
    keys = (await announcer.signed_by(signed)).witnesses
    found = {key.name[0] for key in keys}
    assert len(keys) == 2 * len(found)
    return found


async def test_what_is_announced_carries_the_cosignatures_of_all(net: Net) -> None:
    announcer = net.announcer(net.quorum(2))
    for size in (1, 300, 700):
        announced = await announcer.announce(size, net.now)
        assert await names(announcer, announced.note) == {"a", "b"}
        assert note.verify(announced.note, [*announcer.keys, *net.at["a"].keys]).size == size
    newest = await announcer.newest()
    assert newest is not None
    assert newest.note == announced.note
    assert (await announcer.signed_by(announced.note)).quorum == 2
    assert net.olds == [0, 0, 1, 1, 300, 300]
    assert net.told == []


async def test_without_witnesses_nobody_is_asked(net: Net) -> None:
    announcer = net.announcer(Quorum())
    announced = await announcer.announce(5, net.now)
    assert (await announcer.signed_by(announced.note)).witnesses == ()
    assert net.asked == []


async def test_a_restart_goes_on_from_the_size_that_was_cosigned(net: Net) -> None:
    await net.announcer().announce(300, net.now)
    await net.announcer().announce(700, net.now)
    assert net.olds == [0, 0, 300, 300]


async def test_a_log_that_forgot_goes_on_from_the_size_that_the_witness_tells(net: Net) -> None:
    await net.announcer().announce(300, net.now)
    net.records.held.clear()
    announcer = net.announcer()
    announced = await announcer.announce(700, net.now)
    assert await names(announcer, announced.note) == {"a", "b"}
    assert sorted(net.olds) == [0, 0, 0, 0, 300, 300]


async def test_a_witness_that_lost_its_memory_is_asked_from_the_beginning(net: Net) -> None:
    await net.announcer().announce(300, net.now)
    net.at["a"] = fresh("a")
    announcer = net.announcer()
    announced = await announcer.announce(700, net.now)
    assert await names(announcer, announced.note) == {"a", "b"}


async def test_a_log_that_was_rolled_back_is_told_so_by_its_witnesses(net: Net) -> None:
    await net.announcer().announce(700, net.now)
    rolled_back = net.announcer(events=400)
    announced = await rolled_back.announce(400, net.now)
    assert await names(rolled_back, announced.note) == set()
    assert net.told == [("a", "ahead"), ("b", "ahead")]


async def _hang(_: bytes) -> Reply:
    await asyncio.sleep(60)
    raise AssertionError


async def _unreachable(_: bytes) -> Reply:
    raise WitnessSilentError("not reached: ConnectError")


def replying(status: int, body: bytes, media_type: str = "text/plain") -> Answer:
    async def answer(_: bytes) -> Reply:
        return Reply(status, media_type, body)

    return answer


RUBBISH = [
    b"", b"\n", b"rubbish", b"\xff\xfe", b"\xe2\x80\x94 a.example/witness AAAA\n", b"x" * 100_000,
    f"— a.example/witness {base64.b64encode(seeds('a').public_keys()[0].key_id + bytes(72)).decode()}\n".encode(),
    note.cosign(note.Checkpoint(LOG.origin, 300, bytes(32)), seeds("a"), datetime.fromisoformat("2026-11-21")).encode(),
    note.cosign(note.Checkpoint(LOG.origin, 300, bytes(32)), seeds("c"), datetime.fromisoformat("2026-11-21")).encode(),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_hang, "silent"),
        (_unreachable, "not reached"),
        *((replying(200, body), "rubbish") for body in RUBBISH),
        *((replying(status, b"no\n"), "refused") for status in (204, 302, 400, 403, 404, 422, 500)),
        (replying(409, b"5\n"), "refused"),  # of another media type
        (replying(409, b"x\n", "text/x.tlog.size"), "refused"),
        (replying(409, b"-5\n", "text/x.tlog.size"), "refused"),
        (replying(409, b"9" * 5000, "text/x.tlog.size"), "refused"),
        (replying(409, b"200\n", "text/x.tlog.size"), "refused"),  # again and again
        (replying(409, b"301\n", "text/x.tlog.size"), "ahead"),
    ],
)
async def test_a_witness_that_does_not_cosign_keeps_nobody_else_from_it(
    net: Net, monkeypatch: pytest.MonkeyPatch, answer: Answer, words: str
) -> None:
    monkeypatch.setattr(asking, "_SECONDS", 0.2)
    net.instead["a"] = answer
    announcer = net.announcer(net.quorum(2))
    announced = await announcer.announce(300, net.now)
    assert net.told == [("a", words)]
    assert await names(announcer, announced.note) == {"b"}
    assert announcer.uncosigned == 1
    assert net.asked.count("a") <= 2


async def test_lines_of_strangers_are_dropped_from_an_answer(net: Net) -> None:
    async def crowded(body: bytes) -> Reply:
        reply = await net.honest("a", body)
        stranger = note.cosign(parse_submission(body).state, seeds("z"), net.now)
        return Reply(200, reply.media_type, stranger.encode() + reply.body + reply.body)

    net.instead["a"] = crowded
    announcer = net.announcer()
    announced = await announcer.announce(300, net.now)
    assert await names(announcer, announced.note) == {"a", "b"}
    assert announced.note.count("— ") == 6
    assert "z.example" not in announced.note


async def test_with_too_few_cosignatures_the_policy_may_be_to_wait(net: Net) -> None:
    net.instead["a"] = _unreachable
    announcer = net.announcer(net.quorum(2, waits=True))
    with pytest.raises(NotCosignedError):
        await announcer.announce(300, net.now)
    assert await announcer.newest() is None
    del net.instead["a"]
    asked = len(net.asked)
    with pytest.raises(NotCosignedError, match="again"):
        await announcer.announce(300, net.now + timedelta(seconds=1))
    assert len(net.asked) == asked  # nobody is pestered
    announced = await announcer.announce(400, net.now + timedelta(seconds=3))
    assert await names(announcer, announced.note) == {"a", "b"}


async def test_rounds_without_a_quorum_come_ever_more_rarely(net: Net) -> None:
    net.instead["a"] = net.instead["b"] = _unreachable
    announcer, rounds = net.announcer(net.quorum(1, waits=True)), 0
    for second in range(600):
        before = len(net.asked)
        with pytest.raises(NotCosignedError):
            await announcer.announce(300, net.now + timedelta(seconds=second))
        rounds += len(net.asked) > before
    assert 10 < rounds < 20


async def test_who_cosigned_once_is_known_after_the_operator_names_others(net: Net) -> None:
    announced = await net.announcer().announce(300, net.now)
    later = net.announcer(Quorum())
    assert await names(later, announced.note) == {"a", "b"}


async def test_a_note_that_was_changed_where_it_was_kept_gives_no_receipt(net: Net) -> None:
    announcer = net.announcer()
    announced = await announcer.announce(300, net.now)
    other = await announcer.announce(400, net.now)
    line = other.note.splitlines()[6]
    forged = "\n".join([*announced.note.splitlines()[:6], line, ""])
    with pytest.raises(CheckpointError):
        await announcer.signed_by(forged)


async def test_all_are_asked_at_once(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(now, "abcdefghij")
    monkeypatch.setattr(asking, "_SECONDS", 0.2)
    net.instead = dict.fromkeys(net.at, _hang)
    started = asyncio.get_running_loop().time()
    await net.announcer().announce(300, net.now)
    assert asyncio.get_running_loop().time() - started < 1
    assert len(net.told) == 10
