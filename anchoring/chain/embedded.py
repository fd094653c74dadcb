"""A chain inside this process: py-evm over one SQLite file.  The only door to py-evm.

Each call opens the chain afresh from the file, inside one SQLite transaction, so that a block is
wholly there or not at all, whatever is killed when.  Its genesis follows from account and chain id;
its block times are the machine's.  It proves nothing to outsiders, and says so in
``ChainIdentity.assurance``.

Imports of py-evm are inside functions: they take most of a second, and whoever uses another chain,
or verifies a receipt offline, does not need them.
"""

import contextlib
import dataclasses
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from eth_typing import Address, BlockNumber, Hash32

from anchoring.chain import transaction as tx
from anchoring.chain.chain import SELF_OPERATED, ChainIdentity, Head, Mined, SignedTransaction
from anchoring.chain.contract import (
    DEPLOYMENT_GAS,
    GAS,
    AnchorCall,
    anchor_calldata,
    artifact,
    head_calldata,
    read_head,
    read_mined,
)
from anchoring.chain.recursion import kept_recursion_limit
from anchoring.errors import (
    AnchorRevertedError,
    ChainError,
    ChainUnavailableError,
    NonceTakenError,
    WrongChainError,
)

if TYPE_CHECKING:
    from eth.abc import DatabaseAPI, SignedTransactionAPI
    from eth.chains.base import MiningChain
    from eth.typing import AccountState

_GWEI = 10**9
_TABLE = "CREATE TABLE IF NOT EXISTS entry (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
_CONTRACT, _PUBLISHER, _CHAIN_ID = (b"consentry:" + x for x in (b"contract", b"publisher", b"id"))
_GENESIS_GAS = _BLOCK_GAS = 30_000_000
_NOBODY = bytes(20)  # who asks in a view call


