"""AuditAnchor on a real EVM: what it accepts, all that it refuses, and what it costs."""

import hashlib
import random
from collections.abc import Iterator

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.chain import Head
from anchoring.chain.contract import (
    ANCHORED_EVENT,
    AnchorCall,
    anchor_calldata,
    artifact,
    grant_calldata,
    is_genuine,
    is_publisher_calldata,
    read_anchor_calldata,
    read_head,
    read_mined,
    revoke_calldata,
)
from anchoring.chain.embedded import EmbeddedChain
from anchoring.errors import AnchorRevertedError, ChainError, UnknownTransactionError
from anchoring.log import merkle
from anchoring.log.merkle import Tree

KEY = bytes(31) + b"\x01"
MOST = 70


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedChain]:
    made = EmbeddedChain(tmp_path_factory.mktemp("contract") / "chain.db", KEY)
    yield made
    made.close()


@pytest.fixture(scope="module")
def tree() -> Tree:
    grown = Tree()
    grown.extend(merkle.leaf_hash(bytes([i])) for i in range(MOST))
    return grown


@pytest.fixture
def log(request: pytest.FixtureRequest) -> bytes:
    return hashlib.sha256(request.node.nodeid.encode()).digest()


def anchor(chain: EmbeddedChain, log: bytes, size: int, root: bytes, proof: list[bytes]) -> bytes:
    """Anchor; the transaction's hash."""
    signed = chain.prepare(log, size, root, proof)
    chain.send(signed.raw)
    mined = chain.find(signed.hash_)
    assert mined
    assert (mined.log, mined.size, mined.root) == (log, size, root)
    return signed.hash_


def refused(chain: EmbeddedChain, log: bytes, size: int, root: bytes, proof: list[bytes]) -> None:
    """Try to anchor; the contract must revert, and its head must stay."""
    before = chain.head(log)
    with pytest.raises(AnchorRevertedError):
        anchor(chain, log, size, root, proof)
    assert chain.head(log) == before


