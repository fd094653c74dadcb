"""The embedded chain: reopened, killed, read by others, and taken for another one."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.chain import SELF_OPERATED, check_identity
from anchoring.chain.contract import artifact
from anchoring.chain.embedded import EmbeddedChain
from anchoring.errors import (
    ChainError,
    ChainUnavailableError,
    NonceTakenError,
    UnknownTransactionError,
    WrongChainError,
)
from anchoring.log import merkle

KEY = bytes(31) + b"\x01"
LOG = hashlib.sha256(b"log").digest()
ROOM = Path(__file__).resolve().parents[3]


def tree_of(size: int) -> merkle.Tree:
    tree = merkle.Tree()
    tree.extend(merkle.leaf_hash(i.to_bytes(4)) for i in range(size))
    return tree


def anchor(chain: EmbeddedChain, tree: merkle.Tree, size: int) -> bytes:
    old = chain.head(LOG).size
    signed = chain.prepare(LOG, size, tree.root(size), tree.consistency_path(old, size))
    chain.send(signed.raw)
    return signed.hash_


def test_a_new_chain_holds_the_genuine_contract(tmp_path: Path) -> None:
    identity = EmbeddedChain(tmp_path / "c.db", KEY).identity()
    assert identity.code_hash == artifact().code_hash
    assert identity.assurance == SELF_OPERATED
    assert identity.contract == tx.contract_address(tx.address(KEY), 0)


def test_reopening_keeps_genesis_contract_and_history(tmp_path: Path) -> None:
    tree, path = tree_of(30), tmp_path / "c.db"
    first = EmbeddedChain(path, KEY, chain_id=4242)
    sent = [anchor(first, tree, size) for size in (3, 9)]
    identity, found = first.identity(), [first.find(transaction) for transaction in sent]
    first.close()
    again = EmbeddedChain(path, KEY, chain_id=1)  # the file's own chain id holds
    check_identity(again.identity(), identity)
    assert identity.chain_id == 4242
    assert [again.find(transaction) for transaction in sent] == found
    anchor(again, tree, 30)
    assert again.head(LOG).root == tree.root(30)


def test_the_same_key_and_chain_id_give_the_same_genesis_and_others_another(
    tmp_path: Path,
) -> None:
    made = [
        EmbeddedChain(tmp_path / f"{i}.db", key, chain_id).identity()
        for i, (key, chain_id) in enumerate([(KEY, 1), (KEY, 1), (KEY, 2), (b"\x01" * 32, 1)])
    ]
    assert made[0] == made[1]
    with pytest.raises(WrongChainError, match="chain_id"):
        check_identity(made[2], made[0])
    with pytest.raises(WrongChainError, match="genesis_hash"):
        check_identity(made[3], made[0])


def test_a_transaction_sent_again_is_mined_once(tmp_path: Path) -> None:
    chain, tree = EmbeddedChain(tmp_path / "c.db", KEY), tree_of(5)
    signed = chain.prepare(LOG, 5, tree.root(5), [])
    assert chain.find(signed.hash_) is None
    chain.send(signed.raw)
    found = chain.find(signed.hash_)
    chain.send(signed.raw)
    assert chain.find(signed.hash_) == found


def test_a_transaction_whose_nonce_is_taken_is_refused(tmp_path: Path) -> None:
    chain, tree = EmbeddedChain(tmp_path / "c.db", KEY), tree_of(5)
    late = chain.prepare(LOG, 5, tree.root(5), [])
    anchor(chain, tree, 4)
    with pytest.raises(NonceTakenError):
        chain.send(late.raw)
    assert chain.head(LOG).size == 4


def test_a_transaction_that_the_chain_cannot_take_changes_nothing(tmp_path: Path) -> None:
    chain, tree = EmbeddedChain(tmp_path / "c.db", KEY), tree_of(5)
    good = tx.read(chain.prepare(LOG, 5, tree.root(5), []).raw).content
    poor = tx.sign(good, b"\x07" * 32)
    with pytest.raises(ChainError):
        chain.send(poor.raw)
    with pytest.raises(UnknownTransactionError):
        chain.send(b"\x02garbage")
    anchor(chain, tree, 5)


def test_a_block_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path / "c.db", KEY)

    def fail() -> None:
        with chain._session(write=True):
            chain._table[b"half"] = b"written"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with chain._session():
        assert b"half" not in chain._table


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    EmbeddedChain(tmp_path / "c.db", KEY).close()
    with pytest.raises(WrongChainError, match="another key"):
        EmbeddedChain(tmp_path / "c.db", b"\x02" * 32)


def test_a_reader_reads_while_the_writer_writes_and_cannot_write(tmp_path: Path) -> None:
    chain, tree = EmbeddedChain(tmp_path / "c.db", KEY), tree_of(5)
    reader = EmbeddedChain(tmp_path / "c.db", None)
    anchor(chain, tree, 5)
    assert reader.head(LOG) == chain.head(LOG)
    signed = chain.prepare(LOG, 6, bytes(32), [])
    with pytest.raises(ChainError, match="read only"):
        reader.prepare(LOG, 6, bytes(32), [])
    with pytest.raises(ChainUnavailableError):
        reader.send(signed.raw)


def test_two_writers_build_one_chain(tmp_path: Path) -> None:
    tree = tree_of(20)
    chains = [EmbeddedChain(tmp_path / "c.db", KEY) for _ in range(2)]
    for size in range(1, 11):
        anchor(chains[size % 2], tree, size)
    assert chains[0].head(LOG) == chains[1].head(LOG)
    assert chains[0].head(LOG).size == 10


def test_a_file_that_is_no_chain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChainUnavailableError):
        EmbeddedChain(tmp_path / "missing.db", None)
    (tmp_path / "text").write_text("not a database, but long enough to look like one" * 100)
    with pytest.raises(ChainUnavailableError):
        EmbeddedChain(tmp_path / "text", KEY)
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE entry (key BLOB, value BLOB)")
    with pytest.raises(WrongChainError, match="no embedded chain"):
        EmbeddedChain(tmp_path / "other.db", None)
    with pytest.raises(ChainUnavailableError):
        EmbeddedChain(tmp_path / "no" / "folder.db", KEY)


NESTED = """
    import json, sys
    from pathlib import Path
    from anchoring.chain.embedded import EmbeddedChain
    from anchoring.chain.evm import connect
    EmbeddedChain(Path(sys.argv[1]), bytes(31) + b"\\1").head(bytes(32))
    connect("http://127.0.0.1:9")
    assert sys.getrecursionlimit() == 1000
    try:
        json.loads("[" * 200_000)
    except RecursionError:
        print("refused")