class EmbeddedChain:
    """A chain of our own: py-evm over a SQLite file (WAL, synchronous FULL); implements ``Chain``.

    Several processes may have the file open; writers wait for each other.
    """

    def __init__(self, path: Path, key: bytes | None, chain_id: int = 0xC0DE) -> None:
        """Open the chain in ``path``; with a key, make it there first if there is none.

        Args:
            path: The SQLite file.
            key: Private key (32 bytes) of the one account, or None to only read.
            chain_id: For a chain that is made now; one that exists keeps its own.

        Raises:
            WrongChainError: The file holds no chain (and there is no key to make one), or one
                that was made for another key.
            ChainUnavailableError: The file cannot be opened.
        """
        import_py_evm()
        self._key = key
        self._lock = threading.Lock()
        self._table = _Table(_connect(path, writable=key is not None))
        if key is not None:
            self._create(key, chain_id)
        with self._session():
            self._contract, publisher, number = self._made()
        if key is not None and publisher != tx.address(key):
            raise WrongChainError("this embedded chain was made for another key")
        self._chain_id = int.from_bytes(number, "big")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._table.connection.close()

    def identity(self) -> ChainIdentity:
        """See ``Chain``."""
        with self._session() as chain:
            return ChainIdentity(
                chain_id=self._chain_id,
                genesis_hash=bytes(chain.get_canonical_block_hash(BlockNumber(0))),
                contract=self._contract,
                code_hash=tx.keccak256(
                    bytes(chain.get_vm().state.get_code(Address(self._contract)))
                ),
                assurance=SELF_OPERATED,
            )

    def head(self, log: bytes) -> Head:
        """See ``Chain``."""
        return read_head(self.call(head_calldata(log)))

    def call(self, calldata: bytes) -> bytes:
        """Call a view function of the contract; the ABI-encoded answer.

        Raises:
            AnchorRevertedError: The contract reverted.
        """
        from eth.exceptions import Revert
        from eth.vm.spoof import SpoofTransaction

        with self._session() as chain:
            unsigned = chain.create_unsigned_transaction(
                nonce=0, gas_price=0, gas=GAS, to=Address(self._contract), value=0, data=calldata
            )
            asked = SpoofTransaction(unsigned, from_=_NOBODY)
            head = chain.get_canonical_head()
            try:
                return bytes(
                    chain.get_transaction_result(cast("SignedTransactionAPI", asked), head)
                )
            except Revert as error:
                raise AnchorRevertedError("the contract reverted the call") from error

    def prepare(self, log: bytes, size: int, root: bytes, proof: list[bytes]) -> SignedTransaction:
        """See ``Chain``."""
        call = anchor_calldata(AnchorCall(log, size, root, tuple(proof)))
        with self._session() as chain:
            return self._signed(chain, self._contract, call, GAS)

    def send(self, raw: bytes) -> None:
        """See ``Chain``: mines it at once, in a block of its own."""
        read = tx.read(raw)
        with self._session(write=True) as chain:
            if _position(chain, read.hash_) is not None:
                return
            if chain.get_vm().state.get_nonce(Address(read.sender)) > read.content.nonce:
                raise NonceTakenError("another transaction took the nonce")
            _mine(chain, raw)

    def replace(self, raw: bytes) -> SignedTransaction:
        """See ``Chain``: nothing waits here, so it is the account's next nonce."""
        content = tx.read(raw).content
        with self._session() as chain:
            return self._signed(chain, content.to, content.call, content.gas)

    def find(self, transaction: bytes) -> Mined | None:
        """See ``Chain``: one block is all the confirmation there is."""
        with self._session() as chain:
            at = _position(chain, transaction)
            if at is None:
                return None
            receipt = chain.get_transaction_receipt(Hash32(transaction))
            block_hash = bytes(chain.get_canonical_block_hash(BlockNumber(at)))
        logs = [
            (bytes(log.address), [topic.to_bytes(32, "big") for topic in log.topics], log.data)
            for log in receipt.logs
        ]
        mined = read_mined(at, block_hash, self._contract, logs)
        return dataclasses.replace(mined, gas=int(receipt.gas_used))

    def gas_used(self, transaction: bytes) -> int:
        """Say how much gas a mined transaction used, alone in its block."""
        with self._session() as chain:
            return int(chain.get_transaction_receipt(Hash32(transaction)).gas_used)

    def _create(self, key: bytes, chain_id: int) -> None:
        """Write genesis and contract, once: writing a genesis again would reset the chain."""
        with self._transaction(write=True):
            if _CONTRACT in self._table:
                return
            chain = _genesis(self._table, tx.address(key), chain_id)
            deployment = self._signed(chain, b"", artifact().creation, DEPLOYMENT_GAS)
            _mine(chain, deployment.raw)
            self._table[_CONTRACT] = tx.contract_address(tx.address(key), 0)
            self._table[_PUBLISHER] = tx.address(key)
            self._table[_CHAIN_ID] = chain_id.to_bytes(8, "big")

    def _made(self) -> tuple[bytes, bytes, bytes]:
        return self._table[_CONTRACT], self._table[_PUBLISHER], self._table[_CHAIN_ID]

    def _signed(self, chain: "MiningChain", to: bytes, call: bytes, gas: int) -> SignedTransaction:
        if self._key is None:
            raise ChainError("this chain was opened to be read only")
        state = chain.get_vm().state
        content = tx.Transaction(
            chain_id=chain.chain_id,
            nonce=state.get_nonce(Address(tx.address(self._key))),
            priority_fee=0,
            fee=2 * state.base_fee + _GWEI,
            gas=gas,
            to=to,
            call=call,
        )
        return tx.sign(content, self._key)

    @contextlib.contextmanager
    def _session(self, *, write: bool = False) -> Iterator["MiningChain"]:
        """Open the chain as the file has it now, in one transaction of SQLite."""
        from eth.db.atomic import AtomicDB

        with self._transaction(write=write):
            if _CHAIN_ID not in self._table:
                raise WrongChainError("the file holds no embedded chain")
            number = int.from_bytes(self._table[_CHAIN_ID], "big")
            yield _chain_class(number)(AtomicDB(cast("DatabaseAPI", self._table)))

    @contextlib.contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:
        with self._lock:
            connection = self._table.connection
            try:
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                try:
                    yield
                    connection.execute("COMMIT")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise ChainUnavailableError(f"the embedded chain's file: {error}") from error


