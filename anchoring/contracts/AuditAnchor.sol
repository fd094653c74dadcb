// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title AuditAnchor: a public witness that audit logs only ever grow
/// @notice Keeps, for every log, the size and root of its newest checkpoint, and accepts another one only with a
///         consistency proof (RFC 9162, section 2.1.4) that it verifies itself. A rewritten, forked or shortened
///         history is therefore refused by the chain, whoever runs the log.
/// @dev SHA-256 through the precompile at address 2; leaves are prefixed 0x00 and nodes 0x01. There is no owner, no
///      upgrade and no way to remove a log. Keys change by the publishers of a log alone: the new one is granted, the
///      old one is revoked. As long as one account publishes a log, this costs its anchors nothing.
contract AuditAnchor {
    /// @notice The newest anchored state of one log.
    /// @param publisher Who anchored last (or has revoked who did), and may go on.
    /// @param size How many leaves the log had.
    /// @param root The Merkle root over them.
    struct Head {
        address publisher;
        uint64 size;
        bytes32 root;
    }

    /// @notice A checkpoint was accepted.
    event Anchored(bytes32 indexed log, uint64 indexed size, bytes32 root, address indexed publisher);

    /// @notice An account may anchor this log from now on.
    event PublisherGranted(bytes32 indexed log, address indexed account, address indexed by);
    /// @notice An account may not anchor this log any more.
    event PublisherRevoked(bytes32 indexed log, address indexed account, address indexed by);

    /// @notice Another account anchored this log, and has not granted it to the sender.
    error NotThePublisher(bytes32 log, address publisher);
    /// @notice A publisher can not revoke itself: nobody could anchor the log again.
    error OwnRevocation(bytes32 log);
    /// @notice Nobody holds the key of the zero address.
    error NoAccount();
    /// @notice A log only grows: the size offered is not greater than the one already anchored.
    error NotGrowing(uint64 anchored, uint64 offered);
    /// @notice The proof has nodes too many or too few for these sizes.
    error WrongProofLength(uint256 nodes);
    /// @notice The proof does not start from the anchored root: the history was rewritten.
    error HistoryRewritten(bytes32 anchored, bytes32 proven);
    /// @notice The proof does not lead to the root offered.
    error RootNotProven(bytes32 offered, bytes32 proven);
    /// @notice The index does not lie in a tree of this size.
    error IndexOutsideTree(uint64 index, uint64 size);
    /// @notice The SHA-256 precompile gave no answer.
    error HashFailed();

    uint256 private constant MAX_PROOF_NODES = 64;

    mapping(bytes32 log => Head) private _heads;
    /// @dev Whoever was granted and not revoked, and whoever granted. Empty for a log with one publisher: the head has it.
    mapping(bytes32 log => mapping(address account => bool)) private _granted;

    /// @notice Anchor a newer checkpoint of a log. The first call for a log registers the sender as its publisher.
    /// @param log Identifier of the log: SHA-256 of its origin.
    /// @param size Leaves in the newer tree.
    /// @param root Root of the newer tree.
    /// @param proof Consistency proof from the anchored size to `size`; empty for the first checkpoint.
    function anchor(bytes32 log, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Head storage current = _heads[log];
        address publisher = current.publisher;
        uint64 anchored = current.size;
        if (size <= anchored) revert NotGrowing(anchored, size);
        if (publisher == address(0)) {
            if (proof.length != 0) revert WrongProofLength(proof.length);
        } else {
            if (publisher != msg.sender && !_granted[log][msg.sender]) revert NotThePublisher(log, publisher);
            _checkGrowth(anchored, current.root, size, root, proof);
        }
        current.publisher = msg.sender;
        current.size = size;
        current.root = root;
        emit Anchored(log, size, root, msg.sender);
    }

    /// @notice Let another account anchor a log, too. Only for who may anchor it.
    /// @param log Identifier of the log.
    /// @param account Who is granted it.
    function grantPublisher(bytes32 log, address account) external {
        _requirePublisher(log);
        if (account == address(0)) revert NoAccount();
        _granted[log][msg.sender] = true;
        _granted[log][account] = true;
        emit PublisherGranted(log, account, msg.sender);
    }

    /// @notice Let another account not anchor a log any more. Only for who may anchor it, and not for itself.
    /// @dev What that account has sent and is not mined yet will be refused: wait for it first.
    /// @param log Identifier of the log.
    /// @param account Whose grant ends.
    function revokePublisher(bytes32 log, address account) external {
        _requirePublisher(log);
        if (account == msg.sender) revert OwnRevocation(log);
        _granted[log][account] = false;
        Head storage current = _heads[log];
        if (current.publisher == account) current.publisher = msg.sender;
        emit PublisherRevoked(log, account, msg.sender);
    }

    /// @notice Whether an account may anchor a log that was anchored before.
    /// @param log Identifier of the log.
    /// @param account Who is asked about.
    function isPublisher(bytes32 log, address account) external view returns (bool) {
        return account != address(0) && (_heads[log].publisher == account || _granted[log][account]);
    }

    /// @notice The newest anchored state of a log; all zero when it was never anchored.
    function head(bytes32 log) external view returns (address publisher, uint64 size, bytes32 root) {
        Head storage current = _heads[log];
        return (current.publisher, current.size, current.root);
    }

    /// @notice Prove that a leaf is in the newest anchored tree of a log; returning means proved, else it reverts.
    /// @param log Identifier of the log.
    /// @param leaf Leaf hash, SHA-256(0x00 | commitment).
    /// @param index Position of the leaf, from 0.
    /// @param proof Audit path (RFC 9162, section 2.1.3) at the anchored size.
    function verifyInclusion(bytes32 log, bytes32 leaf, uint64 index, bytes32[] calldata proof) external view {
        Head storage current = _heads[log];
        _checkInclusion(leaf, index, current.size, current.root, proof);
    }

    /// @dev Whoever may anchor a log may say who else may; of a log that nobody has anchored, nobody.
    function _requirePublisher(bytes32 log) private view {
        address publisher = _heads[log].publisher;
        if (publisher != msg.sender && !_granted[log][msg.sender]) revert NotThePublisher(log, publisher);
    }

    /// @dev RFC 9162, section 2.1.3.2.
    function _checkInclusion(bytes32 leaf, uint64 index, uint64 size, bytes32 root, bytes32[] calldata proof)
        private
        view
    {
        if (index >= size) revert IndexOutsideTree(index, size);
        if (proof.length > MAX_PROOF_NODES) revert WrongProofLength(proof.length);
        uint256 position = index;
        uint256 last = size - 1;
        for (uint256 i; i < proof.length; ++i) {
            if (last == 0) revert WrongProofLength(proof.length);
            if (position & 1 == 1 || position == last) {
                leaf = _node(proof[i], leaf);
                while (position & 1 == 0 && position != 0) (position, last) = (position >> 1, last >> 1);
            } else {
                leaf = _node(leaf, proof[i]);
            }
            (position, last) = (position >> 1, last >> 1);
        }
        if (last != 0) revert WrongProofLength(proof.length);
        if (leaf != root) revert RootNotProven(root, leaf);
    }

    /// @dev RFC 9162, section 2.1.4.2; `oldSize` is at least 1 and less than `newSize`.
    function _checkGrowth(uint64 oldSize, bytes32 oldRoot, uint64 newSize, bytes32 newRoot, bytes32[] calldata proof)
        private
        view
    {
        if (proof.length == 0 || proof.length > MAX_PROOF_NODES) revert WrongProofLength(proof.length);
        uint256 position = oldSize - 1;
        uint256 last = newSize - 1;
        while (position & 1 == 1) (position, last) = (position >> 1, last >> 1);
        uint256 i;
        bytes32 provenOld = oldRoot; // a complete old tree is itself the first node
        if (oldSize & (oldSize - 1) != 0) provenOld = proof[i++];
        bytes32 provenNew = provenOld;
        for (; i < proof.length; ++i) {
            if (last == 0) revert WrongProofLength(proof.length);
            bytes32 node = proof[i];
            if (position & 1 == 1 || position == last) {
                provenOld = _node(node, provenOld);
                provenNew = _node(node, provenNew);
                while (position & 1 == 0 && position != 0) (position, last) = (position >> 1, last >> 1);
            } else {
                provenNew = _node(provenNew, node);
            }
            (position, last) = (position >> 1, last >> 1);
        }
        if (last != 0) revert WrongProofLength(proof.length);
        if (provenOld != oldRoot) revert HistoryRewritten(oldRoot, provenOld);
        if (provenNew != newRoot) revert RootNotProven(newRoot, provenNew);
    }

    /// @dev SHA-256(0x01 | left | right), without allocating memory for every node.
    function _node(bytes32 left, bytes32 right) private view returns (bytes32 parent) {
        bool answered;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 0x01)
            mstore(add(at, 0x01), left)
            mstore(add(at, 0x21), right)
            answered := staticcall(gas(), 0x02, at, 0x41, 0x00, 0x20)
            parent := mload(0x00)
        }
        if (!answered) revert HashFailed();
    }
}
