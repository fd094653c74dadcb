"""JSON-RPC chains: over eth-tester's node, where nobody listens, and over odd answers."""

from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from web3 import EthereumTesterProvider, Web3
from web3.exceptions import Web3RPCError

from anchoring.chain import transaction as tx
from anchoring.chain.contract import artifact
from anchoring.chain.evm import JsonRpcChain, RpcSettings, connect
from anchoring.errors import (
    AnchorRevertedError,
    ChainError,
    ChainUnavailableError,
    NonceTakenError,
    WrongChainError,
)
from anchoring.log import merkle
from anchoring.log.merkle import Tree

KEY = bytes(31) + b"\x01"  # eth-tester funds the private keys 1 to 10
LOG = b"\x07" * 32


@pytest.fixture(scope="module")
def node() -> Web3:
    return Web3(EthereumTesterProvider())


@pytest.fixture
def chain(node: Web3) -> JsonRpcChain:
    signed, contract = JsonRpcChain(node, RpcSettings(bytes(20), KEY)).deployment()
    node.eth.send_raw_transaction(signed.raw)
    return JsonRpcChain(node, RpcSettings(contract, KEY, confirmations=1))


@pytest.fixture
def tree() -> Tree:
    grown = Tree()
    grown.extend(merkle.leaf_hash(bytes([i])) for i in range(9))
    return grown


def test_it_deploys_anchors_and_finds(chain: JsonRpcChain, tree: Tree) -> None:
    assert chain.identity().code_hash == artifact().code_hash
    assert chain.head(LOG).size == 0
    for old, new in ((0, 4), (4, 9)):
        signed = chain.prepare(LOG, new, tree.root(new), tree.consistency_path(old, new))
        assert chain.find(signed.hash_) is None
        chain.send(signed.raw)
        mined = chain.find(signed.hash_)
        assert mined
        assert (mined.log, mined.size, mined.root) == (LOG, new, tree.root(new))
        assert mined.publisher == tx.address(KEY) == chain.head(LOG).publisher
    assert chain.head(LOG).root == tree.root(9)


def test_a_refused_anchor_is_told_from_one_not_mined(
    chain: JsonRpcChain, node: Web3, tree: Tree
) -> None:
    signed = chain.prepare(LOG, 4, tree.root(4), [bytes(32)])
    chain.send(signed.raw)
    with pytest.raises(AnchorRevertedError):
        chain.find(signed.hash_)


def test_it_counts_only_with_enough_confirmations(
    chain: JsonRpcChain, node: Web3, tree: Tree
) -> None:
    contract = chain.identity().contract
    patient = JsonRpcChain(node, RpcSettings(contract, KEY, confirmations=3))
    signed = patient.prepare(LOG, 4, tree.root(4), [])
    patient.send(signed.raw)
    for _ in range(2):
        found = patient.find(signed.hash_)
        assert found
        assert not found.final
        node.provider.ethereum_tester.mine_block()  # type: ignore[attr-defined]
    found = patient.find(signed.hash_)
    assert found
    assert found.final


async def test_the_anchorer_runs_on_it(
    chain: JsonRpcChain, make_world: Callable[..., Any], now: datetime
) -> None:
    world = make_world(chain=chain)
    anchorer = await world.start()
    for _ in range(3):
        world.log.append(3)
        assert await anchorer.run_once(now)
    assert await (await world.start()).run_once(now) is None


async def test_an_address_without_the_contract_is_refused(
    chain: JsonRpcChain, node: Web3, make_world: Callable[..., Any]
) -> None:
    expected = chain.identity()
    elsewhere = JsonRpcChain(node, RpcSettings(b"\x01" * 20, KEY))
    with pytest.raises(WrongChainError, match="contract"):
        await make_world(chain=elsewhere).start(expected=expected)
    with pytest.raises(ChainError):
        elsewhere.head(LOG)


def test_without_a_key_it_only_reads(chain: JsonRpcChain, node: Web3) -> None:
    reader = JsonRpcChain(node, RpcSettings(chain.identity().contract))
    assert reader.head(LOG).size == 0
    with pytest.raises(ChainError, match="no key"):
        reader.prepare(LOG, 1, bytes(32), [])


def test_a_port_where_nobody_listens_is_an_unavailable_chain() -> None:
    chain = JsonRpcChain(connect("http://127.0.0.1:9", timeout_s=1), RpcSettings(b"\x01" * 20, KEY))
    for ask in (
        chain.identity,
        lambda: chain.head(LOG),
        lambda: chain.prepare(LOG, 1, bytes(32), []),
        lambda: chain.send(b"\x02"),
        lambda: chain.find(bytes(32)),
    ):
        with pytest.raises(ChainUnavailableError):
            ask()


def node_that_says(message: str, *, knows: bool) -> Any:
    """A node whose eth_sendRawTransaction fails so."""
    from web3.exceptions import TransactionNotFound

    def refuse(raw: bytes) -> None:
        raise Web3RPCError(message)

    def look(transaction: bytes) -> dict[str, int]:
        if not knows:
            raise TransactionNotFound("unknown")
        return {}

    return SimpleNamespace(eth=SimpleNamespace(send_raw_transaction=refuse, get_transaction=look))


@pytest.mark.parametrize(
    ("message", "knows", "error"),
    [
        ("already known", True, None),  # geth
        ("transaction already imported", True, None),  # anvil
        ("AlreadyKnown", True, ChainError),  # a wording that we do not know is not guessed at
        ("nonce too low", True, None),
        ("nonce too low: next nonce 5, tx nonce 4", False, NonceTakenError),
        ("insufficient funds for gas * price + value", False, ChainError),
    ],
)
def test_what_clients_say_of_a_transaction_that_they_know(
    message: str, knows: bool, error: type[ChainError] | None
) -> None:
    chain = JsonRpcChain(node_that_says(message, knows=knows), RpcSettings(bytes(20), KEY))
    if error is None:
        chain.send(b"\x02raw")
        return
    with pytest.raises(error):
        chain.send(b"\x02raw")


def test_the_fee_never_exceeds_its_cap(chain: JsonRpcChain, node: Web3) -> None:
    capped = JsonRpcChain(node, RpcSettings(chain.identity().contract, KEY, max_fee=5))
    content = tx.read(capped.prepare(LOG, 1, bytes(32), []).raw).content
    assert content.fee == 5
    assert content.priority_fee <= 5


def test_a_key_does_not_show_in_a_representation() -> None:
    assert "key" not in repr(RpcSettings(bytes(20), KEY))
