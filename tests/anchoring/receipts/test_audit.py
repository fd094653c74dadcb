"""Whole-log recomputation: every way to tamper with the store is found at its place."""

import dataclasses
import hashlib
from types import SimpleNamespace

import pytest

from anchoring.chain.chain import Head
from anchoring.chain.journal import decode_anchor, encode_anchor
from anchoring.errors import AuditFailure
from anchoring.log import merkle
from anchoring.log.checkpoint import LogSeeds
from anchoring.log.commitment import commit
from anchoring.log.log import Log
from anchoring.log.merkle import Tree
from anchoring.log.tiles import Tile, full_tile
from anchoring.receipts.audit import AnchoredRoot, AuditFinding, StoredEvent, audit_log, read_anchor

from ..logs import MemoryLeaves, MemoryTiles

COUNT = 40


def stored(index: int, text: bytes = b"event") -> StoredEvent:
    event, k = b"%s %d" % (text, index), hashlib.sha256(b"%d" % index).digest()
    return StoredEvent(index, commit(event, k), event, k)


EVENTS = [stored(i) for i in range(COUNT)]
TREE = Tree()
TREE.extend(merkle.leaf_hash(event.commitment) for event in EVENTS)
ANCHORS = [AnchoredRoot(size, TREE.root(size)) for size in (7, 16, 33)]


def failure(events: list[StoredEvent], anchors: list[AnchoredRoot] = ANCHORS) -> AuditFailure:
    with pytest.raises(AuditFailure) as found:
        audit_log(events, anchors)
    return found.value


def test_an_untouched_log_is_proved_whole() -> None:
    assert audit_log(iter(EVENTS), ANCHORS) == AuditFinding(COUNT, COUNT, 3, 33, TREE.root(COUNT))


def test_an_empty_log_proves_only_that_nothing_was_anchored() -> None:
    assert audit_log([], []).events == 0
    assert failure([]).index == 0


def test_a_changed_event_is_named() -> None:
    for index in range(COUNT):
        changed = dataclasses.replace(EVENTS[index], event=b"changed")
        found = failure([*EVENTS[:index], changed, *EVENTS[index + 1 :]])
        assert found.index == index
        assert f"event {index} is not what was committed to" in str(found)


def test_an_event_changed_with_its_commitment_is_found_at_the_next_anchor() -> None:
    for index in range(33):
        found = failure([*EVENTS[:index], stored(index, b"forged"), *EVENTS[index + 1 :]])
        assert found.index == min(size for size in (7, 16, 33) if size > index)
        assert "do not lead to the root" in str(found)


def test_a_changed_key_or_commitment_is_named() -> None:
    for changed in (
        dataclasses.replace(EVENTS[9], k=bytes(32)),
        dataclasses.replace(EVENTS[9], k=b"short"),
        dataclasses.replace(EVENTS[9], commitment=bytes(32)),
        dataclasses.replace(EVENTS[9], commitment=b"short"),
        dataclasses.replace(EVENTS[9], event=None),
        dataclasses.replace(EVENTS[9], k=None),
    ):
        assert failure([*EVENTS[:9], changed, *EVENTS[10:]]).index == 9


def test_a_deleted_event_is_named() -> None:
    for index in range(COUNT - 1):
        found = failure([*EVENTS[:index], *EVENTS[index + 1 :]])
        assert (found.index, "is missing" in str(found)) == (index, True)


def test_a_deleted_event_whose_place_was_closed_up_is_found() -> None:
    for index in range(33):
        moved = [dataclasses.replace(e, index=e.index - 1) for e in EVENTS[index + 1 :]]
        assert failure([*EVENTS[:index], *moved]).index in (7, 16, 33)


def test_an_inserted_event_is_found() -> None:
    for index in range(33):
        moved = [dataclasses.replace(e, index=e.index + 1) for e in EVENTS[index:]]
        found = failure([*EVENTS[:index], stored(index, b"inserted"), *moved])
        assert found.index == min(size for size in (7, 16, 33) if size > index)


def test_a_doubled_event_is_named() -> None:
    assert failure([*EVENTS[:5], EVENTS[4], *EVENTS[5:]]).index == 5


def test_reordered_events_are_found() -> None:
    for index in range(32):
        one, other = EVENTS[index], EVENTS[index + 1]
        swapped = [dataclasses.replace(other, index=index)]
        swapped += [dataclasses.replace(one, index=index + 1)]
        assert failure([*EVENTS[:index], *swapped, *EVENTS[index + 2 :]]).index in (7, 16, 33)
        assert failure([*EVENTS[:index], other, one, *EVENTS[index + 2 :]]).index == index


def test_a_truncated_log_is_found() -> None:
    for length in range(33):
        found = failure(EVENTS[:length])
        assert found.index == length
        assert "33 were anchored" in str(found)


