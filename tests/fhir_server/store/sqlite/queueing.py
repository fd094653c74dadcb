"""Who waits for the turn to write, as another process sees it."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path


async def somebody_queues(folder: Path) -> None:
    """Return once somebody waits for the turn, who is the next then."""
    with (folder / "next").open("rb+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(file, fcntl.LOCK_UN)
            await asyncio.sleep(0.001)
