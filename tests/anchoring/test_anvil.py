"""The test node itself: what the other tests rely on."""

from pathlib import Path

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.evm import JsonRpcChain, RpcSettings, connect
from tests.anchoring.anvil import Anvil, RpcError, started


def test_what_one_test_did_is_undone_for_the_next(shared_anvil: Anvil) -> None:
    before = shared_anvil.snapshot()
    key = shared_anvil.account()
    block = shared_anvil.block
    signed, contract = JsonRpcChain(
        connect(shared_anvil.url), RpcSettings(bytes(20), key)
    ).deployment()
    shared_anvil.send(signed.raw)
    shared_anvil.mine(2)
    assert shared_anvil.block == block + 3
    shared_anvil.revert(before)
    assert shared_anvil.block == block
    assert shared_anvil.rpc("eth_getCode", "0x" + contract.hex(), "latest") == "0x"
    assert int(shared_anvil.rpc("eth_getBalance", "0x" + tx.address(key).hex(), "latest"), 16) == 0


def test_a_reorganisation_forgets_transactions(anvil: Anvil) -> None:
    key = anvil.account()
    signed, _ = JsonRpcChain(connect(anvil.url), RpcSettings(bytes(20), key)).deployment()
    assert anvil.send(signed.raw)["transactionHash"] == "0x" + signed.hash_.hex()
    anvil.reorg(1)
    assert anvil.rpc("eth_getTransactionReceipt", "0x" + signed.hash_.hex()) is None


def test_a_node_that_was_stopped_is_gone_and_can_come_back_on_its_port() -> None:
    with started("--chain-id", "7") as first:
        assert first.rpc("eth_chainId") == "0x7"
        with pytest.raises(RpcError):
            first.rpc("eth_noSuchMethod")
    with pytest.raises(OSError):
        first.rpc("eth_chainId")
    with started(port=first.port) as again:
        assert again.url == first.url
    assert not Path(again.log).exists()
