"""Any EVM chain that a node serves over JSON-RPC.  The only door to web3.

Imports of web3 are inside functions: they take a quarter of a second, and whoever verifies a
receipt offline does not need them.  Not here yet: bumping the fee of a transaction that stays
pending, and several nodes.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eth_typing import Address, Hash32
from hexbytes import HexBytes

from anchoring import transaction as tx
from anchoring.chain import PUBLIC, ChainIdentity, Head, Mined, SignedTransaction
from anchoring.contract import (
    DEPLOYMENT_GAS,
    GAS,
    AnchorCall,
    anchor_calldata,
    artifact,
    head_calldata,
    read_head,
    read_mined,
)
from anchoring.errors import ChainError, ChainUnavailableError, NonceTakenError
from anchoring.recursion import kept_recursion_limit

if TYPE_CHECKING:
    from web3 import Web3
    from web3.types import TxParams

_GWEI = 10**9
_KNOWN = ("already known", "already imported", "known transaction", "already exists")
_NONCE_TOO_LOW = ("nonce too low", "nonce is too low", "invalid nonce", "nonce has already")


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """How to use a chain over JSON-RPC.

    Attributes:
        contract: Address of the AuditAnchor, 20 bytes.
        key: Private key (32 bytes) of the account that pays, or None to only read.
        confirmations: Blocks, its own included, until a transaction counts; at least 1.
        max_fee: Most paid per gas, wei.
        assurance: ``public``, or ``self-operated`` if the log's operator runs the chain.
    """

    contract: bytes
    key: bytes | None = field(default=None, repr=False)
    confirmations: int = 12
    max_fee: int = 200 * _GWEI
    assurance: str = PUBLIC


class JsonRpcChain:
    """A chain that a node serves over JSON-RPC; implements ``Chain``."""

    def __init__(self, node: "Web3", settings: RpcSettings) -> None:
        """Use a node that ``connect`` gave."""
        self._node = node
        self._settings = settings

    def identity(self) -> ChainIdentity:
        """See ``Chain``."""
        with _answered():
            eth = self._node.eth
            code = bytes(eth.get_code(Address(self._settings.contract)))
            genesis = bytes(eth.get_block(0)["hash"])
            chain_id = int(eth.chain_id)
        return ChainIdentity(
            chain_id, genesis, self._settings.contract, tx.keccak256(code), self._settings.assurance
        )

    def head(self, log: bytes) -> Head:
        """See ``Chain``."""
        with _answered():
            asked: TxParams = {
                "to": Address(self._settings.contract),
                "data": HexBytes(head_calldata(log)),
            }
            answer = bytes(self._node.eth.call(asked))
        return read_head(answer)

    def prepare(self, log: bytes, size: int, root: bytes, proof: list[bytes]) -> SignedTransaction:
        """See ``Chain``."""
        call = anchor_calldata(AnchorCall(log, size, root, tuple(proof)))
        return self._signed(self._settings.contract, call, GAS)

    def deployment(self) -> tuple[SignedTransaction, bytes]:
        """Sign the transaction that puts an AuditAnchor on the chain; also its coming address."""
        signed = self._signed(b"", artifact().creation, DEPLOYMENT_GAS)
        read = tx.read(signed.raw)
        return signed, tx.contract_address(read.sender, read.content.nonce)

    def send(self, raw: bytes) -> None:
        """See ``Chain``; wordings of "known" differ by client."""
        from web3.exceptions import Web3Exception, Web3ValueError

        try:
            with _answered():
                self._node.eth.send_raw_transaction(raw)
        except (Web3Exception, Web3ValueError) as error:
            said = str(error).lower()
            if any(word in said for word in _KNOWN):
                return
            if any(word in said for word in _NONCE_TOO_LOW):
                self._check_ours_took_the_nonce(raw)
                return
            raise ChainError(f"the node refused the transaction: {said[:200]}") from error

    def find(self, transaction: bytes) -> Mined | None:
        """See ``Chain``."""
        from web3.exceptions import TransactionNotFound

        with _answered():
            try:
                receipt = self._node.eth.get_transaction_receipt(Hash32(transaction))
            except TransactionNotFound:
                return None
            newest = int(self._node.eth.block_number)
        block = int(receipt["blockNumber"])
        if newest - block + 1 < self._settings.confirmations:
            return None
        logs = [
            (
                bytes.fromhex(log["address"][2:]),
                [bytes(t) for t in log["topics"]],
                bytes(log["data"]),
            )
            for log in receipt["logs"]
        ]
        return read_mined(block, bytes(receipt["blockHash"]), self._settings.contract, logs)

    def _signed(self, to: bytes, call: bytes, gas: int) -> SignedTransaction:
        if self._settings.key is None:
            raise ChainError("no key to sign a transaction with")
        with _answered():
            eth = self._node.eth
            base = int(eth.get_block("latest")["baseFeePerGas"])
            priority = min(int(eth.max_priority_fee), self._settings.max_fee)
            nonce = int(eth.get_transaction_count(Address(tx.address(self._settings.key))))
            chain_id = int(eth.chain_id)
        fee = min(2 * base + priority, self._settings.max_fee)
        content = tx.Transaction(chain_id, nonce, priority, fee, gas, to, call)
        return tx.sign(content, self._settings.key)

    def _check_ours_took_the_nonce(self, raw: bytes) -> None:
        from web3.exceptions import TransactionNotFound

        with _answered():
            try:
                self._node.eth.get_transaction(Hash32(tx.keccak256(raw)))
            except TransactionNotFound as error:
                raise NonceTakenError("another transaction took the nonce") from error


def connect(url: str, timeout_s: float = 10.0) -> "Web3":
    """Give a node for ``JsonRpcChain``; no retries inside: the anchorer tries again itself."""
    with kept_recursion_limit():
        from web3 import HTTPProvider, Web3
        from web3.middleware import ExtraDataToPOAMiddleware

    provider = HTTPProvider(
        url, request_kwargs={"timeout": timeout_s}, exception_retry_configuration=None
    )
    node = Web3(provider)
    node.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)  # chains by authority (Clique)
    return node


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Turn the many ways in which a node does not answer into one."""
    from requests.exceptions import RequestException

    try:
        yield
    except (RequestException, OSError, TimeoutError) as error:
        raise ChainUnavailableError(f"the node does not answer: {type(error).__name__}") from error
