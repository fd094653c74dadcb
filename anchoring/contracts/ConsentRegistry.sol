// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignedByHolder} from "./SignedByHolder.sol";

/// @title ConsentRegistry: that a consent was given, and that it was withdrawn
/// @notice Keeps a salted commitment of each version of a Consent with its status and expiry. All that happens is
///         signed by the holder: a key of the patient's that is used for this version only, and brought by anyone.
///         A newer version is filed under another key and another commitment, without a link to this one.
/// @dev A version belongs to (holder, id), so nobody can take an id away from the one who will file it. Status only
///      rises: None, Active, Replaced, Revoked. A version that was revoked before it was filed can not be filed.
contract ConsentRegistry is SignedByHolder {
    /// @notice How a version stands.
    enum Status {
        None,
        Active,
        Replaced,
        Revoked
    }

    /// @notice One version of a Consent.
    /// @param expiry From when on it does not hold, seconds since 1970.
    /// @param status How it stands.
    struct Version {
        uint64 expiry;
        Status status;
    }

    /// @notice A version was filed.
    event Filed(bytes32 indexed id, address indexed holder, uint64 expiry);
    /// @notice A newer version, which is not named, took the place of this one.
    event Replaced(bytes32 indexed id, address indexed holder);
    /// @notice The consent was withdrawn.
    event Revoked(bytes32 indexed id, address indexed holder);

    /// @notice The version can not go to this status from the one that it has.
    error WrongStatus(bytes32 id, Status status);
    /// @notice The expiry is not in the future.
    error ExpiryPassed(uint64 expiry);

    bytes32 private constant FILE = keccak256("File(bytes32 id,uint64 expiry,uint64 deadline)");
    bytes32 private constant REPLACE = keccak256("Replace(bytes32 id,uint64 deadline)");
    bytes32 private constant REVOKE = keccak256("Revoke(bytes32 id,uint64 deadline)");

    mapping(address holder => mapping(bytes32 id => Version)) private _versions;

    /// @notice Name the domain of the signatures.
    constructor() EIP712("ConsentRegistry", "1") {}

    /// @notice File a version of a Consent.
    /// @param id Its salted commitment.
    /// @param holder Address of the key that is used for this version only.
    /// @param expiry From when on it does not hold, seconds since 1970.
    /// @param deadline Until when the signature is good, seconds since 1970.
    /// @param r The holder's signature of File, EIP-2098.
    /// @param vs Its second half.
    function file(bytes32 id, address holder, uint64 expiry, uint64 deadline, bytes32 r, bytes32 vs) external {
        Version storage version = _versions[holder][id];
        if (version.status != Status.None) revert WrongStatus(id, version.status);
        if (expiry <= block.timestamp) revert ExpiryPassed(expiry);
        _requireSigned(holder, keccak256(abi.encode(FILE, id, expiry, deadline)), deadline, r, vs);
        (version.expiry, version.status) = (expiry, Status.Active);
        emit Filed(id, holder, expiry);
    }

    /// @notice Say that a newer version took the place of an active one.
    /// @param id The version's commitment.
    /// @param holder Its key's address.
    /// @param deadline Until when the signature is good, seconds since 1970.
    /// @param r The holder's signature of Replace, EIP-2098.
    /// @param vs Its second half.
    function replace(bytes32 id, address holder, uint64 deadline, bytes32 r, bytes32 vs) external {
        Version storage version = _versions[holder][id];
        if (version.status != Status.Active) revert WrongStatus(id, version.status);
        _requireSigned(holder, keccak256(abi.encode(REPLACE, id, deadline)), deadline, r, vs);
        version.status = Status.Replaced;
        emit Replaced(id, holder);
    }

    /// @notice Withdraw a consent, whether it was filed yet or not.
    /// @param id The version's commitment.
    /// @param holder Its key's address.
    /// @param deadline Until when the signature is good, seconds since 1970.
    /// @param r The holder's signature of Revoke, EIP-2098.
    /// @param vs Its second half.
    function revoke(bytes32 id, address holder, uint64 deadline, bytes32 r, bytes32 vs) external {
        Version storage version = _versions[holder][id];
        if (version.status == Status.Revoked) revert WrongStatus(id, version.status);
        _requireSigned(holder, keccak256(abi.encode(REVOKE, id, deadline)), deadline, r, vs);
        version.status = Status.Revoked;
        emit Revoked(id, holder);
    }

    /// @notice Say whether a version holds now.
    /// @param holder Its key's address.
    /// @param id Its commitment.
    function isActive(address holder, bytes32 id) external view returns (bool) {
        Version storage version = _versions[holder][id];
        return version.status == Status.Active && block.timestamp < version.expiry;
    }

    /// @notice Tell how a version stands; one that is Active may have expired.
    /// @param holder Its key's address.
    /// @param id Its commitment.
    function versionOf(address holder, bytes32 id) external view returns (Version memory) {
        return _versions[holder][id];
    }
}
