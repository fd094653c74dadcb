"""The Merkle tree of RFC 9162, section 2.1: roots, proofs, and their verification.

SHA-256; leaves are hashed with the prefix 0x00, nodes with 0x01, so that neither can be taken for
the other.  ``Tree`` keeps the hash of every complete subtree in memory (64 bytes per leaf in all);
the server's log keeps tiles in its store instead (``log.py``).  Both prove by the same functions.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence

from anchoring.errors import ConsistencyError, InclusionError, MerkleError

HASH_BYTES = 32
MAX_PROOF_NODES = 64  # a tree of 2**64 leaves, the most that the contract's uint64 can count
Range = tuple[int, int]  # leaves from the first to before the second
EMPTY_ROOT = hashlib.sha256(b"").digest()  # RFC 9162, 2.1.1: the hash of an empty list


def leaf_hash(commitment: bytes) -> bytes:
    """Hash a log entry into a leaf (RFC 9162, 2.1.1): ``SHA-256(0x00 | entry)``."""
    return hashlib.sha256(b"\x00" + commitment).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children into their parent (RFC 9162, 2.1.1): ``SHA-256(0x01 | left | right)``."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Compute the root over leaf hashes (RFC 9162, 2.1.1)."""
    return _grown(leaves).root(len(leaves))


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Give the audit path of ``leaves[index]`` in the tree over all of them (RFC 9162, 2.1.3.1)."""
    return _grown(leaves).inclusion_path(index, len(leaves))


def consistency_path(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Give the proof that the first ``old`` leaves are a prefix of all (RFC 9162, 2.1.4.1)."""
    return _grown(leaves).consistency_path(old, len(leaves))


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Prove that a leaf hash is at ``index`` in the tree (RFC 9162, 2.1.3.2).

    Returning means proved.

    Raises:
        InclusionError: It is not, or the path has nodes too many, too few or of a wrong length.
    """
    if not 0 <= index < size:
        raise InclusionError(f"index {index} is not in a tree of {size} leaves")
    _check_nodes(path, InclusionError)
    position, last, found = index, size - 1, leaf
    for node in path:
        if last == 0:
            raise InclusionError("the path has nodes too many")
        if position & 1 or position == last:
            found = node_hash(node, found)
            position, last = _climb(position, last)
        else:
            found = node_hash(found, node)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise InclusionError("the path has nodes too few")
    if not hmac.compare_digest(found, root):
        raise InclusionError(f"leaf {index} does not lead to the root of size {size}")


def verify_consistency(
    old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Prove that the tree of size ``new`` is that of size ``old`` with leaves appended.

    RFC 9162, 2.1.4.2.  Every tree grows from the empty one, which needs no nodes.
    Returning means proved.

    Raises:
        ConsistencyError: It is not, or the path has nodes too many, too few or of a wrong length.
    """
    if not 0 <= old <= new:
        raise ConsistencyError(f"a tree of {new} leaves cannot follow one of {old}")
    _check_nodes(path, ConsistencyError)
    if old in (0, new):
        _verify_without_nodes(old, path, old_root, new_root)
        return
    if old & (old - 1) == 0:  # a complete tree is itself the first node of the proof
        path = [old_root, *path]
    if not path:
        raise ConsistencyError("the path has nodes too few")
    found_old, found_new = _replay_growth(old, new, path)
    if not hmac.compare_digest(found_old, old_root):
        raise ConsistencyError(f"the proof does not lead to the root of size {old}")
    if not hmac.compare_digest(found_new, new_root):
        raise ConsistencyError(f"the proof does not lead to the root of size {new}")


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Say over which leaves the nodes of an audit path are the roots, upwards (RFC 9162, 2.1.3.1).

    Raises:
        MerkleError: A tree of that size has no such leaf.
    """
    if not 0 <= index < size:
        raise MerkleError(f"index {index} is not in a tree of {size} leaves")
    return _siblings(index, index + 1, size)


def consistency_ranges(old: int, new: int) -> list[Range]:
    """Say over which leaves the nodes of a consistency proof are the roots (RFC 9162, 2.1.4.1).

    Raises:
        MerkleError: The sizes are the wrong way round.
    """
    if not 0 <= old <= new:
        raise MerkleError(f"a tree of {new} leaves does not follow one of {old}")
    if old in (0, new):
        return []
    width = old & -old  # the last complete subtree of the old tree, where the proof begins
    path = _siblings(old - width, old, new)
    return path if width == old else [(old - width, old), *path]


def complete_subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """Split leaves ``[start, end)``, a subtree of RFC 9162, into complete ones: height, position.

    From the right, so the smallest first.
    """
    found = []
    while start < end:
        width = (end - start) & -(end - start)
        end -= width
        found.append((width.bit_length() - 1, end // width))
    return found


def range_root(start: int, end: int, node: Callable[[int, int], bytes]) -> bytes:
    """Compute the root over leaves ``[start, end)``, a subtree that RFC 9162 splits off.

    Args:
        start: First leaf.
        end: The leaf after the last.
        node: Gives the root of a complete subtree by its height and position.
    """
    found = b""
    for height, position in complete_subtrees(start, end):
        complete = node(height, position)
        found = node_hash(complete, found) if found else complete
    return found or EMPTY_ROOT


class Tree:
    """A growing tree that gives roots and proofs for every size it ever had.

    Not safe for use from several threads while it grows.
    """

    __slots__ = ("_levels", "_size")

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]
        self._size = 0

    @property
    def size(self) -> int:
        """How many leaves have been appended."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Append one leaf hash (32 bytes); two hashes on average.

        Raises:
            MerkleError: The leaf hash has another length.
        """
        if len(leaf) != HASH_BYTES:
            raise MerkleError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
        levels = self._levels
        levels[0] += leaf
        complete, level = self._size, 0
        while complete & 1:  # the node just written is a right child: its parent is complete
            parent = hashlib.sha256(b"\x01" + levels[level][-2 * HASH_BYTES :]).digest()
            level += 1
            if level == len(levels):
                levels.append(bytearray())
            levels[level] += parent
            complete >>= 1
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaf hashes in their order."""
        for leaf in leaves:
            self.append(leaf)

    def leaf(self, index: int) -> bytes:
        """Give the leaf hash at ``index``.

        Raises:
            MerkleError: There is no such leaf.
        """
        if not 0 <= index < self._size:
            raise MerkleError(f"a tree of {self._size} leaves has no leaf {index}")
        return self._node(0, index)

    def root(self, size: int) -> bytes:
        """Give the root that the tree had at ``size`` leaves.

        Raises:
            MerkleError: The tree never had that size.
        """
        self._check_size(size)
        return range_root(0, size, self._node)

    def range_root(self, start: int, end: int) -> bytes:
        """Give the root over leaves ``[start, end)``, a subtree that RFC 9162 splits off.

        Raises:
            MerkleError: There are not so many leaves.
        """
        self._check_size(end)
        return range_root(start, end, self._node)

    def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """Give the audit path of leaf ``index`` at ``size`` leaves (RFC 9162, 2.1.3.1).

        Raises:
            MerkleError: The tree never had that size, or no such leaf then.
        """
        self._check_size(size)
        return [range_root(*each, self._node) for each in inclusion_ranges(index, size)]

    def consistency_path(self, old: int, new: int) -> list[bytes]:
        """Give the proof that the tree at ``old`` is a prefix of that at ``new`` (2.1.4.1).

        Empty when ``old`` is 0 or equals ``new``: nothing needs proof then.

        Raises:
            MerkleError: The tree never had one of the sizes, or they are the wrong way round.
        """
        self._check_size(new)
        return [range_root(*each, self._node) for each in consistency_ranges(old, new)]

    def _node(self, level: int, position: int) -> bytes:
        at = position * HASH_BYTES
        return bytes(self._levels[level][at : at + HASH_BYTES])

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise MerkleError(f"a tree of {self._size} leaves never had {size}")


