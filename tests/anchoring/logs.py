"""Doubles for logs: leaves and tiles in memory."""

import hashlib
from collections.abc import Callable, Sequence

from anchoring.log.tiles import Tile


def commitments(count: int) -> list[bytes]:
    """So many different commitments."""
    return [hashlib.sha256(b"commitment %d" % i).digest() for i in range(count)]


class MemoryLeaves:
    """A LeafSource."""

    def __init__(self, held: list[bytes]) -> None:
        self.held = held

    async def size(self) -> int:
        return len(self.held)

    async def commitments(self, start: int, stop: int) -> list[bytes]:
        return self.held[start:stop]


class MemoryTiles:
    """A TileStore, which counts what is read."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], Tile] = {}
        self.loads = 0

    async def count(self, level: int) -> int:
        return max((index + 1 for at, index in self.held if at == level), default=0)

    async def load(self, level: int, index: int) -> Tile | None:
        self.loads += 1
        return self.held.get((level, index))

    async def roots(self, level: int, start: int, stop: int) -> dict[int, bytes]:
        self.loads += 1
        found = {i: self.held.get((level, i)) for i in range(start, stop)}
        return {i: tile.root for i, tile in found.items() if tile}

    async def save(self, tiles: Sequence[Tile]) -> None:
        for tile in tiles:
            self.held.setdefault((tile.level, tile.index), tile)


class MemoryRecords:
    """A Records."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    async def find(self, name: str) -> bytes | None:
        return self.held.get(name)

    async def change(self, name: str, changed: Callable[[bytes | None], bytes]) -> bytes:
        self.held[name] = changed(self.held.get(name))
        return self.held[name]
