"""Tiles: the hashes of a log in pieces of 256, and the paths by which C2SP tlog-tiles names them.

The n-th tile of level l holds the roots of the complete subtrees of ``256**l`` leaves, numbers
``256 n`` to ``256 n + 255``.  A full tile is never changed, so it can be kept, served and cached for
good.  A partial one, at the right edge, is a beginning of the full one that will be there.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from anchoring.errors import NoSuchTileError
from anchoring.log.merkle import HASH_BYTES

HEIGHT = 8
WIDTH = 1 << HEIGHT
TILE_BYTES = WIDTH * HASH_BYTES
MOST_LEVELS = 8  # a tree of 2**64 leaves

_ENTRIES = "entries"
_LEVEL = r"0|[1-9][0-9]?"
_INDEX = r"(?:x[0-9]{3}/){0,6}[0-9]{3}"
_WIDTH = r"[1-9][0-9]{0,2}"
_PATH = re.compile(rf"(?P<level>{_LEVEL}|entries)/(?P<index>{_INDEX})(?:\.p/(?P<width>{_WIDTH}))?")
_MOST_CHARACTERS = 48


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile.

    Attributes:
        level: From 0, whose hashes are leaf hashes.
        index: Place in the level, from 0.
        hashes: 256 hashes, 8,192 bytes.
        root: Root over them, 32 bytes: a hash of the next level.
    """

    level: int
    index: int
    hashes: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class TileName:
    """Which tile, or which bundle of entries, somebody asks for.

    Attributes:
        level: From 0; None for a bundle of entries.
        index: Place in the level, from 0.
        width: Hashes or entries in it, 1 to 256.
    """

    level: int | None
    index: int
    width: int

    @property
    def path(self) -> str:
        """What stands behind ``tile/``."""
        groups = [f"{self.index % 1000:03}"]
        left = self.index // 1000
        while left:
            groups.insert(0, f"x{left % 1000:03}")
            left //= 1000
        level = _ENTRIES if self.level is None else str(self.level)
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"{level}/{'/'.join(groups)}{partial}"

    def fits(self, size: int) -> bool:
        """Tell whether a tree of ``size`` leaves has all of it."""
        last = self.index * WIDTH + self.width
        return last << HEIGHT * (self.level or 0) <= size


class TileStore(Protocol):
    """Where full tiles are durable.  What is there is never changed; nothing is there by default."""

    async def count(self, level: int) -> int:
        """Say how many tiles of a level there are: one more than the greatest index."""
        ...

    async def load(self, level: int, index: int) -> Tile | None:
        """Give a tile; None if it is not there."""
        ...

    async def roots(self, level: int, start: int, stop: int) -> dict[int, bytes]:
        """Give the roots of tiles ``start`` to ``stop - 1``, by index; those that are there."""
        ...

    async def save(self, tiles: Sequence[Tile]) -> None:
        """Keep tiles, all in one commit; one that is there already stays as it is."""
        ...


def parse_tile_path(path: str) -> TileName:
    """Read what stands behind ``tile/`` in a path.

    Raises:
        NoSuchTileError: It is no path of a tile, in exactly the form that C2SP gives.
    """
    found = _PATH.fullmatch(path) if len(path) <= _MOST_CHARACTERS else None
    if found is None or not path.isascii():
        raise NoSuchTileError("not the path of a tile")
    level = None if found["level"] == _ENTRIES else int(found["level"])
    width = int(found["width"] or WIDTH)
    name = TileName(level, int(re.sub("[x/]", "", found["index"])), width)
    partial_but_full = found["width"] is not None and width >= WIDTH
    if partial_but_full or (level or 0) >= MOST_LEVELS or name.path != path:
        raise NoSuchTileError("not the path of a tile")  # the last: zeros that need not be there
    return name


def expand(hashes: bytes) -> list[bytes]:
    """Give the hashes of a tile, then those of their parents, and so on up to the last whole pair.

    Of a full tile these are nine rows, the last of which is its root.
    """
    rows = [hashes]
    while len(rows[-1]) >= 2 * HASH_BYTES:
        rows.append(_parents(rows[-1]))
    return rows


def full_tile(level: int, index: int, hashes: bytes) -> Tile:
    """Make a full tile of its 256 hashes."""
    assert len(hashes) == TILE_BYTES
    return Tile(level, index, hashes, expand(hashes)[HEIGHT])


def _parents(row: bytes) -> bytes:
    pair, hashed = 2 * HASH_BYTES, hashlib.sha256
    whole = len(row) // pair * pair
    return b"".join(
        [hashed(b"\x01" + row[at : at + pair]).digest() for at in range(0, whole, pair)]
    )
