// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignedByHolder} from "./SignedByHolder.sol";

/// @title AccessGrants: who asked for access, and what the patient said
/// @notice A provider asks for what a salted commitment stands for (role, scope, purpose: none of it is on the
///         chain); the patient approves, denies or revokes by a key that is used for this request only. Grants
///         expire by themselves, and so do requests that nobody answers.
/// @dev A grant belongs to (requester, holder, id), so a stranger who asks with the same id takes nothing away.
contract AccessGrants is SignedByHolder {
    /// @notice How a request stands.
    enum Status {
        None,
        Requested,
        Approved,
        Denied,
        Revoked
    }

    /// @notice One request and what became of it.
    /// @param expiry From when on the request or the grant does not hold, seconds since 1970.
    /// @param status How it stands.
    struct Grant {
        uint64 expiry;
        Status status;
    }

    /// @notice A provider asks for access.
    event Requested(bytes32 indexed id, address indexed holder, address indexed requester, uint64 expiry);
    /// @notice The patient approved.
    event Approved(bytes32 indexed id, address indexed holder, address indexed requester, uint64 expiry);
    /// @notice The patient denied.
    event Denied(bytes32 indexed id, address indexed holder, address indexed requester);
    /// @notice The patient revoked what she had approved.
    event Revoked(bytes32 indexed id, address indexed holder, address indexed requester);

    /// @notice The request can not go to this status from the one that it has.
    error WrongStatus(bytes32 id, Status status);
    /// @notice The expiry is not in the future.
    error ExpiryPassed(uint64 expiry);

    bytes32 private constant APPROVE =
        keccak256("Approve(bytes32 id,address requester,uint64 expiry,uint64 deadline)");
    bytes32 private constant DENY = keccak256("Deny(bytes32 id,address requester,uint64 deadline)");
    bytes32 private constant REVOKE = keccak256("Revoke(bytes32 id,address requester,uint64 deadline)");

    mapping(bytes32 key => Grant) private _grants;

    /// @notice Name the domain of the signatures.
    constructor() EIP712("AccessGrants", "1") {}

    /// @notice Ask for access; the sender is the requester.
    /// @param id Salted commitment of what is asked for.
    /// @param holder Address of the patient's key for this request.
    /// @param expiry From when on the request does not stand any more, seconds since 1970.
    function request(bytes32 id, address holder, uint64 expiry) external {
        Grant storage grant = _grant(id, holder, msg.sender);
        if (grant.status != Status.None) revert WrongStatus(id, grant.status);
        if (expiry <= block.timestamp) revert ExpiryPassed(expiry);
        (grant.expiry, grant.status) = (expiry, Status.Requested);
        emit Requested(id, holder, msg.sender, expiry);
    }

    /// @notice Approve a request that stands.
    /// @param id Its commitment.
    /// @param holder Address of the patient's key for it.
    /// @param requester Who asked.
    /// @param expiry From when on the grant does not hold, seconds since 1970.
    /// @param deadline Until when the signature is good, seconds since 1970.
    /// @param r The holder's signature of Approve, EIP-2098.
    /// @param vs Its second half.
    function approve(
        bytes32 id,
        address holder,
        address requester,
        uint64 expiry,
        uint64 deadline,
        bytes32 r,
        bytes32 vs
    ) external {
        Grant storage grant = _grant(id, holder, requester);
        if (grant.status != Status.Requested) revert WrongStatus(id, grant.status);
        if (grant.expiry <= block.timestamp) revert ExpiryPassed(grant.expiry);
        if (expiry <= block.timestamp) revert ExpiryPassed(expiry);
        _requireSigned(holder, keccak256(abi.encode(APPROVE, id, requester, expiry, deadline)), deadline, r, vs);
        (grant.expiry, grant.status) = (expiry, Status.Approved);
        emit Approved(id, holder, requester, expiry);
    }

    /// @notice Deny a request.
    /// @param id Its commitment.
    /// @param holder Address of the patient's key for it.
    /// @param requester Who asked.
    /// @param deadline Until when the signature is good, seconds since 1970.
    /// @param r The holder's signature of Deny, EIP-2098.
    /// @param vs Its second half.
    function deny(bytes32 id, address holder, address requester, uint64 deadline, bytes32 r, bytes32 vs) external {
        Grant storage grant = _grant(id, holder, requester);
        if (grant.status != Status.Requested) revert WrongStatus(id, grant.status);
        _requireSigned(holder, keccak256(abi.encode(DENY, id, requester, deadline)), deadline, r, vs);
        grant.status = Status.Denied;
        emit Denied(id, holder, requester);
    }

    /// @notice Revoke what was approved.
    /// @param id Its commitment.
    /// @param holder Address of the patient's key for it.
    /// @param requester Who asked.
    /// @param deadline Until when the signature is good, seconds since 1970.
    /// @param r The holder's signature of Revoke, EIP-2098.
    /// @param vs Its second half.
    function revoke(bytes32 id, address holder, address requester, uint64 deadline, bytes32 r, bytes32 vs)
        external
    {
        Grant storage grant = _grant(id, holder, requester);
        if (grant.status != Status.Approved) revert WrongStatus(id, grant.status);
        _requireSigned(holder, keccak256(abi.encode(REVOKE, id, requester, deadline)), deadline, r, vs);
        grant.status = Status.Revoked;
        emit Revoked(id, holder, requester);
    }

    /// @notice Say whether access is granted now.
    /// @param id The request's commitment.
    /// @param holder Address of the patient's key for it.
    /// @param requester Who asked.
    function isGranted(bytes32 id, address holder, address requester) external view returns (bool) {
        Grant storage grant = _grant(id, holder, requester);
        return grant.status == Status.Approved && block.timestamp < grant.expiry;
    }

    /// @notice Tell how a request stands; one that is Requested or Approved may have expired.
    /// @param id The request's commitment.
    /// @param holder Address of the patient's key for it.
    /// @param requester Who asked.
    function grantOf(bytes32 id, address holder, address requester) external view returns (Grant memory) {
        return _grant(id, holder, requester);
    }

    function _grant(bytes32 id, address holder, address requester) private view returns (Grant storage) {
        return _grants[keccak256(abi.encode(id, holder, requester))];
    }
}