def _siblings(first: int, stop: int, size: int) -> list[Range]:
    """Say which nodes lead from the subtree ``[first, stop)`` to the root, upwards."""
    path: list[Range] = []
    start, end = 0, size
    while (start, end) != (first, stop):
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if first < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    path.reverse()
    return path


def _grown(leaves: Sequence[bytes]) -> Tree:
    tree = Tree()
    tree.extend(leaves)
    return tree


def _check_nodes(
    path: Sequence[bytes], error: type[InclusionError] | type[ConsistencyError]
) -> None:
    if len(path) > MAX_PROOF_NODES:
        raise error(f"a proof has at most {MAX_PROOF_NODES} nodes, not {len(path)}")
    if any(len(node) != HASH_BYTES for node in path):
        raise error(f"a node of the proof does not have {HASH_BYTES} bytes")


def _climb(position: int, last: int) -> tuple[int, int]:
    """Go up while the subtree is the only child: it has no sibling on those levels."""
    while not position & 1 and position:
        position, last = position >> 1, last >> 1
    return position, last


def _verify_without_nodes(
    old: int, path: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    if path:
        raise ConsistencyError("the path has nodes too many")
    expected = new_root if old else EMPTY_ROOT
    if not hmac.compare_digest(old_root, expected):
        raise ConsistencyError(f"two roots for one size of {old} leaves")


def _replay_growth(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Compute both roots from the proof (RFC 9162, 2.1.4.2, steps 3 to 6)."""
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    found_old = found_new = path[0]
    for node in path[1:]:
        if last == 0:
            raise ConsistencyError("the path has nodes too many")
        if position & 1 or position == last:
            found_old, found_new = node_hash(node, found_old), node_hash(node, found_new)
            position, last = _climb(position, last)
        else:
            found_new = node_hash(found_new, node)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ConsistencyError("the path has nodes too few")
    return found_old, found_new
