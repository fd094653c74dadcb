"""Two real EVMs for tests of contracts, with the same few words: the embedded chain in memory, and anvil.

Time is the tests': each transaction is in a block of its own, one second after the one before unless ``at`` says when.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import eth_abi

from anchoring.chain import embedded
from anchoring.chain import transaction as tx
from anchoring.chain.recursion import kept_recursion_limit
from tests.anchoring.anvil import Anvil

with kept_recursion_limit():  # which it raises for the whole process
    from eth_account import Account
    from eth_account.messages import encode_typed_data

__all__ = ["Account", "encode_typed_data"]  # for others, imported with care here

CONTRACTS = Path(embedded.__file__).parents[1] / "contracts"
NEVER = 2**64 - 1
DAY = 86_400
_START = 2_000_000_000  # seconds since 1970: later than any machine's clock, which anvil insists on
_GAS = 9_000_000
_FEE = 10**10
_COINS = 10**24


def key(number: int) -> bytes:
    """A private key of tests; the first twenty have coins."""
    return number.to_bytes(32, "big")


FUNDED = [tx.address(key(number)) for number in range(1, 21)]
NOBODY = bytes(20)


@dataclass(frozen=True)
class Mined:
    """What became of a transaction: ``error`` is None, or what the contract reverted with."""

    gas: int
    at: int  # its block's time
    contract: bytes
    logs: list[tuple[bytes, list[bytes], bytes]]
    error: bytes | None
    calldata: bytes


class Evm(Protocol):
    """A chain in a test's hands."""

    name: str
    chain_id: int
    now: int  # of the newest block

    def send(self, sender: bytes, to: bytes, data: bytes, at: int | None = None) -> Mined: ...

    def call(self, to: bytes, data: bytes, at: int | None = None) -> bytes: ...


class Embedded:
    """The chain of ``anchoring.chain.embedded``, with its state in memory."""

    name = "embedded"
    chain_id = 5

    def __init__(self) -> None:
        from eth.constants import POST_MERGE_DIFFICULTY, POST_MERGE_MIX_HASH, POST_MERGE_NONCE
        from eth.db.atomic import AtomicDB

        embedded.import_py_evm()
        self.now = _START
        genesis = {
            "coinbase": bytes(20),
            "difficulty": POST_MERGE_DIFFICULTY,
            "extra_data": b"",
            "gas_limit": 30_000_000,
            "mix_hash": POST_MERGE_MIX_HASH,
            "nonce": POST_MERGE_NONCE,
            "timestamp": _START,
        }
        funded = {
            who: {"balance": _COINS, "nonce": 0, "code": b"", "storage": {}} for who in FUNDED
        }
        self._chain: Any = embedded._chain_class(self.chain_id).from_genesis(
            AtomicDB(), genesis, funded
        )

    def send(self, sender: bytes, to: bytes, data: bytes, at: int | None = None) -> Mined:
        chain, self.now = self._chain, at or self.now + 1
        chain.header = chain.header.copy(timestamp=self.now)
        nonce = chain.get_vm().state.get_nonce(tx.address(sender))
        signed = tx.sign(tx.Transaction(self.chain_id, nonce, 0, _FEE, _GAS, to, data), sender)
        opened = chain.get_vm().get_transaction_builder().decode(signed.raw)
        _, receipt, ran = chain.apply_transaction(opened)
        chain.mine_block(blob_gas_used=0, mix_hash=bytes(32))
        logs = [
            (bytes(one.address), [topic.to_bytes(32, "big") for topic in one.topics], one.data)
            for one in receipt.logs
        ]
        error = bytes(ran.output) if ran.is_error else None
        where = bytes(ran.msg.storage_address)
        return Mined(chain.get_canonical_head().gas_used, self.now, where, logs, error, data)

    def weigh(self, contract: Contract, function: str, *args: Any) -> int:
        """Gas of a view's execution alone, as another contract would pay it."""
        from eth.vm.spoof import SpoofTransaction

        chain = self._chain
        unsigned = chain.create_unsigned_transaction(
            nonce=chain.get_vm().state.get_nonce(NOBODY),
            gas_price=0,
            gas=_GAS,
            to=contract.address,
            value=0,
            data=calldata(contract.name, function, *args),
        )
        with chain.get_vm(chain.get_canonical_head()).in_costless_state() as state:
            ran = state.costless_execute_transaction(SpoofTransaction(unsigned, from_=NOBODY))
        assert not ran.is_error
        return int(ran.get_gas_used())

    def call(self, to: bytes, data: bytes, at: int | None = None) -> bytes:
        from eth.exceptions import Revert
        from eth.vm.spoof import SpoofTransaction

        chain = self._chain
        if at is not None and at - 1 > self.now:  # py-evm calls a second after the newest block
            chain.header = chain.header.copy(timestamp=at - 1)
            chain.mine_block(blob_gas_used=0, mix_hash=bytes(32))
            self.now = at - 1
        unsigned = chain.create_unsigned_transaction(
            nonce=0, gas_price=0, gas=_GAS, to=to, value=0, data=data
        )
        asked = SpoofTransaction(unsigned, from_=NOBODY)
        try:
            return bytes(chain.get_transaction_result(asked, chain.get_canonical_head()))
        except Revert as error:
            raise RevertedError(bytes(error.args[0])) from error