def flip(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def test_an_unknown_log_has_an_empty_head(chain: EmbeddedChain, log: bytes) -> None:
    assert chain.head(log) == Head(bytes(20), 0, bytes(32))


def test_it_accepts_growth_that_is_proved(chain: EmbeddedChain, log: bytes, tree: Tree) -> None:
    old = 0
    for size in (1, 2, 3, 7, 8, 21, 64, 65, MOST):
        anchor(chain, log, size, tree.root(size), tree.consistency_path(old, size))
        assert chain.head(log) == Head(tx.address(KEY), size, tree.root(size))
        old = size


def test_it_decides_on_any_two_sizes_as_the_rfc_does(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    chosen = random.Random(9162)  # ours: any seed would do
    for case in range(25):
        old, new = sorted(chosen.sample(range(1, MOST + 1), 2))
        own = hashlib.sha256(log + bytes([case])).digest()
        anchor(chain, own, old, tree.root(old), [])
        proof = tree.consistency_path(old, new)
        at = chosen.randrange(len(proof))
        refused(chain, own, new, tree.root(new), [*proof[:at], flip(proof[at]), *proof[at + 1 :]])
        anchor(chain, own, new, tree.root(new), proof)


def test_it_refuses_a_rewritten_or_forked_history(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    anchor(chain, log, 20, tree.root(20), [])
    for changed in (0, 7, 19):
        other = Tree()
        other.extend(flip(tree.leaf(i)) if i == changed else tree.leaf(i) for i in range(MOST))
        for new in (21, 32, MOST):
            refused(chain, log, new, other.root(new), other.consistency_path(20, new))


def test_it_refuses_a_log_that_shrinks_or_is_replayed(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    anchor(chain, log, 20, tree.root(20), [])
    refused(chain, log, 20, tree.root(20), [])  # the same again
    refused(chain, log, 20, tree.root(21), [])  # another root for the same size
    refused(chain, log, 19, tree.root(19), [])
    refused(chain, log, 0, merkle.EMPTY_ROOT, [])


def test_it_refuses_an_empty_first_checkpoint_and_one_with_a_proof(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    refused(chain, log, 0, merkle.EMPTY_ROOT, [])
    refused(chain, log, 5, tree.root(5), [tree.root(1)])


def test_it_refuses_forged_proofs(chain: EmbeddedChain, log: bytes, tree: Tree) -> None:
    anchor(chain, log, 21, tree.root(21), [])
    proof, root = tree.consistency_path(21, 60), tree.root(60)
    forgeries = [
        [],
        proof[:-1],
        proof[1:],
        [*proof, proof[-1]],
        proof[::-1],
        [flip(proof[0]), *proof[1:]],
        [*proof[:-1], flip(proof[-1])],
        tree.consistency_path(20, 60),
        proof + [bytes(32)] * (65 - len(proof)),
    ]
    for forged in forgeries:
        refused(chain, log, 60, root, forged)
    refused(chain, log, 60, flip(root), proof)
    refused(chain, log, 65, root, proof)
    refused(chain, log, 2**64 - 1, root, proof)
    anchor(chain, log, 60, root, proof)


def test_a_proof_does_not_tell_sizes_of_one_shape_apart(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    """RFC 9162 binds size to root by the signed checkpoint, not by the consistency proof.

    A publisher who claims 61 for the root of 60 is believed, as by every verifier of the RFC's
    algorithm, and then cannot go on: no honest proof starts from that pair.
    """
    anchor(chain, log, 21, tree.root(21), [])
    anchor(chain, log, 61, tree.root(60), tree.consistency_path(21, 60))
    refused(chain, log, 66, tree.root(66), tree.consistency_path(61, 66))


def test_only_the_publisher_may_go_on(chain: EmbeddedChain, log: bytes, tree: Tree) -> None:
    """A stranger with coins, a correct proof, and the same chain."""
    anchor(chain, log, 5, tree.root(5), [])
    stranger = Account(chain, 9)
    assert not stranger.anchors(log, tree, 5, 9)
    assert chain.head(log).size == 5
    anchor(chain, log, 9, tree.root(9), tree.consistency_path(5, 9))


def test_a_new_key_is_granted_goes_on_and_revokes_the_old_one(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    owner, new = Account(chain, int.from_bytes(KEY, "big")), Account(chain, 10)
    anchor(chain, log, 5, tree.root(5), [])
    assert (owner.may_publish(log), new.may_publish(log)) == (True, False)
    assert owner.calls(grant_calldata(log, new.address))
    assert owner.anchors(log, tree, 5, 7)  # both may, in any order, until one is revoked
    assert new.anchors(log, tree, 7, 9)
    assert owner.anchors(log, tree, 9, 10)
    assert new.calls(revoke_calldata(log, owner.address))
    assert (owner.may_publish(log), new.may_publish(log)) == (False, True)
    assert chain.head(log) == Head(new.address, 10, tree.root(10))
    assert not owner.anchors(log, tree, 10, 20)
    assert new.anchors(log, tree, 10, 20)
    assert new.calls(grant_calldata(log, owner.address))  # and back, for the tests that follow
    assert owner.anchors(log, tree, 20, 30)


def test_only_a_publisher_grants_and_revokes_and_nobody_revokes_itself(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    owner, stranger = Account(chain, int.from_bytes(KEY, "big")), Account(chain, 11)
    other_log = hashlib.sha256(log).digest()
    assert not owner.calls(grant_calldata(log, stranger.address))  # nobody has anchored it yet
    anchor(chain, log, 5, tree.root(5), [])
    for refused_call in (
        grant_calldata(log, stranger.address),
        revoke_calldata(log, owner.address),
    ):
        assert not stranger.calls(refused_call)
    assert not owner.calls(revoke_calldata(log, owner.address))
    assert not owner.calls(grant_calldata(log, bytes(20)))
    assert not chain_says(chain, is_publisher_calldata(other_log, bytes(20)))
    assert not owner.calls(grant_calldata(other_log, owner.address))
    assert not stranger.may_publish(log)
    anchor(chain, log, 9, tree.root(9), tree.consistency_path(5, 9))


def test_code_of_ours_is_told_from_any_other() -> None:
    assert is_genuine(artifact().code_hash)
    assert not is_genuine(tx.keccak256(b""))


class Account:
    """One who has coins on the chain; ``number`` is its private key."""

    def __init__(self, chain: EmbeddedChain, number: int) -> None:
        self._chain = chain
        self._key = number.to_bytes(32, "big")
        self.address = tx.address(self._key)
        if self._key != KEY:
            give_coins(chain, self.address)

    def may_publish(self, log: bytes) -> bool:
        return chain_says(self._chain, is_publisher_calldata(log, self.address))

    def anchors(self, log: bytes, tree: Tree, old: int, new: int) -> bool:
        """Whether the contract lets it."""
        proof = tuple(tree.consistency_path(old, new))
        self.calls(anchor_calldata(AnchorCall(log, new, tree.root(new), proof)))
        return self._chain.head(log) == Head(self.address, new, tree.root(new))

    def calls(self, calldata: bytes) -> bool:
        """Send a call; whether the contract did anything."""
        own = tx.read(self._chain.prepare(bytes(32), 1, bytes(32), []).raw).content
        with self._chain._session() as opened:
            nonce = opened.get_vm().state.get_nonce(self.address)  # type: ignore[arg-type]
        content = tx.Transaction(own.chain_id, nonce, 0, own.fee, own.gas, own.to, calldata)
        signed = tx.sign(content, self._key)
        self._chain.send(signed.raw)
        with self._chain._session() as opened:
            return bool(opened.get_transaction_receipt(signed.hash_).logs)  # type: ignore[arg-type]


def chain_says(chain: EmbeddedChain, question: bytes) -> bool:
    return chain.call(question)[-1] == 1


def give_coins(chain: EmbeddedChain, to: bytes) -> None:
    """Send coins from the chain's account, which the room's own transactions never do."""
    from eth_account import Account

    own = tx.read(chain.prepare(bytes(32), 1, bytes(32), []).raw).content
    signed = Account.sign_transaction(
        {
            "type": 2,
            "chainId": own.chain_id,
            "nonce": own.nonce,
            "maxPriorityFeePerGas": 0,
            "maxFeePerGas": own.fee,
            "gas": 21_000,
            "to": to,
            "value": 10**18,
        },
        KEY,
    )
    with chain._session(write=True) as opened:
        opened.apply_transaction(
            opened.get_vm().get_transaction_builder().decode(bytes(signed.raw_transaction))
        )
        opened.mine_block(blob_gas_used=0, mix_hash=bytes(32))


def inclusion_calldata(log: bytes, leaf: bytes, index: int, path: list[bytes]) -> bytes:
    words = [log, leaf, index.to_bytes(32, "big"), (128).to_bytes(32, "big")]
    words += [len(path).to_bytes(32, "big"), *path]
    return artifact().methods["verifyInclusion(bytes32,bytes32,uint64,bytes32[])"] + b"".join(words)


def test_it_verifies_inclusion_of_every_leaf(chain: EmbeddedChain, log: bytes, tree: Tree) -> None:
    anchor(chain, log, 21, tree.root(21), [])
    for index in range(21):
        path = tree.inclusion_path(index, 21)
        chain.call(inclusion_calldata(log, tree.leaf(index), index, path))
        for forged in (
            inclusion_calldata(log, flip(tree.leaf(index)), index, path),
            inclusion_calldata(log, tree.leaf(index), (index + 1) % 21, path),
            inclusion_calldata(log, tree.leaf(index), index, path[:-1]),
            inclusion_calldata(log, tree.leaf(index), index, [*path, path[0]]),
            inclusion_calldata(log, tree.leaf(index), index, [flip(path[0]), *path[1:]]),
            inclusion_calldata(log, tree.leaf(index), 21, path),
            inclusion_calldata(log, tree.leaf(index), index, [bytes(32)] * 65),
        ):
            with pytest.raises(AnchorRevertedError):
                chain.call(forged)


def test_nothing_is_included_in_a_log_that_was_never_anchored(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    with pytest.raises(AnchorRevertedError):
        chain.call(inclusion_calldata(log, bytes(32), 0, []))


def test_proofs_of_a_wrong_length_are_refused_even_when_the_roots_were_made_to_fit(
    chain: EmbeddedChain, log: bytes, tree: Tree
) -> None:
    a, b, c, d = (tree.leaf(i) for i in range(4))
    node = merkle.node_hash
    logs = [hashlib.sha256(log + bytes([i])).digest() for i in range(4)]
    anchor(chain, logs[0], 1, a, [])
    chain.call(inclusion_calldata(logs[0], a, 0, []))
    anchor(chain, logs[1], 4, node(a, b), [])  # a root of two leaves said to be of four
    anchor(chain, logs[2], 1, node(b, a), [])  # and one said to be of one
    for forged in (
        inclusion_calldata(logs[0], a, 1, []),
        inclusion_calldata(logs[1], a, 0, [b]),
        inclusion_calldata(logs[2], a, 0, [b]),
    ):
        with pytest.raises(AnchorRevertedError):
            chain.call(forged)
    old, new = node(d, node(c, a)), node(d, node(c, node(a, b)))
    anchor(chain, logs[3], 3, old, [])
    refused(chain, logs[3], 4, new, [a, b, c, d])


@pytest.mark.parametrize(
    "calldata",
    [
        b"",
        b"\x00" * 4,
        artifact().methods["head(bytes32)"] + bytes(32),
        anchor_calldata(AnchorCall(bytes(32), 1, bytes(32), ()))[:-1],
        anchor_calldata(AnchorCall(bytes(32), 1, bytes(32), ())) + b"\x00",
        anchor_calldata(AnchorCall(bytes(32), 1, bytes(32), ())) + bytes(32),
        anchor_calldata(AnchorCall(bytes(32), 1, bytes(32), (bytes(32),) * 65)),
        anchor_calldata(AnchorCall(bytes(32), 1, bytes(32), (bytes(32),) * 2))[:-32],
    ],
)
def test_other_calldata_is_not_read_as_an_anchor(calldata: bytes) -> None:
    with pytest.raises(UnknownTransactionError):
        read_anchor_calldata(calldata)


def test_an_event_of_another_contract_or_kind_anchors_nothing() -> None:
    topics = [tx.keccak256(ANCHORED_EVENT.encode()), bytes(32), bytes(32), bytes(32)]
    ours, words = b"c" * 20, bytes(32)
    assert read_mined(1, bytes(32), ours, [(ours, topics, words)]).size == 0
    for logs in (
        [],
        [(b"d" * 20, topics, words)],
        [(ours, topics[:3], words)],
        [(ours, [bytes(32), *topics[1:]], words)],
        [(ours, topics, words + words)],
    ):
        with pytest.raises(AnchorRevertedError):
            read_mined(1, bytes(32), ours, logs)


def test_an_answer_of_another_length_is_no_head() -> None:
    for answer in (b"", bytes(95), bytes(97)):
        with pytest.raises(ChainError):
            read_head(answer)
