"""Any EVM chain that nodes serve over JSON-RPC.  The only door to web3.

Imports of web3 are inside functions: they take a quarter of a second, and whoever verifies a
receipt offline does not need them.  Nothing that a node says is believed by its type.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from eth_typing import Address, Hash32
from hexbytes import HexBytes

from anchoring.chain import transaction as tx
from anchoring.chain.answers import SAID, answered, digest, octets, quantity
from anchoring.chain.chain import (
    PUBLIC,
    ChainIdentity,
    Head,
    Mined,
    SignedTransaction,
    check_identity,
)
from anchoring.chain.contract import (
    DEPLOYMENT_GAS,
    GAS,
    AnchorCall,
    anchor_calldata,
    artifact,
    head_calldata,
    is_genuine,
    read_head,
    read_mined,
)
from anchoring.chain.nodes import ANY_CHAIN, Facts, Nodes
from anchoring.chain.recursion import kept_recursion_limit
from anchoring.chain.rpc import Endpoint
from anchoring.errors import (
    AnchorRevertedError,
    ChainError,
    MalformedAnswerError,
    NonceTakenError,
    WrongChainError,
)

if TYPE_CHECKING:
    from web3 import Web3
    from web3.types import TxParams, TxReceipt

FINALIZED = 0  # in the place of a number of confirmations

_GWEI = 10**9
_KNOWN = ("already known", "already imported", "known transaction", "already exists")
_NONCE_TOO_LOW = ("nonce too low", "nonce is too low", "invalid nonce", "nonce has already")
_UNDERPRICED = ("underpriced", "replacement fee too low", "gas price too low to replace")


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """How to use a chain over JSON-RPC.

    Attributes:
        contract: Address of the AuditAnchor, 20 bytes.
        key: Private key (32 bytes) of the account that pays, or None to only read.
        confirmations: Blocks, its own included, until a transaction counts, or ``FINALIZED``.
        max_fee: Most paid per gas, wei.
        assurance: ``public``, or ``self-operated`` if the log's operator runs the chain.
        max_priority_fee: Most paid per gas to the block's maker, wei.
        meant: Which chain it must be.
        code_hash: Keccak-256 that the contract's code must have; empty for any AuditAnchor of ours.
    """

    contract: bytes
    key: bytes | None = field(default=None, repr=False)
    confirmations: int = 12
    max_fee: int = 200 * _GWEI
    assurance: str = PUBLIC
    max_priority_fee: int = 200 * _GWEI
    meant: Facts = ANY_CHAIN
    code_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Account:
    """What pays for anchors.

    Attributes:
        address: 20 bytes.
        balance: Wei.
        base_fee: Wei per gas in the newest block.
        block: The newest block.
    """

    address: bytes
    balance: int
    base_fee: int
    block: int


class JsonRpcChain:
    """A chain that nodes serve over JSON-RPC; implements ``Chain``."""

    def __init__(self, nodes: "Web3 | Sequence[Web3]", settings: RpcSettings) -> None:
        """Use one node that ``connect`` gave, or several of the same chain."""
        several = nodes if isinstance(nodes, Sequence) else [nodes]
        self._nodes = Nodes(several, _facts, settings.meant)
        self._settings = settings

    def identity(self) -> ChainIdentity:
        """See ``Chain``.

        Raises:
            WrongChainError: Chain or contract is not what the settings ask for.
        """
        contract = self._settings.contract

        def ask(node: "Web3") -> ChainIdentity:
            found = _facts(node)
            with answered():
                code = octets(node.eth.get_code(Address(contract)))
            return ChainIdentity(
                found.chain_id,
                found.genesis_hash,
                contract,
                tx.keccak256(code),
                self._settings.assurance,
            )

        found = self._nodes.ask(ask)
        if not self._settings.code_hash and not is_genuine(found.code_hash):
            raise WrongChainError("there is no AuditAnchor at the address of the contract")
        if self._settings.code_hash:
            check_identity(found, replace(found, code_hash=self._settings.code_hash))
        if not self._settings.meant.fits(Facts(found.chain_id, found.genesis_hash)):
            raise WrongChainError("the chain's id or genesis_hash is not the expected one")
        return found

    def head(self, log: bytes) -> Head:
        """See ``Chain``."""
        return read_head(self.call(head_calldata(log)))

    def call(self, calldata: bytes) -> bytes:
        """Call a view function of the contract; the ABI-encoded answer.

        Raises:
            AnchorRevertedError: The contract reverted.
        """
        asked: TxParams = {"to": Address(self._settings.contract), "data": HexBytes(calldata)}

        def ask(node: "Web3") -> bytes:
            with answered():
                return octets(node.eth.call(asked))

        return self._nodes.ask(ask)

    def prepare(self, log: bytes, size: int, root: bytes, proof: list[bytes]) -> SignedTransaction:
        """See ``Chain``."""
        return self.signed_call(anchor_calldata(AnchorCall(log, size, root, tuple(proof))))

    def signed_call(self, calldata: bytes) -> SignedTransaction:
        """Sign any call of the contract, sending nothing."""
        return tx.sign(self._priced(self._settings.contract, calldata, GAS), self._key())

    def deployment(self, creation: bytes | None = None) -> tuple[SignedTransaction, bytes]:
        """Sign the transaction that puts a contract (an AuditAnchor) on the chain; also its coming address."""
        code = artifact().creation if creation is None else creation
        content = self._priced(b"", code, DEPLOYMENT_GAS)
        key = self._key()
        return tx.sign(content, key), tx.contract_address(tx.address(key), content.nonce)

    def replace(self, raw: bytes) -> SignedTransaction:
        """See ``Chain``."""
        old, key = tx.read(raw), self._key()
        content = self._priced(old.content.to, old.content.call, old.content.gas)
        if (old.sender, old.content.nonce) == (tx.address(key), content.nonce):
            fee = max(content.fee, _raised(old.content.fee))
            priority = max(content.priority_fee, _raised(old.content.priority_fee))
            if fee > self._settings.max_fee or priority > min(fee, self._settings.max_priority_fee):
                return SignedTransaction(raw, old.hash_)
            content = replace(content, fee=fee, priority_fee=priority)
        return tx.sign(content, key)

    def send(self, raw: bytes) -> None:
        """See ``Chain``; wordings of "known" differ by client."""
        said = self._nodes.ask(lambda node: _refusal(node, raw))
        if not said or any(word in said for word in (*_KNOWN, *_UNDERPRICED)):
            return  # underpriced: one of ours with a higher fee waits there, or one like it
        if not any(word in said for word in _NONCE_TOO_LOW):
            raise ChainError(f"the node refused the transaction: {said[:SAID]}")
        if not self._nodes.ask(lambda node: _knows(node, tx.keccak256(raw))):
            raise NonceTakenError("another transaction took the nonce")

    def find(self, transaction: bytes) -> Mined | None:
        """See ``Chain``."""
        found = self._nodes.ask(lambda node: self._find(node, transaction))
        if found is None:
            return None
        receipt, final = found
        try:
            return replace(_read(receipt, self._settings.contract), final=final)
        except AnchorRevertedError:
            if final:
                raise
            return None

    def account(self) -> Account:
        """Say who pays, and what it has."""
        address = tx.address(self._key())

        def ask(node: "Web3") -> Account:
            with answered():
                newest = node.eth.get_block("latest")
                balance = quantity(node.eth.get_balance(Address(address)))
                base_fee, number = newest["baseFeePerGas"], newest["number"]
                return Account(address, balance, quantity(base_fee), quantity(number))

        return self._nodes.ask(ask)

    def _find(self, node: "Web3", transaction: bytes) -> "tuple[TxReceipt, bool] | None":
        """Find a receipt in the block that stands at its number, and whether that is final."""
        from web3.exceptions import BlockNotFound, TransactionNotFound

        with answered():
            try:
                receipt = node.eth.get_transaction_receipt(Hash32(transaction))
            except TransactionNotFound:
                return None
            block = quantity(receipt["blockNumber"])
            if digest(receipt["transactionHash"]) != transaction:
                raise MalformedAnswerError("the node gave the receipt of another transaction")
            try:
                standing = digest(node.eth.get_block(receipt["blockNumber"])["hash"])
            except BlockNotFound:
                return None
            if standing != digest(receipt["blockHash"]):
                return None  # between two blocks of a reorganisation, or a lie: not there, so far
            return receipt, self._is_final(node, block)

    def _is_final(self, node: "Web3", block: int) -> bool:
        from web3.exceptions import BlockNotFound

        if self._settings.confirmations != FINALIZED:
            newest = quantity(node.eth.block_number)
            return newest - block + 1 >= self._settings.confirmations
        try:
            return block <= quantity(node.eth.get_block("finalized")["number"])
        except BlockNotFound:
            return False

    def _key(self) -> bytes:
        if self._settings.key is None:
            raise ChainError("no key to sign a transaction with")
        return self._settings.key

    def _priced(self, to: bytes, call: bytes, gas: int) -> tx.Transaction:
        """Give a transaction of the account's next nonce at the market's fees, under their caps."""
        account = tx.address(self._key())
        settings = self._settings

        def ask(node: "Web3") -> tx.Transaction:
            with answered():
                base = quantity(node.eth.get_block("latest")["baseFeePerGas"])
                wanted = quantity(node.eth.max_priority_fee)
                nonce = quantity(node.eth.get_transaction_count(Address(account)))
                chain_id = quantity(node.eth.chain_id)
            priority = min(wanted, settings.max_priority_fee, settings.max_fee)
            fee = min(2 * base + priority, settings.max_fee)
            return tx.Transaction(chain_id, nonce, min(priority, fee), fee, gas, to, call)

        return self._nodes.ask(ask)


def connect(url: str, timeout_s: float = 10.0) -> "Web3":
    """Give a node for ``JsonRpcChain``; no retries inside: whoever asks tries again itself.

    Args:
        url: http or https.
        timeout_s: Most that one answer takes in all, seconds.
    """
    with kept_recursion_limit():
        from web3 import HTTPProvider, Web3
        from web3.middleware import ExtraDataToPOAMiddleware

    session = _Session(Endpoint(url, timeout_s))
    provider = HTTPProvider(url, session=session, exception_retry_configuration=None)
    node = Web3(provider)
    node.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)  # chains by authority (Clique)
    return node


class _Session:
    """As much of a session of requests as web3 uses, over an ``Endpoint``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def post(self, _: str, data: bytes, **__: object) -> "_Answer":
        return _Answer(self._endpoint.post(data))


