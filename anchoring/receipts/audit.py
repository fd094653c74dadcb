"""Recompute a whole log from the store, and name the first thing that is wrong.

Pure: takes the events in their order and the checkpoints that were anchored, gives what was proved.
It proves that the store still holds, at every position, what was anchored; events after the last
anchor are only proved to match their own commitments, and the finding says how many those are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from anchoring.chain.chain import Head
from anchoring.chain.journal import decode_anchor
from anchoring.errors import AuditFailure, CommitmentError, VerificationError
from anchoring.log import checkpoint, merkle
from anchoring.log.checkpoint import LogKey
from anchoring.log.commitment import COMMITMENT_BYTES, check_commitment
from anchoring.log.merkle import Tree
from anchoring.log.tiles import HEIGHT, WIDTH, Tile

_PROGRESS_EVERY = 1000


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of the log, as the store holds it.

    Attributes:
        index: Its position in the log.
        commitment: What the log committed to.
        event: The AuditEvent's stored bytes; None if it was erased with its patient's key.
        k: The commitment's key; None if it was erased.
    """

    index: int
    commitment: bytes
    event: bytes | None
    k: bytes | None


@dataclass(frozen=True, slots=True)
class AnchoredRoot:
    """A checkpoint that was anchored: from the journal, or better, from the chain.

    Attributes:
        size: Leaves.
        root: Root over them.
        void: Whether it anchors nothing any more; the log must lead to it all the same, since it was signed.
    """

    size: int
    root: bytes
    void: bool = False


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """What the recomputation proved.

    Attributes:
        events: Events in the log.
        opened: Events that were compared with their commitment; the others were erased.
        anchors: Anchored checkpoints that the log leads to.
        anchored_events: Events that the newest of them covers.
        root: Root over all events.
    """

    events: int
    opened: int
    anchors: int
    anchored_events: int
    root: bytes


def read_anchor(record: bytes, keys: Sequence[LogKey]) -> AnchoredRoot:
    """Read an anchor from the journal, and prove that the log signed its checkpoint.

    Args:
        record: What ``AnchorJournal.save_anchor`` stored.
        keys: The log's keys; each must have signed.

    Raises:
        AuditFailure: The record is malformed, not signed, or says otherwise than its checkpoint.
    """
    try:
        anchored = decode_anchor(record)
        made = anchored.made
        signed = checkpoint.verify(made.checkpoint, keys)
    except VerificationError as error:
        raise AuditFailure(0, f"an anchor in the journal is refused: {error}") from error
    if (signed.size, signed.root) != (made.size, made.root):
        raise AuditFailure(made.size, f"the anchor of size {made.size} is not its checkpoint's")
    return AnchoredRoot(made.size, made.root, anchored.is_void)


def audit_log(
    events: Iterable[StoredEvent],
    anchors: Sequence[AnchoredRoot],
    head: Head | None = None,
    progress: Callable[[int], None] = lambda _: None,
    tiles: Iterable[Tile] = (),
) -> AuditFinding:
    """Prove that the store's log is the one that was anchored; returning means proved.

    Args:
        events: Every event, in the order of the log.
        anchors: The anchored checkpoints, in any order.
        head: The contract's newest state of the log, if a chain was asked.
        progress: Called with the number of events done, every 1,000.
        tiles: Those in the store, level by level, each in the order of their indexes.

    Raises:
        AuditFailure: The first wrong thing: a gap, an event that its commitment does not open, a
            root that the events do not lead to, a log shorter than what was anchored, a tile that
            is missing before others or that the events do not lead to.
    """
    expected = _expected_roots(anchors, head)
    tree, opened = Tree(), 0
    _check_root(tree, expected)
    for event in events:
        opened += _check_event(event, tree.size)
        tree.append(merkle.leaf_hash(event.commitment))
        _check_root(tree, expected)
        if tree.size % _PROGRESS_EVERY == 0:
            progress(tree.size)
    newest = max(expected, default=0)
    if newest > tree.size:
        raise AuditFailure(tree.size, f"the log ends at {tree.size}, but {newest} were anchored")
    _check_growth(tree, sorted(expected))
    _check_tiles(tree, tiles)
    held = expected.keys() - {anchor.size for anchor in anchors if anchor.void}
    return AuditFinding(tree.size, opened, len(held), max(held, default=0), tree.root(tree.size))


def _expected_roots(anchors: Sequence[AnchoredRoot], head: Head | None) -> dict[int, bytes]:
    known = [*anchors]
    if head is not None and head.size:
        known.append(AnchoredRoot(head.size, head.root))
    expected: dict[int, bytes] = {}
    for anchor in known:
        if expected.setdefault(anchor.size, anchor.root) != anchor.root:
            raise AuditFailure(anchor.size, f"two roots were anchored for size {anchor.size}")
    return expected


def _check_event(event: StoredEvent, index: int) -> int:
    """Check one event; 1 if it could be opened, 0 if it was erased."""
    if event.index != index:
        raise AuditFailure(index, f"event {index} is missing: {event.index} follows")
    if len(event.commitment) != COMMITMENT_BYTES:
        raise AuditFailure(index, f"the commitment of event {index} has a wrong length")
    if event.event is None and event.k is None:
        return 0
    if event.event is None or event.k is None:
        raise AuditFailure(index, f"event {index} is erased in part")
    try:
        check_commitment(event.commitment, event.event, event.k)
    except CommitmentError as error:
        raise AuditFailure(index, f"event {index} is not what was committed to") from error
    return 1


def _check_root(tree: Tree, expected: dict[int, bytes]) -> None:
    anchored = expected.get(tree.size)
    if anchored is not None and tree.root(tree.size) != anchored:
        raise AuditFailure(
            tree.size, f"the first {tree.size} events do not lead to the root anchored for them"
        )


def _check_growth(tree: Tree, sizes: list[int]) -> None:
    """Verify each step from one anchor to the next as the contract does."""
    for old, new in pairwise(sizes):
        path = tree.consistency_path(old, new)
        merkle.verify_consistency(old, new, path, tree.root(old), tree.root(new))


def _check_tiles(tree: Tree, tiles: Iterable[Tile]) -> None:
    """Compare what proofs are made of, and what is served, with what was recomputed."""
    level, index = 0, 0
    for tile in tiles:
        level, index = (level, index) if tile.level == level else (tile.level, 0)
        start = index << HEIGHT * (level + 1)
        if tile.index != index:
            raise AuditFailure(start, f"tile {index} of level {level} is missing")
        end = index + 1 << HEIGHT * (level + 1)
        if end > tree.size:
            raise AuditFailure(start, f"tile {index} of level {level} has events beyond the log's")
        if (tile.hashes, tile.root) != (_hashes(tree, tile), tree.range_root(start, end)):
            raise AuditFailure(start, f"tile {index} of level {level} is not what its events give")
        index += 1


def _hashes(tree: Tree, tile: Tile) -> bytes:
    width = 1 << HEIGHT * tile.level
    starts = range(tile.index * WIDTH * width, (tile.index + 1) * WIDTH * width, width)
    return b"".join(tree.range_root(start, start + width) for start in starts)
