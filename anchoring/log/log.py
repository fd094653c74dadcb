"""The log: roots and proofs of every size it ever had, out of tiles in the store.

Nothing of the tree is in memory but a few tiles that were used last, and nothing is rebuilt at
start.  A proof reads the tiles on the way of its leaf and those at the right edge, one or two a
level.  Full tiles come from the store; a partial one is made of the commitments, or of the roots of
the tiles below it, and so is a full one that nobody has written yet.  So what is proved never depends
on which process writes the tiles, or on whether one died before it did.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from anchoring.errors import HistoryError, MerkleError
from anchoring.log import merkle
from anchoring.log.commitment import COMMITMENT_BYTES
from anchoring.log.merkle import HASH_BYTES, Range, leaf_hash
from anchoring.log.tiles import HEIGHT, TILE_BYTES, WIDTH, Tile, TileStore, expand, full_tile

_AT_ONCE = 16  # tiles written in one commit
_LEAF_TILES = 64  # kept in memory, 16 KiB each
_UPPER_TILES = 1024  # the same; enough for 67 million leaves


class LeafSource(Protocol):
    """The durable log of commitments, gapless from 0, which only ever grows."""

    async def size(self) -> int:
        """Say how many events there are."""
        ...

    async def commitments(self, start: int, stop: int) -> list[bytes]:
        """Give the 32-byte commitments of events ``start`` to ``stop - 1``; fewer at the end."""
        ...


class Log:
    """One log, for any number of processes that read it, of which one at a time writes its tiles."""

    def __init__(self, leaves: LeafSource, tiles: TileStore) -> None:
        """Keep the parts; nothing is read yet."""
        self._leaves = leaves
        self._tiles = tiles
        self._size = 0
        self._rows = (_Recent(_LEAF_TILES), _Recent(_UPPER_TILES))

    @property
    def size(self) -> int:
        """How many events there were at the last look."""
        return self._size

    async def look(self) -> int:
        """Look how many events there are.

        Raises:
            HistoryError: There are fewer than there were, or than the tiles were made of.
        """
        tiled = await self._tiles.count(0) * WIDTH
        size = await self._leaves.size()
        if size < max(self._size, tiled):
            raise HistoryError(f"the log had {max(self._size, tiled)} events, now it has {size}")
        self._size = size
        return size

    async def untiled(self) -> int:
        """Say how many full tiles of leaves are not in the store yet."""
        return await self.look() // WIDTH - await self._tiles.count(0)

    async def grow(self, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Write the tiles that have become full; a crash at any moment leaves nothing half.

        Args:
            progress: Called with the tiles of leaves that are written, and that there are to be.

        Raises:
            HistoryError: As ``look``; or a commitment is missing, or no commitment.
        """
        goal = await self.look() // WIDTH
        while (start := await self._tiles.count(0)) < goal:
            stop = min(goal, start - start % _AT_ONCE + _AT_ONCE)
            await self._tiles.save(await self._completed(start, stop))
            progress(stop, goal)
            await asyncio.sleep(0)

    async def leaf(self, index: int) -> bytes:
        """Give the leaf hash at ``index``.

        Raises:
            MerkleError: There is no such leaf.
        """
        await self._reach(index + 1)
        if index < 0:
            raise MerkleError("a log has no leaf before its first")
        return (await self._nodes([(index, index + 1)]))(0, index)

    async def root(self, size: int) -> bytes:
        """Give the root that the log had at ``size`` events.

        Raises:
            MerkleError: It never had so many.
        """
        await self._reach(size)
        return (await self._range_roots([(0, size)]))[0]

    async def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """Give the audit path of leaf ``index`` at ``size`` events (RFC 9162, 2.1.3.1).

        Raises:
            MerkleError: The log never had that size, or no such leaf then.
        """
        await self._reach(size)
        return await self._range_roots(merkle.inclusion_ranges(index, size))

    async def consistency_path(self, old: int, new: int) -> list[bytes]:
        """Give the proof that the log at ``old`` events is a prefix of that at ``new`` (2.1.4.1).

        Raises:
            MerkleError: The log never had one of the sizes, or they are the wrong way round.
        """
        await self._reach(new)
        return await self._range_roots(merkle.consistency_ranges(old, new))

    async def require_past(self, size: int, root: bytes) -> None:
        """Refuse a state that is not a past of this log.

        Raises:
            HistoryError: The log is shorter, or another.
        """
        if size > self._size and size > await self.look():
            raise HistoryError(f"the log has {self._size} events, but {size} were anchored")
        if await self.root(size) != root:
            raise HistoryError(f"the first {size} events are not those that were anchored")

    async def hashes(self, level: int, index: int, width: int) -> bytes:
        """Give the first ``width`` hashes of a tile, 32 bytes each.

        Raises:
            MerkleError: The log is too short for them.
        """
        await self._reach(index * WIDTH + width << HEIGHT * level)
        return (await self._expanded(level, index, width))[0][: width * HASH_BYTES]

    async def entries(self, index: int, width: int) -> list[bytes]:
        """Give the commitments that the first ``width`` hashes of a tile of leaves are made of.

        Raises:
            MerkleError: The log is too short for them.
        """
        await self._reach(index * WIDTH + width)
        return await self._commitments(index * WIDTH, index * WIDTH + width)

    async def _reach(self, size: int) -> None:
        if size > self._size and size > await self.look():
            raise MerkleError(f"a log of {self._size} events never had {size}")
        if size < 0:
            raise MerkleError("a log never had fewer events than none")

    async def _range_roots(self, ranges: list[Range]) -> list[bytes]:
        node = await self._nodes(ranges)
        return [merkle.range_root(*each, node) for each in ranges]

    async def _nodes(self, ranges: Iterable[Range]) -> Callable[[int, int], bytes]:
        """Read the tiles that hold these subtrees; what is given back finds a node in them."""
        wanted: dict[tuple[int, int], int] = {}
        for height, position in (n for each in ranges for n in merkle.complete_subtrees(*each)):
            level, index, last = _place(height, position)
            wanted[level, index] = max(wanted.get((level, index), 0), last)
        rows = {at: await self._expanded(*at, width) for at, width in wanted.items()}

        def node(height: int, position: int) -> bytes:
            level, row = divmod(height, HEIGHT)
            index, at = divmod(position, WIDTH >> row)
            return rows[level, index][row][at * HASH_BYTES : (at + 1) * HASH_BYTES]

        return node

    async def _expanded(self, level: int, index: int, width: int) -> list[bytes]:
        recent = self._rows[min(level, 1)]
        rows = recent.get((level, index))
        if rows is None or len(rows[0]) < width * HASH_BYTES:
            rows = expand(await self._read(level, index, width))
            recent.keep((level, index), rows)
        return rows

    async def _read(self, level: int, index: int, width: int) -> bytes:
        """Give the hashes of a tile: all of them if it is in the store, else as many as are wanted."""
        found = await self._tiles.load(level, index)
        if found is not None:
            if len(found.hashes) != TILE_BYTES:
                raise HistoryError(f"tile {index} of level {level} has a wrong length")
            return found.hashes
        start = index * WIDTH
        if level == 0:
            return b"".join(map(leaf_hash, await self._commitments(start, start + width)))
        roots = await self._tiles.roots(level - 1, start, start + width)
        for below in range(start, start + width):
            if below not in roots:  # nobody has written it yet
                roots[below] = expand(await self._read(level - 1, below, WIDTH))[HEIGHT]
        return b"".join(roots[below] for below in range(start, start + width))

    async def _commitments(self, start: int, stop: int) -> list[bytes]:
        found = await self._leaves.commitments(start, stop)
        if len(found) != stop - start:
            raise HistoryError(f"of events {start} to {stop - 1}, {len(found)} are in the log")
        if any(len(commitment) != COMMITMENT_BYTES for commitment in found):
            raise HistoryError(f"a commitment from {start} on has a wrong length")
        return found

    async def _completed(self, start: int, stop: int) -> list[Tile]:
        """Make tiles ``start`` to ``stop - 1`` of the leaves, and those that become full with them."""
        new: list[Tile] = []
        for index in range(start, stop):
            leaves = map(leaf_hash, await self._commitments(index * WIDTH, (index + 1) * WIDTH))
            new.append(full_tile(0, index, b"".join(leaves)))
            await asyncio.sleep(0)  # that was half a millisecond, which nobody notices
        made = list(new)
        while new and (new[-1].index + 1) % WIDTH == 0:  # never crossed inside a batch
            new = [await self._parent(new)]
            made += new
        return made

    async def _parent(self, last: list[Tile]) -> Tile:
        """Make the tile of the roots of 256 tiles, of which these are the last."""
        level, end = last[0].level, last[-1].index + 1
        roots = await self._tiles.roots(level, end - WIDTH, last[0].index)
        roots |= {tile.index: tile.root for tile in last}
        for below in range(end - WIDTH, end):
            if below not in roots:
                roots[below] = expand(await self._read(level, below, WIDTH))[HEIGHT]
        hashes = b"".join(roots[below] for below in range(end - WIDTH, end))
        return full_tile(level + 1, end // WIDTH - 1, hashes)


class NoTiles:
    """A TileStore of which nothing is kept: whoever proves with it recomputes all from the commitments."""

    async def count(self, level: int) -> int:  # noqa: ARG002
        """See ``TileStore.count``."""
        return 0

    async def load(self, level: int, index: int) -> Tile | None:  # noqa: ARG002
        """See ``TileStore.load``."""
        return None

    async def roots(self, level: int, start: int, stop: int) -> dict[int, bytes]:  # noqa: ARG002
        """See ``TileStore.roots``."""
        return {}

    async def save(self, tiles: Sequence[Tile]) -> None:
        """See ``TileStore.save``."""


class _Recent:
    """The tiles that were used last, with all that is computed of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()

    def get(self, at: tuple[int, int]) -> list[bytes] | None:
        rows = self._kept.get(at)
        if rows is not None:
            self._kept.move_to_end(at)
        return rows

    def keep(self, at: tuple[int, int], rows: list[bytes]) -> None:
        self._kept[at] = rows
        self._kept.move_to_end(at)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


def _place(height: int, position: int) -> tuple[int, int, int]:
    """Say in which tile a complete subtree lies, and how many of its hashes that takes."""
    level, row = divmod(height, HEIGHT)
    index, at = divmod(position, WIDTH >> row)
    return level, index, at + 1 << row
