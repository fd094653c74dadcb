"""The log over tiles against the tree in memory, the RFC's own recursion, and pymerkle."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from anchoring.errors import HistoryError, MerkleError
from anchoring.log import merkle
from anchoring.log.log import Log
from anchoring.log.merkle import Tree, leaf_hash
from anchoring.log.tiles import Tile

from ..logs import MemoryLeaves, MemoryTiles, commitments

MOST = 70_000  # the example of C2SP tlog-tiles: three levels
ALL = commitments(MOST)


class CrashError(Exception):
    """The process dies here."""


class CrashingTiles(MemoryTiles):
    """Dies instead of keeping the n-th commit, or after it."""

    def __init__(self, commits: int, *, after: bool) -> None:
        super().__init__()
        self.commits, self.after = commits, after

    async def save(self, tiles: Sequence[Tile]) -> None:
        self.commits -= 1
        if self.commits == 0 and not self.after:
            raise CrashError
        await super().save(tiles)
        if self.commits == 0:
            raise CrashError


@pytest.fixture(scope="module")
def tree() -> Tree:
    grown = Tree()
    grown.extend(map(leaf_hash, ALL))
    return grown


@pytest.fixture(scope="module")
def written() -> MemoryTiles:
    """All tiles of the 70,000 leaves."""
    tiles = MemoryTiles()
    asyncio.run(Log(MemoryLeaves(ALL), tiles).grow())
    return tiles


def partly(tiles: MemoryTiles, most: int) -> MemoryTiles:
    """As if the writer had died when this many tiles of leaves were written."""
    left = MemoryTiles()
    left.held = {at: tile for at, tile in tiles.held.items() if at[1] + 1 << 8 * at[0] <= most}
    return left


async def test_every_root_and_proof_of_small_logs_is_the_tree_s(tree: Tree) -> None:
    log = Log(MemoryLeaves(ALL[:300]), MemoryTiles())
    await log.grow()
    for size in range(301):
        assert await log.root(size) == tree.root(size)
        for other in {0, size // 3, size // 2, max(size - 1, 0)}:
            assert await log.consistency_path(other, size) == tree.consistency_path(other, size)
            if other < size:
                assert await log.inclusion_path(other, size) == tree.inclusion_path(other, size)


def test_the_root_of_257_leaves_is_pymerkle_s() -> None:
    oracle = InmemoryTree(algorithm="sha256")
    for commitment in ALL[:600]:
        oracle.append_entry(commitment)
    log = Log(MemoryLeaves(ALL[:600]), MemoryTiles())
    for size in (1, 255, 256, 257, 511, 512, 513, 600):
        assert asyncio.run(log.root(size)) == oracle.get_state(size)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_proofs_of_any_size_are_the_tree_s_however_far_the_tiles_are_written(
    tree: Tree, written: MemoryTiles, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, MOST))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    tiles = partly(written, data.draw(st.sampled_from([273, 272, 257, 256, 250])))
    log = Log(MemoryLeaves(ALL), tiles)

    async def prove() -> None:
        assert await log.leaf(index) == tree.leaf(index)
        assert await log.root(size) == tree.root(size)
        assert await log.inclusion_path(index, size) == tree.inclusion_path(index, size)
        assert await log.consistency_path(old, size) == tree.consistency_path(old, size)

    asyncio.run(prove())


async def test_a_log_without_any_tile_proves_all_the_same(tree: Tree) -> None:
    log = Log(MemoryLeaves(ALL), MemoryTiles())
    assert await log.root(MOST) == tree.root(MOST)


async def test_the_tiles_are_those_of_the_standard(tree: Tree, written: MemoryTiles) -> None:
    # C2SP tlog-tiles, "Partial Tiles": 273 full tiles at level 0, one at level 1
    assert sorted(written.held) == [*((0, n) for n in range(273)), (1, 0)]
    for (level, index), tile in written.held.items():
        nodes = [tree._node(8 * level, 256 * index + i) for i in range(256)]
        assert tile.hashes == b"".join(nodes)
        assert tile.root == merkle.root(nodes)
    log = Log(MemoryLeaves(ALL), written)
    assert await log.hashes(0, 273, 112) == b"".join(map(leaf_hash, ALL[-112:]))
    assert await log.hashes(1, 1, 17) == b"".join(tree._node(8, 256 + i) for i in range(17))
    assert await log.hashes(2, 0, 1) == tree.root(65536)
    assert await log.entries(273, 112) == ALL[-112:]
    for wrong in ((0, 273, 113), (1, 1, 18), (2, 0, 2), (3, 0, 1)):
        with pytest.raises(MerkleError):
            await log.hashes(*wrong)
    with pytest.raises(MerkleError):
        await log.entries(273, 113)


async def test_a_proof_reads_few_tiles_and_a_start_reads_none(written: MemoryTiles) -> None:
    log = Log(MemoryLeaves(ALL), written)
    written.loads = 0
    await log.look()
    assert written.loads == 0
    await log.inclusion_path(12_345, 69_999)
    assert written.loads <= 8  # three on the way of the leaf, three at the edge with their roots


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("commits", [1, 2, 16, 17])
async def test_a_writer_that_died_is_followed_by_one_that_goes_on(
    written: MemoryTiles, commits: int, after: bool
) -> None:
    tiles = CrashingTiles(commits, after=after)
    with pytest.raises(CrashError):
        await Log(MemoryLeaves(ALL), tiles).grow()
    assert len(tiles.held) == 16 * (commits - 1 + after) + (commits - 1 + after >= 16)
    tiles.commits = 0
    await Log(MemoryLeaves(ALL), tiles).grow()
    assert tiles.held == written.held


async def test_the_log_may_grow_by_any_steps(written: MemoryTiles) -> None:
    chance, tiles, size = random.Random(7), MemoryTiles(), 0
    leaves = MemoryLeaves([])
    log = Log(leaves, tiles)
    while size < MOST:
        size = min(MOST, size + chance.randrange(1, 9000))
        leaves.held = ALL[:size]
        await log.grow()
        assert await tiles.count(0) == size // 256
        assert await log.untiled() == 0
    assert tiles.held == written.held


async def test_two_writers_at_once_write_the_same(written: MemoryTiles) -> None:
    tiles = MemoryTiles()
    logs = [Log(MemoryLeaves(ALL), tiles) for _ in range(3)]
    await asyncio.gather(*(log.grow() for log in logs))
    assert tiles.held == written.held


async def test_filling_is_told_as_it_goes_on() -> None:
    told: list[tuple[int, int]] = []
    log = Log(MemoryLeaves(ALL[:10_000]), MemoryTiles())
    assert await log.untiled() == 39
    await log.grow(lambda done, goal: told.append((done, goal)))
    assert told == [(16, 39), (32, 39), (39, 39)]


async def test_an_empty_log_has_the_empty_root_and_nothing_else() -> None:
    log = Log(MemoryLeaves([]), MemoryTiles())
    await log.grow()
    assert await log.root(0) == merkle.EMPTY_ROOT
    assert await log.consistency_path(0, 0) == []
    for wrong in (0, -1, 1):
        with pytest.raises(MerkleError):
            await log.leaf(wrong)
    with pytest.raises(MerkleError):
        await log.root(-1)


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (0, 11), (0, -1)])
async def test_what_the_log_never_had_is_not_proved(index: int, size: int) -> None:
    log = Log(MemoryLeaves(ALL[:10]), MemoryTiles())
    with pytest.raises(MerkleError):
        await log.inclusion_path(index, size)


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5), (0, 11)])
async def test_no_consistency_is_proved_of_sizes_that_it_never_had(old: int, new: int) -> None:
    log = Log(MemoryLeaves(ALL[:10]), MemoryTiles())
    with pytest.raises(MerkleError):
        await log.consistency_path(old, new)


async def test_a_log_that_lost_events_is_refused() -> None:
    leaves, tiles = MemoryLeaves(ALL[:600]), MemoryTiles()
    log = Log(leaves, tiles)
    await log.grow()
    root = await log.root(600)
    await log.require_past(600, root)
    leaves.held = ALL[:511]
    with pytest.raises(HistoryError):
        await log.look()
    for known in (Log(leaves, tiles), Log(leaves, MemoryTiles())):  # by its tiles, by the anchor
        with pytest.raises(HistoryError):
            await known.require_past(600, root)


async def test_a_root_of_another_log_is_no_past_of_this_one(tree: Tree) -> None:
    log = Log(MemoryLeaves(ALL[:600]), MemoryTiles())
    await log.require_past(0, merkle.EMPTY_ROOT)
    with pytest.raises(HistoryError):
        await log.require_past(599, tree.root(600))


@pytest.mark.parametrize("broken", [b"", b"x" * 31, b"x" * 33])
async def test_a_commitment_of_a_wrong_length_is_never_hashed(broken: bytes) -> None:
    log = Log(MemoryLeaves([*ALL[:300], broken]), MemoryTiles())
    with pytest.raises(HistoryError):
        await log.root(301)
    log = Log(MemoryLeaves([broken, *ALL[:300]]), MemoryTiles())
    with pytest.raises(HistoryError):
        await log.grow()


async def test_a_hole_among_the_commitments_is_not_jumped_over() -> None:
    class Holed(MemoryLeaves):
        async def commitments(self, start: int, stop: int) -> list[bytes]:
            return self.held[start : min(stop, 100)] + self.held[max(start, 101) : stop]

    log = Log(Holed(ALL[:300]), MemoryTiles())
    with pytest.raises(HistoryError):
        await log.grow()


async def test_a_tile_that_was_cut_in_the_store_is_refused(written: MemoryTiles) -> None:
    tiles = partly(written, MOST)
    tiles.held[0, 3] = Tile(0, 3, tiles.held[0, 3].hashes[:-1], tiles.held[0, 3].root)
    with pytest.raises(HistoryError):
        await Log(MemoryLeaves(ALL), tiles).inclusion_path(3 * 256, MOST)


async def test_the_tiles_used_last_are_kept_within_bounds(written: MemoryTiles) -> None:
    log = Log(MemoryLeaves(ALL), written)
    for index in range(0, MOST, 256):
        await log.leaf(index)
    assert len(log._rows[0]._kept) == 64
