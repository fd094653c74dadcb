"""A process that anchors five events and is killed where it would journal the anchor.

Usage: python dying_anchorer.py URL CONTRACT KEY FOLDER; its journal is files in FOLDER.
"""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from anchoring.chain.evm import JsonRpcChain, RpcSettings, connect
from tests.anchoring.conftest import World


class FileJournal:
    """An AnchorJournal that dies when an anchor is to be saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def load_pending(self) -> bytes | None:
        return None

    async def save_pending(self, record: bytes) -> None:
        (self._folder / "pending").write_bytes(record)

    async def save_anchor(self, size: int, record: bytes) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def last_anchor(self) -> bytes | None:
        return None

    async def anchor_covering(self, index: int) -> bytes | None:
        return None


async def main(url: str, contract: str, key: str, folder: str) -> None:
    settings = RpcSettings(bytes.fromhex(contract), bytes.fromhex(key), confirmations=1)
    chain = JsonRpcChain(connect(url), settings)
    world = World(chain=chain)
    world.log.append(5)
    anchorer = await world.start(journal=FileJournal(Path(folder)))
    while True:
        await anchorer.run_once(datetime.now(UTC))
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