def test_a_truncation_after_the_last_anchor_is_found_only_by_the_head_of_the_chain() -> None:
    assert audit_log(EVENTS[:35], ANCHORS).anchored_events == 33
    with pytest.raises(AuditFailure, match="40 were anchored"):
        audit_log(EVENTS[:35], ANCHORS, Head(bytes(20), COUNT, TREE.root(COUNT)))


def test_a_forged_list_of_anchors_is_found() -> None:
    assert failure(EVENTS, [AnchoredRoot(7, bytes(32))]).index == 7
    assert failure(EVENTS, [AnchoredRoot(0, bytes(32))]).index == 0
    assert failure(EVENTS, [*ANCHORS, AnchoredRoot(7, bytes(32))]).index == 7
    assert failure(EVENTS, [AnchoredRoot(41, bytes(32))]).index == COUNT
    with pytest.raises(AuditFailure):
        audit_log(EVENTS, ANCHORS, Head(bytes(20), 33, bytes(32)))


def test_erased_events_leave_all_else_provable() -> None:
    erased = [
        dataclasses.replace(event, event=None, k=None) if event.index % 3 else event
        for event in EVENTS
    ]
    found = audit_log(erased, ANCHORS)
    assert (found.events, found.opened, found.anchors) == (COUNT, 14, 3)


def test_anchors_of_the_journal_count_only_as_the_log_signed_them(
    anchored: SimpleNamespace,
) -> None:
    world = anchored.world
    keys = world.seeds.public_keys()
    records = world.journal.anchors
    events = [StoredEvent(i, commit(*opened), *opened) for i, opened in enumerate(world.log.events)]
    roots = [read_anchor(record, keys) for record in records.values()]
    assert audit_log(events, roots).anchors == 3
    stranger = LogSeeds(world.seeds.origin, b"\x08" * 32, b"\x09" * 32).public_keys()
    others = list(records.values())
    for record, by in (
        (others[0], stranger),
        (others[0], ()),
        (b"{}", keys),
        (others[0].replace(b'"size": 5', b'"size": 6'), keys),
    ):
        with pytest.raises(AuditFailure):
            read_anchor(record, by)


def test_an_anchor_that_became_void_is_compared_but_not_counted(anchored: SimpleNamespace) -> None:
    world = anchored.world
    keys = world.seeds.public_keys()
    last = decode_anchor(list(world.journal.anchors.values())[-1])
    void = encode_anchor(dataclasses.replace(last, block_hash=bytes(32)))
    events = [StoredEvent(i, commit(*opened), *opened) for i, opened in enumerate(world.log.events)]
    roots = [read_anchor(record, keys) for record in list(world.journal.anchors.values())[:-1]]
    found = audit_log(events, [*roots, read_anchor(void, keys)])
    assert (found.anchors, found.anchored_events) == (2, max(root.size for root in roots))
    with pytest.raises(AuditFailure, match="were anchored"):
        audit_log(events[: last.made.size - 1], [*roots, read_anchor(void, keys)])


def test_progress_is_told() -> None:
    told: list[int] = []
    audit_log((stored(i) for i in range(3500)), [], progress=told.append)
    assert told == [1000, 2000, 3000]


async def tiled(count: int) -> tuple[list[StoredEvent], list[Tile]]:
    """A log of unopened events, and its tiles."""
    events = [StoredEvent(i, hashlib.sha256(b"%d" % i).digest(), None, None) for i in range(count)]
    tiles = MemoryTiles()
    await Log(MemoryLeaves([event.commitment for event in events]), tiles).grow()
    return events, [tiles.held[at] for at in sorted(tiles.held)]


async def test_tiles_that_the_events_lead_to_are_proved_with_them() -> None:
    events, tiles = await tiled(66_000)
    assert [(t.level, t.index) for t in tiles[-2:]] == [(0, 256), (1, 0)]
    assert audit_log(events, [], tiles=tiles).events == 66_000


async def test_a_tile_that_is_wrong_missing_or_beyond_the_log_is_named() -> None:
    events, tiles = await tiled(66_000)
    hashes = bytes(32) + tiles[3].hashes[32:]
    upper = bytes(32) + tiles[257].hashes[32:]
    for wrong, index in (
        ([*tiles[:3], dataclasses.replace(tiles[3], root=bytes(32)), *tiles[4:]], 3 * 256),
        ([*tiles[:3], dataclasses.replace(tiles[3], hashes=hashes), *tiles[4:]], 3 * 256),
        ([*tiles[:3], full_tile(0, 3, hashes), *tiles[4:]], 3 * 256),
        ([*tiles[:3], *tiles[4:]], 3 * 256),
        ([*tiles[:257], full_tile(1, 0, upper)], 0),
        ([*tiles[:257], full_tile(0, 257, hashes), tiles[257]], 257 * 256),
    ):
        with pytest.raises(AuditFailure) as found:
            audit_log(events, [], tiles=wrong)
        assert found.value.index == index
