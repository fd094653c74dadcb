// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./Governed.sol";

/// @title CredentialRegistry: who was attested by whom, until when
/// @notice Accreditors that the institutions admitted attest, renew and revoke the credentials of practitioners,
///         organizations and clients. A credential is a salted commitment: whose it is stands nowhere on the chain.
/// @dev A credential holds as long as it was not revoked, has not expired, and its issuer is admitted. Revoking is
///      for good. An id belongs to the issuer that attested it first.
contract CredentialRegistry is Governed {
    /// @notice One credential.
    /// @param issuer Who attested it, and alone may renew or revoke it; zero when nobody did.
    /// @param expiry From when on it does not hold, seconds since 1970.
    /// @param level What it attests, in the issuers' terms; 0 when it was revoked.
    struct Credential {
        address issuer;
        uint64 expiry;
        uint8 level;
    }

    /// @notice An accreditor may attest now.
    event IssuerAdmitted(address indexed issuer);
    /// @notice An accreditor may not attest any more, and none of its credentials holds.
    event IssuerDismissed(address indexed issuer);
    /// @notice A credential was attested.
    event Attested(bytes32 indexed id, address indexed issuer, uint8 level, uint64 expiry);
    /// @notice A credential has another level or expiry now.
    event Renewed(bytes32 indexed id, address indexed issuer, uint8 level, uint64 expiry);
    /// @notice A credential was revoked, for good.
    event Revoked(bytes32 indexed id, address indexed issuer);

    /// @notice The institutions have not admitted this accreditor.
    error NotAdmitted(address issuer);
    /// @notice The accreditor is admitted already, or has no address.
    error AdmittedAlready(address issuer);
    /// @notice Another issuer attested this credential, or nobody.
    error NotTheIssuer(bytes32 id, address issuer);
    /// @notice The id is taken.
    error AttestedAlready(bytes32 id);
    /// @notice The credential was revoked.
    error RevokedAlready(bytes32 id);
    /// @notice The expiry is not in the future.
    error ExpiryPassed(uint64 expiry);
    /// @notice Level 0 is no level.
    error NoLevel();

    /// @notice Whether an accreditor is admitted.
    mapping(address issuer => bool) public isAdmitted;

    mapping(bytes32 id => Credential) private _credentials;

    /// @param governance_ The timelock.
    /// @param first Accreditors admitted from the start.
    constructor(address governance_, address[] memory first) Governed(governance_) {
        for (uint256 i; i < first.length; ++i) _admit(first[i]);
    }

    /// @notice Let an accreditor attest. Those of its earlier credentials that were not revoked hold again.
    /// @param issuer Its account.
    function admitIssuer(address issuer) external onlyGovernance {
        _admit(issuer);
    }

    /// @notice Dismiss an accreditor; none of its credentials holds from now on.
    /// @param issuer Its account.
    function dismissIssuer(address issuer) external onlyGovernance {
        if (!isAdmitted[issuer]) revert NotAdmitted(issuer);
        isAdmitted[issuer] = false;
        emit IssuerDismissed(issuer);
    }

    /// @notice Attest a credential.
    /// @param id Salted commitment of whose and what it is, never used before.
    /// @param level What it attests; at least 1.
    /// @param expiry From when on it does not hold, seconds since 1970.
    function attest(bytes32 id, uint8 level, uint64 expiry) external {
        if (!isAdmitted[msg.sender]) revert NotAdmitted(msg.sender);
        if (_credentials[id].issuer != address(0)) revert AttestedAlready(id);
        _check(level, expiry);
        _credentials[id] = Credential(msg.sender, expiry, level);
        emit Attested(id, msg.sender, level, expiry);
    }

    /// @notice Give a credential another level or expiry; one that expired holds again.
    /// @param id The credential, attested by the sender.
    /// @param level What it attests now; at least 1.
    /// @param expiry From when on it does not hold, seconds since 1970.
    function renew(bytes32 id, uint8 level, uint64 expiry) external {
        if (!isAdmitted[msg.sender]) revert NotAdmitted(msg.sender);
        Credential storage credential = _own(id);
        _check(level, expiry);
        (credential.expiry, credential.level) = (expiry, level);
        emit Renewed(id, msg.sender, level, expiry);
    }

    /// @notice Revoke a credential, for good. A dismissed issuer may, too.
    /// @param id The credential, attested by the sender.
    function revoke(bytes32 id) external {
        _own(id).level = 0;
        emit Revoked(id, msg.sender);
    }

    /// @notice Say whether a credential holds now, and at which level.
    /// @param id The credential.
    /// @param level The level that is asked for; at least 1.
    function holds(bytes32 id, uint8 level) external view returns (bool) {
        Credential storage credential = _credentials[id];
        return level != 0 && credential.level >= level && block.timestamp < credential.expiry
            && isAdmitted[credential.issuer];
    }

    /// @notice Tell what was attested; whether it holds, `holds` says.
    /// @param id The credential.
    function credentialOf(bytes32 id) external view returns (Credential memory) {
        return _credentials[id];
    }

    function _admit(address issuer) private {
        if (issuer == address(0) || isAdmitted[issuer]) revert AdmittedAlready(issuer);
        isAdmitted[issuer] = true;
        emit IssuerAdmitted(issuer);
    }

    function _own(bytes32 id) private view returns (Credential storage credential) {
        credential = _credentials[id];
        if (credential.issuer != msg.sender) revert NotTheIssuer(id, credential.issuer);
        if (credential.level == 0) revert RevokedAlready(id);
    }

    function _check(uint8 level, uint64 expiry) private view {
        if (level == 0) revert NoLevel();
        if (expiry <= block.timestamp) revert ExpiryPassed(expiry);
    }
}
