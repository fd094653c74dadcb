"""What this process holds of memory: what stays for good is set aside, what large requests took is given back."""

import asyncio
import ctypes
import gc
import os
from collections.abc import Callable

_LARGE = 256 * 1024  # bytes of a request, which takes twenty times as much with what is made of it
_AFTER = 0.5  # seconds: by then its answer has gone out
_C = ctypes.CDLL(None) if os.name == "posix" else None
_ARENAS = -8  # M_ARENA_MAX, of glibc's malloc.h


def settle_memory() -> None:
    """Take what stays for good out of the garbage collector's sight, and let it look at the rest less often.

    All answers that are under way wait for each look: 4 to 11 ms for 10,000 young objects, 0.4 ms for 1,000, which are in
    the processor's caches still.  What has stayed is looked at after 200,000.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000, 200, 50)


def share_memory() -> None:
    """Prepare to be forked: leave no free memory between what is shared, or each process makes it its own."""
    gc.collect()
    gc.freeze()
    if (trim := getattr(_C, "malloc_trim", None)) is not None:
        trim(0)


def keep_together() -> None:
    """Let all threads take memory from one place: what one has used another finds, where the C library is glibc."""
    if (set_option := getattr(_C, "mallopt", None)) is not None:
        set_option(_ARENAS, 1)


class GivingBack:
    """Gives back what large requests took; the C library keeps it otherwise, each process all that it ever needed at once.

    Where the C library is another than glibc nothing is done.
    """

    def __init__(self) -> None:
        self._trim: Callable[[int], int] | None = getattr(_C, "malloc_trim", None)
        self._due: asyncio.TimerHandle | None = None

    def after(self, size: int) -> None:
        """A request of so many bytes is being answered."""
        if size >= _LARGE and self._trim is not None and self._due is None:
            self._due = asyncio.get_running_loop().call_later(_AFTER, self._give, self._trim)

    def _give(self, trim: Callable[[int], int]) -> None:
        self._due = None
        asyncio.get_running_loop().run_in_executor(None, trim, 0)