class OnAnvil:
    """A node of anvil's that no other test uses, since time is set here."""

    name = "anvil"

    def __init__(self, node: Anvil) -> None:
        self._node = node
        self.chain_id = int(node.rpc("eth_chainId"), 16)
        self.now = _START
        for who in FUNDED:
            node.give(who, _COINS)

    def send(self, sender: bytes, to: bytes, data: bytes, at: int | None = None) -> Mined:
        self.now = at or self.now + 1
        self._node.rpc("evm_setNextBlockTimestamp", self.now)
        nonce = int(
            self._node.rpc("eth_getTransactionCount", "0x" + tx.address(sender).hex(), "latest"), 16
        )
        signed = tx.sign(tx.Transaction(self.chain_id, nonce, 0, _FEE, _GAS, to, data), sender)
        found = self._node.send(signed.raw)
        logs = [
            (_bytes(one["address"]), [_bytes(t) for t in one["topics"]], _bytes(one["data"]))
            for one in found["logs"]
        ]
        error = None if found["status"] == "0x1" else self._why(signed.hash_)
        where = _bytes(found["contractAddress"]) if found["contractAddress"] else to
        return Mined(int(found["gasUsed"], 16), self.now, where, logs, error, data)

    def call(self, to: bytes, data: bytes, at: int | None = None) -> bytes:
        asked = {"to": "0x" + to.hex(), "data": "0x" + data.hex()}
        when = {"time": hex(at or self.now + 1)}
        return _bytes(self._node.rpc("eth_call", asked, "latest", {}, when))

    def _why(self, transaction: bytes) -> bytes:
        how = {"tracer": "callTracer"}
        traced = self._node.rpc("debug_traceTransaction", "0x" + transaction.hex(), how)
        return _bytes(traced.get("output") or "0x")


class RevertedError(Exception):
    """A view reverted."""


@dataclass
class Contract:
    """A deployed contract: its functions by name, its events and errors read."""

    evm: Evm
    name: str
    address: bytes
    deployment: Mined = field(repr=False, default=None)  # type: ignore[assignment]

    def send(self, sender: bytes, function: str, *args: Any, at: int | None = None) -> Mined:
        """Call a function in a transaction; the contract accepts."""
        mined = self.evm.send(sender, self.address, calldata(self.name, function, *args), at)
        assert mined.error is None, (function, error_name(mined.error))
        return mined

    def refused(self, sender: bytes, function: str, *args: Any, at: int | None = None) -> str:
        """Call a function in a transaction; the contract reverts.  The name of its error."""
        mined = self.evm.send(sender, self.address, calldata(self.name, function, *args), at)
        assert mined.error is not None, function
        return error_name(mined.error)

    def ask(self, function: str, *args: Any, at: int | None = None) -> Any:
        """Call a view; one value, or a tuple of them."""
        said = self.evm.call(self.address, calldata(self.name, function, *args), at)
        values = eth_abi.decode([_type(one) for one in _item(self.name, function)["outputs"]], said)
        return values[0] if len(values) == 1 else values

    def events(self, mined: Mined) -> list[tuple[str, tuple[Any, ...]]]:
        """The events of this contract in a transaction, with their arguments in order."""
        read = []
        for address, topics, data in mined.logs:
            if address != self.address:
                continue
            item = _by_hash(self.name, "event")[topics[0]]
            inputs = item["inputs"]
            plain = iter(eth_abi.decode([i["type"] for i in inputs if not i["indexed"]], data))
            indexed = iter(topics[1:])
            values = [
                eth_abi.decode([i["type"]], next(indexed))[0] if i["indexed"] else next(plain)
                for i in inputs
            ]
            read.append((item["name"], tuple(values)))
        return read