@dataclass(frozen=True, slots=True)
class _Answer:
    """As much of an answer as web3 uses."""

    content: bytes

    def raise_for_status(self) -> None:
        """It has status 200."""

    def __enter__(self) -> "_Answer":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


def _facts(node: "Web3") -> Facts:
    with answered():
        return Facts(quantity(node.eth.chain_id), digest(node.eth.get_block(0)["hash"]))


def _refusal(node: "Web3", raw: bytes) -> str:
    """Send a transaction; what the node says against it, in lower case; empty if it took it."""
    from web3.exceptions import Web3RPCError, Web3ValueError

    with answered():
        try:
            node.eth.send_raw_transaction(raw)
        except (Web3RPCError, Web3ValueError) as error:
            return str(error).lower()
    return ""


def _knows(node: "Web3", transaction: bytes) -> bool:
    from web3.exceptions import TransactionNotFound

    with answered():
        try:
            node.eth.get_transaction(Hash32(transaction))
        except TransactionNotFound:
            return False
    return True


def _read(receipt: "TxReceipt", contract: bytes) -> Mined:
    with answered():
        logs = [
            (
                bytes.fromhex(log["address"][2:]),
                list(map(digest, log["topics"])),
                octets(log["data"]),
            )
            for log in receipt["logs"]
        ]
        gas, price = quantity(receipt["gasUsed"]), quantity(receipt.get("effectiveGasPrice", 0))
        block, block_hash = quantity(receipt["blockNumber"]), digest(receipt["blockHash"])
    return replace(read_mined(block, block_hash, contract, logs), gas=gas, paid=gas * price)


def _raised(fee: int) -> int:
    """The least fee by which clients let a transaction replace another: an eighth more, and more at all."""
    return max(fee + 1, -(-fee * 9 // 8))