class _Table:
    """A SQLite table as the key-value store that py-evm's ``AtomicDB`` wraps."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __getitem__(self, key: bytes) -> bytes:
        row = self.connection.execute("SELECT value FROM entry WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.connection.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        self.connection.execute("DELETE FROM entry WHERE key = ?", (key,))

    def __contains__(self, key: object) -> bool:
        found = self.connection.execute("SELECT 1 FROM entry WHERE key = ?", (key,)).fetchone()
        return found is not None


def _connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    try:
        mode = "rwc" if writable else "ro"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,  # one lock guards it; the anchorer calls from worker threads
            timeout=10.0,
        )
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(_TABLE)
    except sqlite3.Error as error:
        raise ChainUnavailableError(f"the embedded chain's file: {error}") from error
    return connection


def import_py_evm() -> None:
    """Import what the functions of this file use, before they use it: some 20 MB, which processes that fork can share."""
    with kept_recursion_limit():
        import eth.chains.base
        import eth.vm.forks.prague
        import eth.vm.spoof  # noqa: F401


def _chain_class(chain_id: int) -> "type[MiningChain]":
    from eth.chains.base import MiningChain
    from eth.vm.forks.prague import PragueVM

    return MiningChain.configure(
        __name__="EmbeddedAuditChain", chain_id=chain_id, vm_configuration=((0, PragueVM),)
    )


def _genesis(table: _Table, account: bytes, chain_id: int) -> "MiningChain":
    """Make a chain whose genesis follows from account and chain id alone."""
    from eth.constants import POST_MERGE_DIFFICULTY, POST_MERGE_MIX_HASH, POST_MERGE_NONCE
    from eth.db.atomic import AtomicDB

    parameters: dict[str, int | BlockNumber | bytes | Address | Hash32 | None] = {
        "coinbase": bytes(20),
        "difficulty": POST_MERGE_DIFFICULTY,
        "extra_data": b"",
        "gas_limit": _GENESIS_GAS,
        "mix_hash": POST_MERGE_MIX_HASH,
        "nonce": POST_MERGE_NONCE,
        "timestamp": 0,
    }
    funded: AccountState = {
        Address(account): {"balance": 10**30, "nonce": 0, "code": b"", "storage": {}}
    }
    database = AtomicDB(cast("DatabaseAPI", table))
    made = _chain_class(chain_id).from_genesis(database, parameters, funded)
    return cast("MiningChain", made)


def _mine(chain: "MiningChain", raw: bytes) -> None:
    from eth_utils.exceptions import ValidationError

    try:
        signed = chain.get_vm().get_transaction_builder().decode(raw)
        _set_gas_limit(chain)
        while chain.header.gas_limit < min(signed.gas, _BLOCK_GAS):
            _close_block(chain)
            _set_gas_limit(chain)
        chain.apply_transaction(signed)
        _close_block(chain)
    except ValidationError as error:
        raise ChainError("the embedded chain refused the transaction") from error


def _set_gas_limit(chain: "MiningChain") -> None:
    """Let the next block take as much gas as is allowed after its parent, and not more than is needed.

    py-evm's own rule lowers the limit with each block that is nearly empty, until after some 4,000 anchors
    none fits any more.
    """
    limit = chain.get_canonical_head().gas_limit
    raised = min(_BLOCK_GAS, limit + limit // 1024 - 1)
    chain.header = chain.header.copy(gas_limit=max(limit, raised))


def _close_block(chain: "MiningChain") -> None:
    chain.mine_block(blob_gas_used=0, mix_hash=bytes(32))


def _position(chain: "MiningChain", transaction: bytes) -> int | None:
    """Give the block that holds a transaction."""
    from eth.exceptions import TransactionNotFound

    try:
        return int(chain.get_canonical_transaction_index(Hash32(transaction))[0])
    except TransactionNotFound:
        return None
