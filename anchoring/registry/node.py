"""What the registries need of a chain, and one that a node serves over JSON-RPC.

Everything that a node says is checked for its form; what is not in it counts as no answer.
The methods block and may be called from any thread.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from anchoring.chain.evm import FINALIZED
from anchoring.chain.nodes import Facts, Nodes
from anchoring.chain.rpc import Endpoint
from anchoring.chain.transaction import keccak256
from anchoring.errors import AnchorRevertedError, ChainUnavailableError, MalformedAnswerError

NEWEST, FINAL = "latest", "finalized"

_REVERTED = 3  # code of an error that is the contract's (as geth has it)
_LARGEST = 2**96
_SAID = 200


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its number, its hash, and its time in seconds since 1970."""

    number: int
    hash: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event.

    Attributes:
        contract: Address of the contract that emitted it.
        topics: 32 bytes each; the first says which event it is.
        words: What is not indexed.
        block: Number of its block.
        transaction: Hash of its transaction.
    """

    contract: bytes
    topics: tuple[bytes, ...]
    words: bytes
    block: int
    transaction: bytes


@dataclass(frozen=True, slots=True)
class Means:
    """What an account can send with.

    Attributes:
        nonce: How many transactions of it are in blocks.
        waiting: How many the node knows of beyond these.
        base_fee: Wei per gas in the newest block.
        tip: Wei per gas that the node thinks right for the block's maker.
    """

    nonce: int
    waiting: int
    base_fee: int
    tip: int


class Node(Protocol):
    """A chain, for whoever watches and calls contracts.

    Each method raises ChainUnavailableError when there is no answer, or none in its form.
    """

    def block(self, number: int | str = NEWEST) -> Block | None:
        """Give a block by its number, NEWEST or FINAL; None when there is none of that number."""
        ...

    def logs(self, contracts: Sequence[bytes], first: int, last: int) -> list[Log]:
        """Give the events of contracts in blocks ``first`` to ``last``, in their order."""
        ...

    def call(self, contract: bytes, calldata: bytes, block: int | None = None) -> bytes:
        """Call a function without a transaction, as of a block or of the newest one.

        Raises:
            AnchorRevertedError: The contract reverted.
        """
        ...

    def means(self, account: bytes) -> Means:
        """Say what an account can send with."""
        ...

    def send(self, raw: bytes) -> str:
        """Hand over a signed transaction; what the node says against it, empty if it took it."""
        ...


class JsonRpcNode:
    """A node over JSON-RPC; implements ``Node``."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Ask at this endpoint."""
        self._endpoint = endpoint

    def chain_id(self) -> int:
        """Say which chain it is (EIP-155)."""
        return _number(self._ask("eth_chainId"))

    def code(self, contract: bytes) -> bytes:
        """Give the code at an address."""
        return _octets(self._ask("eth_getCode", _hex(contract), "latest"))

    def block(self, number: int | str = NEWEST) -> Block | None:
        """See ``Node``."""
        at = number if isinstance(number, str) else hex(number)
        found = self._ask("eth_getBlockByNumber", at, False)
        if found is None and number != NEWEST:
            return None
        block = _object(found)
        read = Block(
            _number(block.get("number")),
            _word(block.get("hash")),
            _number(block.get("timestamp")),
        )
        if isinstance(number, int) and read.number != number:
            raise MalformedAnswerError("the node gave another block")
        return read

    def logs(self, contracts: Sequence[bytes], first: int, last: int) -> list[Log]:
        """See ``Node``."""
        wanted = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": [_hex(contract) for contract in contracts],
        }
        found = self._ask("eth_getLogs", wanted)
        if not isinstance(found, list):
            raise MalformedAnswerError("the node gave no list of events")
        logs = [_log(_object(each)) for each in found if not _object(each).get("removed")]
        if any(log.contract not in contracts or not first <= log.block <= last for log in logs):
            raise MalformedAnswerError("the node gave events that were not asked for")
        return logs

    def call(self, contract: bytes, calldata: bytes, block: int | None = None) -> bytes:
        """See ``Node``."""
        asked = {"to": _hex(contract), "data": _hex(calldata)}
        return _octets(self._ask("eth_call", asked, "latest" if block is None else hex(block)))

    def means(self, account: bytes) -> Means:
        """See ``Node``."""
        nonce = _number(self._ask("eth_getTransactionCount", _hex(account), "latest"))
        pending = _number(self._ask("eth_getTransactionCount", _hex(account), "pending"))
        newest = _object(self._ask("eth_getBlockByNumber", "latest", False))
        base_fee = _number(newest.get("baseFeePerGas"))
        tip = _number(self._ask("eth_maxPriorityFeePerGas"))
        return Means(nonce, max(0, pending - nonce), base_fee, tip)

    def send(self, raw: bytes) -> str:
        """See ``Node``."""
        answer = self._exchange("eth_sendRawTransaction", _hex(raw))
        if "error" in answer:
            return _message(answer)
        if _word(answer.get("result")) != keccak256(raw):
            raise MalformedAnswerError("the node took another transaction")
        return ""

    def _ask(self, method: str, *params: object) -> object:
        answer = self._exchange(method, *params)
        if "error" in answer:
            said = _message(answer)
            error = answer["error"]
            code = error.get("code") if isinstance(error, dict) else None
            if method == "eth_call" and (code == _REVERTED or "revert" in said):
                raise AnchorRevertedError("the contract reverted the call")
            raise ChainUnavailableError(f"the node refuses: {said}")
        return answer.get("result")

    def _exchange(self, method: str, *params: object) -> Mapping[str, object]:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        said = self._endpoint.post(json.dumps(asked).encode())
        try:
            answer = json.loads(said)
        except (ValueError, RecursionError) as error:
            raise MalformedAnswerError("the node's answer is not JSON") from error
        return _object(answer)