"""


def test_the_chain_in_the_process_does_not_let_nested_json_end_it(tmp_path: Path) -> None:
    """py-evm and web3 raise the recursion limit to 100,000 when they are imported."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(NESTED), str(tmp_path / "c.db")],
        cwd=ROOM,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("refused\n", 0)


VICTIM = """
    import sys
    from pathlib import Path
    from tests.anchoring.chain.test_embedded import KEY, LOG, anchor, tree_of
    from anchoring.chain.embedded import EmbeddedChain
    chain, tree = EmbeddedChain(Path(sys.argv[1]), KEY), tree_of(2000)
    while True:
        size = chain.head(LOG).size + 7
        print(size, anchor(chain, tree, size).hex(), flush=True)
"""


def test_a_chain_killed_while_it_writes_reopens_with_all_that_it_confirmed(tmp_path: Path) -> None:
    path, tree, confirmed = tmp_path / "c.db", tree_of(2000), []
    for kill_after in (1, 3, 8):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(VICTIM), str(path)],
            cwd=ROOM,
            env=os.environ | {"PYTHONPATH": str(ROOM)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        confirmed += [process.stdout.readline().split() for _ in range(kill_after)]
        os.kill(process.pid, signal.SIGKILL)
        confirmed += [line.split() for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        chain = EmbeddedChain(path, KEY)
        head = chain.head(LOG)
        assert head.size in (int(confirmed[-1][0]), int(confirmed[-1][0]) + 7)
        assert head.root == tree.root(head.size)
        for size, transaction in confirmed:
            mined = chain.find(bytes.fromhex(transaction))
            assert mined
            assert mined.size == int(size)
        chain.close()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_blocks_stay_as_large_however_many_there_are(tmp_path: Path) -> None:
    """py-evm's own rule makes nearly empty blocks smaller, until no anchor fits into one."""
    chain = EmbeddedChain(tmp_path / "chain.db", KEY)
    for size in range(1, 6):
        chain.send(chain.prepare(bytes([size]) * 32, size, bytes(32), []).raw)
    with chain._session() as opened:
        assert opened.get_canonical_head().gas_limit == 30_000_000
    chain.close()


def test_a_chain_whose_blocks_have_become_too_small_grows_them_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "anchoring.chain.embedded._GENESIS_GAS", 2_990_000
    )  # less than a deployment needs
    chain = EmbeddedChain(tmp_path / "chain.db", KEY)
    signed = chain.prepare(bytes(32), 1, bytes(32), [])
    chain.send(signed.raw)
    found = chain.find(signed.hash_)
    assert found is not None
    assert found.block > 2
    chain.close()