def deploy(evm: Evm, name: str, *args: Any, sender: bytes = key(1)) -> Contract:
    """Deploy what the committed artifact holds."""
    made = artifact(name)
    item = next((one for one in made["abi"] if one["type"] == "constructor"), {"inputs": []})
    words = eth_abi.encode([_type(one) for one in item["inputs"]], args)
    mined = evm.send(sender, b"", bytes.fromhex(made["creationBytecode"][2:]) + words)
    assert mined.error is None, mined.error
    return Contract(evm, name, mined.contract, mined)


@cache
def _errors() -> dict[bytes, str]:
    """Of all contracts: the timelock passes on what a governed one says."""
    names = [path.stem for path in CONTRACTS.glob("*.json")]
    return {at[:4]: item["name"] for name in names for at, item in _by_hash(name, "error").items()}


def error_name(reverted: bytes) -> str:
    """Read the name of the error that a contract reverted with."""
    return _errors().get(reverted[:4], reverted.hex())


@cache
def artifact(name: str) -> dict[str, Any]:
    """A committed artifact."""
    made: dict[str, Any] = json.loads((CONTRACTS / f"{name}.json").read_text("utf-8"))
    return made


def calldata(name: str, function: str, *args: Any) -> bytes:
    """Encode a call; a function with overloads is named with its signature."""
    item = _item(name, function)
    types = [_type(one) for one in item["inputs"]]
    return tx.keccak256(_signature(item).encode())[:4] + eth_abi.encode(types, args)


def typed(
    evm: Evm, contract: Contract, kind: str, fields: list[tuple[str, str]], **values: Any
) -> Callable[[bytes], tuple[bytes, bytes]]:
    """EIP-712 by eth-account, which is not ours: give a key, get (r, vs) as EIP-2098 writes them."""
    message = encode_typed_data(
        {"name": contract.name, "version": "1", "chainId": evm.chain_id}
        | {"verifyingContract": "0x" + contract.address.hex()},
        {kind: [{"name": n, "type": t} for t, n in fields]},
        {n: "0x" + v.hex() if isinstance(v, bytes) else v for n, v in values.items()},
    )

    def sign(private: bytes) -> tuple[bytes, bytes]:
        signed = Account.sign_message(message, private)
        return compact(signed.v, signed.r, signed.s)

    return sign


def compact(v: int, r: int, s: int) -> tuple[bytes, bytes]:
    """EIP-2098."""
    return r.to_bytes(32, "big"), ((v - 27) << 255 | s).to_bytes(32, "big")


def _item(name: str, function: str) -> Any:
    items = [one for one in artifact(name)["abi"] if one["type"] == "function"]
    return next(one for one in items if function in (one["name"], _signature(one)))


def _by_hash(name: str, kind: str) -> dict[bytes, Any]:
    items = [one for one in artifact(name)["abi"] if one["type"] == kind]
    return {tx.keccak256(_signature(one).encode()): one for one in items}


def _signature(item: Any) -> str:
    return f"{item['name']}({','.join(_type(one) for one in item['inputs'])})"


def _type(item: Any) -> str:
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    return "(" + ",".join(_type(one) for one in item["components"]) + ")"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
