"""A watch hears every event of confirmed blocks at least once: over pauses, reorganisations and nodes that answer badly."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from anchoring.errors import ChainUnavailableError, MalformedAnswerError
from anchoring.registry import watching
from anchoring.registry.consents import Holder, Status, change_call, read_revoked
from anchoring.registry.node import NEWEST, Block, Log
from anchoring.registry.watching import Heard, Place, begin, look

from .conftest import LATER, Registry


def revoke(registry: Registry) -> Holder:
    holder = registry.holder()
    assert registry.send(change_call(registry.domain, holder, Status.REVOKED, LATER))
    return holder


def heard(registry: Registry, place: Place, confirmations: int = 1) -> tuple[list[bytes], Heard]:
    found = look(registry.node, [registry.domain.contract], place, confirmations)
    ids = [read for log in found.logs if (read := read_revoked(log.topics, log.words))]
    return [id_ for id_, _ in ids], found


def test_only_what_comes_is_told_and_all_of_it_in_its_order(registry: Registry) -> None:
    revoke(registry)
    place = begin(registry.node, 1)
    assert heard(registry, place) == ([], Heard([], place, whole=True))
    ids = [revoke(registry).id for _ in range(3)]
    told, found = heard(registry, place)
    assert told == ids
    assert heard(registry, found.place)[0] == []
    assert heard(registry, place)[0] == ids  # a restart that lost its place


def test_a_block_counts_when_it_is_confirmed(registry: Registry) -> None:
    place = begin(registry.node, 1)
    id_ = revoke(registry).id
    for _ in range(2):
        assert heard(registry, place, 3)[0] == []
        registry.anvil.mine()
    assert heard(registry, place, 3)[0] == [id_]


def test_another_contract_is_not_heard(registry: Registry) -> None:
    place = begin(registry.node, 1)
    revoke(registry)
    assert look(registry.node, [bytes(20)], place, 1).logs == []


def test_after_a_reorganisation_the_blocks_are_read_again(registry: Registry) -> None:
    registry.anvil.mine(4)
    place = begin(registry.node, 1)
    first = revoke(registry)
    told, found = heard(registry, place)
    assert told == [first.id]
    registry.anvil.reorg(2)  # what was heard is gone
    second = revoke(registry)
    told, back = heard(registry, found.place)
    assert told == []
    assert back.place.number < place.number
    assert not back.whole
    again: list[bytes] = []
    while not back.whole:
        told, back = heard(registry, back.place)
        again += told
    assert second.id in again


def test_a_long_way_is_read_in_parts(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_BLOCKS", 3)
    place = begin(registry.node, 1)
    ids = [revoke(registry).id for _ in range(4)]
    told: list[bytes] = []
    whole = False
    for _ in range(10):
        if whole:
            break
        more, found = heard(registry, place)
        told, place, whole = told + more, found.place, found.whole
    assert told == ids


class Picky:
    """A node that gives at most two blocks of events at once, or none at all; in memory."""

    def __init__(self, most: int, *, forks: bool = False) -> None:
        self.most, self.forks = most, forks

    def block(self, number: int | str = NEWEST) -> Block | None:
        at = number if isinstance(number, int) else 100
        return Block(at, bytes([at % 256, self.forks]) + bytes(30), at)

    def logs(self, contracts: Sequence[bytes], first: int, last: int) -> list[Log]:
        if last - first >= self.most:
            raise MalformedAnswerError("too long")
        return [Log(contracts[0], (), b"", number, bytes(32)) for number in range(first, last + 1)]


def test_an_answer_that_is_too_long_is_asked_for_in_parts() -> None:
    node = Picky(2)
    place = begin(node, 50)  # type: ignore[arg-type]
    numbers: list[int] = []
    for _ in range(60):
        found = look(node, [bytes(20)], place, 1)  # type: ignore[arg-type]
        numbers += [log.block for log in found.logs]
        place = found.place
        if found.whole:
            break
    assert numbers == list(range(52, 101))


def test_a_node_that_gives_no_events_is_no_answer() -> None:
    node = Picky(0)
    with pytest.raises(ChainUnavailableError):
        look(node, [bytes(20)], begin(node, 50), 1)  # type: ignore[arg-type]
