"""The tree against RFC 9162's own examples, the reference vectors, and two independent oracles."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from anchoring.errors import ConsistencyError, InclusionError, MerkleError
from anchoring.log import merkle
from anchoring.log.merkle import Tree

VECTORS = json.loads(
    (Path(__file__).resolve().parents[2] / "vectors" / "rfc9162.json").read_text("utf-8")
)
MOST = 66
LEAVES = [merkle.leaf_hash(bytes([i])) for i in range(MOST)]


@pytest.fixture(scope="module")
def tree() -> Tree:
    grown = Tree()
    grown.extend(LEAVES)
    return grown


def rfc_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, as it is written there; independent of the code under test."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + rfc_root(leaves[:k]) + rfc_root(leaves[k:])).digest()


def rfc_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*rfc_path(m, leaves[:k]), rfc_root(leaves[k:])]
    return [*rfc_path(m - k, leaves[k:]), rfc_root(leaves[:k])]


def rfc_subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162, 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [rfc_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*rfc_subproof(m, leaves[:k], whole), rfc_root(leaves[k:])]
    return [*rfc_subproof(m - k, leaves[k:], False), rfc_root(leaves[:k])]


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def flip(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def test_the_roots_are_those_of_the_reference_vectors() -> None:
    leaves = [merkle.leaf_hash(bytes.fromhex(entry)) for entry in VECTORS["entries"]]
    assert merkle.root([]).hex() == VECTORS["emptyRoot"]
    for size, root in enumerate(VECTORS["roots"], 1):
        assert merkle.root(leaves[:size]).hex() == root


def test_the_proofs_have_the_nodes_of_the_rfc_example() -> None:
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = merkle.node_hash(a, b), merkle.node_hash(c, d), merkle.node_hash(e, f)
    k, l_ = merkle.node_hash(g, h), merkle.node_hash(i, j)
    # RFC 9162, 2.1.5: its figure names the nodes so; leaves are a, b, c, d, e, f, j
    inclusion = {0: [b, h, l_], 3: [c, g, l_], 4: [f, j, k], 6: [i, k]}
    for index, path in inclusion.items():
        assert merkle.inclusion_path(LEAVES[:7], index) == path
    consistency = {3: [c, d, g, l_], 4: [l_], 6: [i, j, k]}
    for old, path in consistency.items():
        assert merkle.consistency_path(LEAVES[:7], old) == path


def test_every_inclusion_proof_up_to_66_leaves_is_the_rfcs_and_proves(tree: Tree) -> None:
    for size in range(1, MOST + 1):
        root = tree.root(size)
        assert root == rfc_root(LEAVES[:size])
        for index in range(size):
            path = tree.inclusion_path(index, size)
            assert path == rfc_path(index, LEAVES[:size])
            merkle.verify_inclusion(LEAVES[index], index, size, path, root)


def test_every_consistency_proof_up_to_66_leaves_is_the_rfcs_and_proves(tree: Tree) -> None:
    for new in range(1, MOST + 1):
        for old in range(1, new + 1):
            path = tree.consistency_path(old, new)
            assert path == rfc_subproof(old, LEAVES[:new], True)
            merkle.verify_consistency(old, new, path, tree.root(old), tree.root(new))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=300), st.data())
def test_pymerkle_finds_the_same_roots_and_paths(entries: list[bytes], data: st.DataObject) -> None:
    oracle, ours = InmemoryTree(algorithm="sha256"), Tree()
    for entry in entries:
        oracle.append_entry(entry)
        ours.append(merkle.leaf_hash(entry))
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    assert ours.root(size) == oracle.get_root(size)
    theirs = oracle.prove_inclusion(index + 1, size).path
    assert ours.inclusion_path(index, size) == theirs[1:]
    old = data.draw(st.integers(1, size))
    merkle.verify_consistency(
        old, size, ours.consistency_path(old, size), oracle.get_root(old), oracle.get_root(size)
    )


def test_every_flipped_node_of_an_inclusion_proof_is_refused(tree: Tree) -> None:
    for size in range(1, 20):
        for index in range(size):
            path = tree.inclusion_path(index, size)
            for at in range(len(path)):
                forged = [*path[:at], flip(path[at]), *path[at + 1 :]]
                with pytest.raises(InclusionError):
                    merkle.verify_inclusion(LEAVES[index], index, size, forged, tree.root(size))


def test_an_inclusion_proof_is_refused_at_every_other_place_and_size(tree: Tree) -> None:
    for size in range(1, 20):
        for index in range(size):
            path, root = tree.inclusion_path(index, size), tree.root(size)
            for other in (i for i in range(size) if i != index):
                with pytest.raises(InclusionError):
                    merkle.verify_inclusion(LEAVES[index], other, size, path, root)
            with pytest.raises(InclusionError):
                merkle.verify_inclusion(LEAVES[index], index, size, [*path, root], root)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (6, 5)])
def test_a_leaf_outside_the_tree_is_refused(tree: Tree, index: int, size: int) -> None:
    with pytest.raises(InclusionError):
        merkle.verify_inclusion(LEAVES[0], index, size, [], tree.root(size))
    with pytest.raises(MerkleError):
        tree.inclusion_path(index, size)


def test_a_node_cannot_pass_as_a_leaf() -> None:
    inner = merkle.node_hash(LEAVES[0], LEAVES[1])
    root = merkle.root(LEAVES[:4])
    merkle.verify_inclusion(
        inner, 0, 2, [merkle.node_hash(LEAVES[2], LEAVES[3])], root
    )  # the hash is in the tree,
    with pytest.raises(InclusionError):  # but no entry has it as its leaf hash
        merkle.verify_inclusion(merkle.leaf_hash(LEAVES[0] + LEAVES[1]), 0, 2, [LEAVES[2]], root)


def test_every_forged_consistency_proof_is_refused(tree: Tree) -> None:
    for new in range(2, 20):
        for old in range(1, new):
            path, roots = tree.consistency_path(old, new), (tree.root(old), tree.root(new))
            forgeries = [[*path[:i], flip(path[i]), *path[i + 1 :]] for i in range(len(path))]
            forgeries += [path[:-1], [*path, roots[0]]]
            for forged in forgeries:
                with pytest.raises(ConsistencyError):
                    merkle.verify_consistency(old, new, forged, *roots)
            for wrong in ((flip(roots[0]), roots[1]), (roots[0], flip(roots[1]))):
                with pytest.raises(ConsistencyError):
                    merkle.verify_consistency(old, new, path, *wrong)


def test_a_rewritten_history_has_no_consistency_proof(tree: Tree) -> None:
    rewritten = Tree()
    rewritten.extend([flip(LEAVES[0]), *LEAVES[1:20]])
    for old in range(1, 20):
        with pytest.raises(ConsistencyError):
            merkle.verify_consistency(
                old, 20, rewritten.consistency_path(old, 20), tree.root(old), rewritten.root(20)
            )


@pytest.mark.parametrize(
    ("old", "new", "path", "roots"),
    [
        (5, 4, [], (5, 4)),  # shrunk
        (-1, 4, [], (0, 4)),
        (4, 4, [], (4, 5)),  # two roots for one size
        (4, 4, [LEAVES[0]], (4, 4)),
        (0, 4, [], (1, 4)),  # not the empty tree's root
        (0, 4, [LEAVES[0]], (0, 4)),
        (3, 7, [], (3, 7)),
    ],
)
def test_consistency_without_growth_is_refused(
    tree: Tree, old: int, new: int, path: list[bytes], roots: tuple[int, int]
) -> None:
    with pytest.raises(ConsistencyError):
        merkle.verify_consistency(old, new, path, tree.root(roots[0]), tree.root(roots[1]))


def test_every_tree_grows_from_the_empty_one(tree: Tree) -> None:
    assert tree.consistency_path(0, 7) == []
    merkle.verify_consistency(0, 7, [], merkle.EMPTY_ROOT, tree.root(7))
    merkle.verify_consistency(0, 0, [], merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)


@pytest.mark.parametrize("nodes", [[bytes(32)] * 65, [bytes(31)], [bytes(33)], [b""]])
def test_a_proof_of_65_nodes_or_odd_ones_is_refused_before_hashing(nodes: list[bytes]) -> None:
    with pytest.raises(InclusionError, match=r"at most 64|does not have 32"):
        merkle.verify_inclusion(LEAVES[0], 0, 2**64 - 1, nodes, bytes(32))
    with pytest.raises(ConsistencyError, match=r"at most 64|does not have 32"):
        merkle.verify_consistency(1, 2**64 - 1, nodes, bytes(32), bytes(32))


def test_a_tree_says_nothing_about_sizes_that_it_never_had(tree: Tree) -> None:
    for ask in (
        lambda: tree.root(MOST + 1),
        lambda: tree.root(-1),
        lambda: tree.leaf(MOST),
        lambda: tree.leaf(-1),
        lambda: tree.consistency_path(5, 4),
        lambda: tree.consistency_path(-1, 4),
        lambda: tree.consistency_path(1, MOST + 1),
        lambda: Tree().append(b"short"),
    ):
        with pytest.raises(MerkleError):
            ask()


def test_nodes_too_many_or_too_few_are_refused_even_when_the_hashes_were_made_to_fit() -> None:
    a, b, c = LEAVES[:3]
    with pytest.raises(InclusionError, match="too many"):
        merkle.verify_inclusion(a, 0, 1, [b], merkle.node_hash(b, a))
    with pytest.raises(InclusionError, match="too few"):
        merkle.verify_inclusion(a, 0, 4, [b], merkle.node_hash(a, b))
    grown = merkle.node_hash(a, b)
    with pytest.raises(ConsistencyError, match="too few"):
        merkle.verify_consistency(1, 4, [b], a, grown)
    longer = [b, c]
    with pytest.raises(ConsistencyError, match="too many"):
        merkle.verify_consistency(1, 2, longer, merkle.node_hash(c, a), merkle.node_hash(c, grown))


@settings(max_examples=200, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.integers(-2, 2**65),
    st.integers(-2, 2**65),
    st.lists(st.binary(min_size=32, max_size=32), max_size=66),
    st.binary(max_size=33),
)
def test_random_proofs_never_prove(
    leaf: bytes, index: int, size: int, path: list[bytes], root: bytes
) -> None:
    if (index, size, path) == (0, 1, []):
        return  # here the leaf is the root
    with pytest.raises(InclusionError):
        merkle.verify_inclusion(leaf, index, size, path, root)
