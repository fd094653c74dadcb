"""The orders of sorted searches, kept in memory for the pages that follow.

What is kept are row keys (16-byte keyed hashes) in their order: nothing of what the rows say, and no permission.  An order
is known by 16 random bytes that stand in a sealed page link only, so only whoever may follow that link reaches it.
"""

import secrets
from collections import OrderedDict
from collections.abc import Sequence

_ROW = 16
_MOST_BYTES = 32 * 1024 * 1024


class Orders:
    """Orders of sorted searches; each is kept for ``lifetime`` ms, the oldest go first when there are too many."""

    def __init__(self, lifetime: int) -> None:
        self._lifetime = lifetime
        self._kept: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()
        self._size = 0

    def keep(self, rows: Sequence[bytes], now: int) -> bytes:
        """Keep an order (row keys of 16 bytes) and give its key; empty if it is too large to be kept."""
        joined = b"".join(rows)
        if len(joined) > _MOST_BYTES // 8:
            return b""
        key = secrets.token_bytes(_ROW)
        self._kept[key] = (now + self._lifetime, joined)
        self._size += len(joined)
        while self._size > _MOST_BYTES or self._oldest() < now:
            self._size -= len(self._kept.popitem(last=False)[1][1])
        return key

    def rows(self, key: bytes, now: int) -> list[bytes] | None:
        """The row keys of an order; None if it is gone."""
        expires, joined = self._kept.get(key, (-1, b""))
        if expires < now:
            return None
        return [joined[at : at + _ROW] for at in range(0, len(joined), _ROW)]

    def _oldest(self) -> int:
        return next(iter(self._kept.values()))[0]