class OneOf:
    """Several nodes of one chain, asked in turn; implements ``Node``."""

    def __init__(self, nodes: Sequence[JsonRpcNode], meant: Facts) -> None:
        """Ask these nodes.

        Args:
            nodes: At least one, the preferred one first.
            meant: Which chain it must be; one that serves another is left out.
        """
        self._nodes = Nodes(nodes, _facts, meant)

    def chain_id(self) -> int:
        """Say which chain it is (EIP-155)."""
        return self._nodes.ask(lambda node: node.chain_id())

    def code(self, contract: bytes) -> bytes:
        """Give the code at an address."""
        return self._nodes.ask(lambda node: node.code(contract))

    def block(self, number: int | str = NEWEST) -> Block | None:
        """See ``Node``."""
        return self._nodes.ask(lambda node: node.block(number))

    def logs(self, contracts: Sequence[bytes], first: int, last: int) -> list[Log]:
        """See ``Node``."""
        return self._nodes.ask(lambda node: node.logs(contracts, first, last))

    def call(self, contract: bytes, calldata: bytes, block: int | None = None) -> bytes:
        """See ``Node``."""
        return self._nodes.ask(lambda node: node.call(contract, calldata, block))

    def means(self, account: bytes) -> Means:
        """See ``Node``."""
        return self._nodes.ask(lambda node: node.means(account))

    def send(self, raw: bytes) -> str:
        """See ``Node``."""
        return self._nodes.ask(lambda node: node.send(raw))


def final_block(node: Node, confirmations: int) -> int:
    """Give the number of the newest block that counts.

    Args:
        node: The chain.
        confirmations: Blocks, its own included, until a block counts, or ``FINALIZED``.
    """
    block = node.block(FINAL if confirmations == FINALIZED else NEWEST)
    if block is None:
        return 0
    return max(0, block.number - max(0, confirmations - 1))


def _facts(node: JsonRpcNode) -> Facts:
    first = node.block(0)
    return Facts(node.chain_id(), first.hash if first else b"")


def _log(log: Mapping[str, object]) -> Log:
    topics = log.get("topics")
    if not isinstance(topics, list) or len(topics) > 4:
        raise MalformedAnswerError("the node gave an event without topics")
    return Log(
        contract=_octets(log.get("address")),
        topics=tuple(_word(topic) for topic in topics),
        words=_octets(log.get("data")),
        block=_number(log.get("blockNumber")),
        transaction=_word(log.get("transactionHash")),
    )


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MalformedAnswerError("the node's answer has something else than an object")
    return value


def _message(answer: Mapping[str, object]) -> str:
    error = answer["error"]
    said = error.get("message") if isinstance(error, dict) else None
    return str(said)[:_SAID].lower()


def _number(value: object) -> int:
    try:
        found = int(value, 16) if isinstance(value, str) else -1
    except ValueError:
        found = -1
    if not 0 <= found < _LARGEST:
        raise MalformedAnswerError("the node's answer has something else than a quantity")
    return found


def _octets(value: object) -> bytes:
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return bytes.fromhex(value[2:])
    except ValueError:
        pass
    raise MalformedAnswerError("the node's answer has something else than bytes")


def _word(value: object) -> bytes:
    found = _octets(value)
    if len(found) != 32:
        raise MalformedAnswerError("the node's answer has something else than a hash")
    return found


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
