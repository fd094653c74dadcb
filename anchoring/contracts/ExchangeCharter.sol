// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./Governed.sol";

/// @title ExchangeCharter: what the institutions agreed on
/// @notice Which bundles of policies are in force, and which contract does which part. Contracts are not upgraded in
///         place: the institutions appoint another one, and everybody sees when.
contract ExchangeCharter is Governed {
    /// @notice A bundle of policies is in force now.
    event PolicyApproved(bytes32 indexed bundle);
    /// @notice A bundle of policies is not in force any more.
    event PolicyWithdrawn(bytes32 indexed bundle);
    /// @notice Another contract does this part now.
    event Appointed(bytes32 indexed part, address indexed former, address indexed appointed);

    /// @notice The bundle is in force already, or has no hash.
    error PolicyInForce(bytes32 bundle);
    /// @notice The bundle is not in force.
    error PolicyNotInForce(bytes32 bundle);
    /// @notice There is no contract at this address.
    error NoContract(address appointed);

    /// @notice Whether a bundle of policies is in force, by its SHA-256.
    mapping(bytes32 bundle => bool) public isInForce;
    /// @notice Which contract does a part, by keccak256 of the part's name; zero when none was appointed.
    mapping(bytes32 part => address) public appointed;

    /// @param governance_ The timelock.
    /// @param first SHA-256 of the bundles in force from the start.
    constructor(address governance_, bytes32[] memory first) Governed(governance_) {
        for (uint256 i; i < first.length; ++i) _approve(first[i]);
    }

    /// @notice Put a bundle of policies in force, beside those that are.
    /// @param bundle Its SHA-256.
    function approvePolicy(bytes32 bundle) external onlyGovernance {
        _approve(bundle);
    }

    /// @notice Take a bundle of policies out of force.
    /// @param bundle Its SHA-256.
    function withdrawPolicy(bytes32 bundle) external onlyGovernance {
        if (!isInForce[bundle]) revert PolicyNotInForce(bundle);
        isInForce[bundle] = false;
        emit PolicyWithdrawn(bundle);
    }

    /// @notice Let a contract do a part from now on.
    /// @param part keccak256 of the part's name, such as "ConsentRegistry".
    /// @param contract_ Its address; there must be code.
    function appoint(bytes32 part, address contract_) external onlyGovernance {
        if (contract_.code.length == 0) revert NoContract(contract_);
        emit Appointed(part, appointed[part], contract_);
        appointed[part] = contract_;
    }

    function _approve(bytes32 bundle) private {
        if (bundle == 0 || isInForce[bundle]) revert PolicyInForce(bundle);
        isInForce[bundle] = true;
        emit PolicyApproved(bundle);
    }
}
