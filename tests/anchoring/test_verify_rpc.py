"""A receipt against a node: what the chain adds to it, and that no node can make more of it or keep the verifier."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from anchoring import verify
from anchoring.publishing.anchorer import Anchorer
from tests.anchoring.anvil import started
from tests.anchoring.chain.test_rpc import answer, hang, listening
from tests.anchoring.place import MINUTE, Place, until_anchored

Said = Callable[[], tuple[str, str]]


@pytest.fixture
async def kept(place: Place, now: datetime, tmp_path: Path) -> Path:
    """A receipt of an event that is anchored on the node."""
    anchorer: Anchorer = await place.start()
    place.world.log.append(5)
    await until_anchored(anchorer, now + MINUTE, 5)
    file = tmp_path / "receipt.json"
    file.write_bytes(await anchorer.prove(3, *place.world.log.events[3]))
    return file


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def read() -> tuple[str, str]:
        told = capsys.readouterr()
        return told.out, told.err

    return read


async def test_a_node_proves_that_a_block_holds_the_transaction(
    place: Place, kept: Path, said: Said
) -> None:
    assert verify.main([str(kept), "--rpc", place.node.url]) == 0
    out, _ = said()
    assert "proved      chain" in out
    assert "no chain was asked" not in out


async def test_a_node_of_another_chain_fails_the_anchor(kept: Path, said: Said) -> None:
    with started() as other:
        assert verify.main([str(kept), "--rpc", other.url]) == 1
    assert said()[1].split()[:2] == ["FAILED", "anchor"]


async def test_a_transaction_that_the_chain_has_forgotten_fails_the_anchor(
    place: Place, kept: Path, said: Said
) -> None:
    place.node.rpc("anvil_rollback", 1)
    assert verify.main([str(kept), "--rpc", place.node.url]) == 1
    assert said()[1].split()[:2] == ["FAILED", "anchor"]


def flood(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        peer.sendall(b" " * 65536)


def lie(body: bytes) -> Callable[[socket.socket], None]:
    return lambda peer: peer.sendall(answer(body))


@pytest.mark.parametrize(
    "talk",
    [
        hang,
        flood,
        lie(b""),
        lie(b"null"),
        lie(b'{"jsonrpc":"2.0","id":1,"result":null}'),
        lie(b'{"jsonrpc":"2.0","id":1,"result":"0x"}'),
        lie(b'{"jsonrpc":"2.0","id":1,"result":{"hash":7}}'),
    ],
    ids=["hangs", "floods", "empty", "null", "no result", "no number", "wrong type"],
)
async def test_a_node_that_hangs_floods_or_lies_ends_in_a_named_failure_in_time(
    kept: Path, said: Said, talk: Callable[[socket.socket], None]
) -> None:
    begun = time.monotonic()
    with listening(talk) as url:
        assert verify.main([str(kept), "--rpc", url]) == 1
    assert time.monotonic() - begun < 30
    out, err = said()
    assert err.startswith("FAILED")
    assert "proved" not in out
