// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Governed: what only the institutions together may do
/// @notice Names, once and for good, the timelock that carries out what the institutions voted for. There is no
///         other owner, and no way to name another one.
abstract contract Governed {
    /// @notice The timelock whose calls are decisions of the institutions.
    address public immutable governance;

    /// @notice Only the timelock may do this.
    error NotGovernance(address caller);
    /// @notice There is no contract at the address that should be the timelock.
    error NoGovernance(address governance);

    /// @param governance_ The timelock; it must exist already.
    constructor(address governance_) {
        if (governance_.code.length == 0) revert NoGovernance(governance_);
        governance = governance_;
    }

    modifier onlyGovernance() {
        if (msg.sender != governance) revert NotGovernance(msg.sender);
        _;
    }
}
