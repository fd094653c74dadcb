// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title SignedByHolder: a patient's word, brought by anyone
/// @notice A patient signs with a key that is used for one record only (EIP-712); whoever pays the gas brings the
///         signature. So she needs no coins, and nothing on the chain belongs to two records of hers.
/// @dev Chain id and contract are in the domain, so a signature is good in one place only. There are no nonces: each
///      status can be reached once, so a signature brought a second time finds nothing left to do.
///      Signatures are written as in EIP-2098 (r, vs), a form that has no second spelling.
abstract contract SignedByHolder is EIP712 {
    /// @notice The signature is not the holder's, or was made for another chain, contract or request.
    error NotTheHolder(address holder, address signer);
    /// @notice The signature was good until then, seconds since 1970.
    error SignatureExpired(uint64 deadline);

    /// @dev Returning means that `holder` signed `structHash`, and that the deadline (included) has not passed.
    function _requireSigned(address holder, bytes32 structHash, uint64 deadline, bytes32 r, bytes32 vs) internal view {
        if (block.timestamp > deadline) revert SignatureExpired(deadline);
        address signer = ECDSA.recover(_hashTypedDataV4(structHash), r, vs);
        if (signer != holder) revert NotTheHolder(holder, signer);
    }
}
