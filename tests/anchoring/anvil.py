"""A real Ethereum node for tests: anvil 1.7.1 from npm, locked, in a process of its own on a free port.

Whoever tests against it uses the fixtures of ``tests/conftest.py``: ``anvil`` is one node for the whole run, put back
after each test to what it was before; a test that kills, resets or replaces its node starts one of its own (``started``).
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import platform
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from anchoring.chain import transaction as tx
from tests.npm import installed

PACKAGE = Path(__file__).resolve().parent / "foundry"
CHAIN_ID = 31337
KEY = bytes.fromhex(
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
)  # anvil's first account
_COINS = 10**21  # wei
_PATIENCE = 20.0  # seconds until it listens
_NUMBERS = itertools.count(1)


class RpcError(Exception):
    """The node answered with an error."""


class Anvil:
    """One running node; ``rpc`` says anything to it, the others what tests say often."""

    def __init__(self, *options: str, port: int = 0) -> None:
        """Start it.

        Args:
            options: More of anvil's own, such as ``--block-time 1``.
            port: 0 for a free one; the port of one that was stopped, to come back there.
        """
        self.log = Path(tempfile.mkstemp(prefix="consentry-anvil-")[1])
        command = [
            str(program()),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--hardfork",
            "prague",
            *options,
        ]
        with self.log.open("w") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=out, preexec_fn=_die_with_the_parent
            )
        self.port = self._listening()
        self.url = f"http://127.0.0.1:{self.port}"

    def rpc(self, method: str, *params: object, timeout: float = 20.0) -> Any:
        """Call a method; what it answers.  Raises ``RpcError`` with the node's message."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        request = Request(
            self.url, json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=timeout) as answer:
            said = json.load(answer)
        if "error" in said:
            raise RpcError(said["error"].get("message", ""))
        return said["result"]

    def send(self, raw: bytes) -> dict[str, Any]:
        """Send a signed transaction and give its receipt, once it is mined: automining takes a moment."""
        return self._mined(self.rpc("eth_sendRawTransaction", "0x" + raw.hex()))

    def send_as(self, sender: bytes, to: bytes, calldata: bytes) -> dict[str, Any]:
        """Call a contract as an account whose key nobody has, such as a timelock; the receipt, once it is mined."""
        self.give(sender, _COINS)
        account = "0x" + sender.hex()
        self.rpc("anvil_impersonateAccount", account)
        asked = {"from": account, "to": "0x" + to.hex(), "data": "0x" + calldata.hex()}
        receipt = self._mined(self.rpc("eth_sendTransaction", asked))
        self.rpc("anvil_stopImpersonatingAccount", account)
        return receipt

    def _mined(self, hash_: str) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            found: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", hash_)
            if found is not None:
                return found
            time.sleep(0.002)
        raise AssertionError("the transaction was not mined: is automining off?")

    @property
    def block(self) -> int:
        """Number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def account(self, wei: int = _COINS) -> bytes:
        """A private key that no test has had before, with coins at its address."""
        key = tx.keccak256(b"consentry test account" + next(_NUMBERS).to_bytes(8, "big"))
        self.give(tx.address(key), wei)
        return key

    def give(self, address: bytes, wei: int) -> None:
        """Set what an account owns."""
        self.rpc("anvil_setBalance", "0x" + address.hex(), hex(wei))

    def mine(self, blocks: int = 1) -> None:
        """Mine blocks now, with what waits in the first of them."""
        self.rpc("anvil_mine", hex(blocks))

    def automine(self, on: bool) -> None:
        """Whether each transaction gets a block at once (so it is at first); else ``mine`` or ``interval`` does it."""
        self.rpc("evm_setAutomine", on)

    def interval(self, seconds: int) -> None:
        """Mine a block every so many seconds; 0 ends that."""
        self.rpc("evm_setIntervalMining", seconds)

    def reorg(self, depth: int) -> None:
        """Replace the newest blocks by as many empty ones; what was in them is forgotten."""
        self.rpc("anvil_reorg", depth, [])

    def drop(self, transaction: bytes) -> None:
        """Forget a transaction that waits."""
        self.rpc("anvil_dropTransaction", "0x" + transaction.hex())

    def base_fee(self, wei: int) -> None:
        """Set the base fee of the next block."""
        self.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))

    def snapshot(self) -> str:
        """Remember the state; each can be reverted to once."""
        return str(self.rpc("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Put the state back."""
        assert self.rpc("evm_revert", snapshot)

    def freeze(self) -> None:
        """Let it hang: connections are taken, nothing is answered; until ``thaw``."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, frozen or not; what it knew is gone unless it was started with ``--state``."""
        self._process.kill()
        self._process.wait(timeout=10)
        self.log.unlink(missing_ok=True)

    def _listening(self) -> int:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            found = re.search(r"Listening on 127\.0\.0\.1:(\d+)", self.log.read_text())
            if found:
                return int(found[1])
            time.sleep(0.01)
        said = self.log.read_text()[-2000:]
        self.kill()
        raise AssertionError(f"anvil did not start: {said}")


def _die_with_the_parent() -> None:
    """Whoever kills a test run leaves no node behind (Linux: prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@contextmanager
def started(*options: str, port: int = 0) -> Iterator[Anvil]:
    """A node of one's own, stopped at the end.  Skips the test where there is none to be had."""
    node = Anvil(*options, port=port)
    try:
        yield node
    finally:
        node.kill()


@cache
def program() -> Path:
    """The program, installed once into the environment's cache; skips the test where that can not be."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("no anvil: npm has the locked one for Linux on x86-64 only")
    kept = installed(PACKAGE, "anvil")
    return kept / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
