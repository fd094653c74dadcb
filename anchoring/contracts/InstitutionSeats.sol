// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Governed} from "./Governed.sol";

/// @title InstitutionSeats: one vote for each institution or patient body
/// @notice A seat is no token: it can be neither sold nor lent. The institutions give and withdraw seats by a vote.
/// @dev Votes are counted at a past time (ERC-6372, timestamps), so a seat that is given during a vote does not
///      count in it. A seat always votes for itself.
contract InstitutionSeats is Votes, Governed {
    /// @notice An institution has a seat now.
    event SeatGiven(address indexed institution);
    /// @notice An institution has no seat any more.
    event SeatWithdrawn(address indexed institution);

    /// @notice One seat for each institution.
    error SeatedAlready(address institution);
    /// @notice This account has no seat.
    error NotSeated(address institution);
    /// @notice Nobody could decide anything any more.
    error LastSeat();
    /// @notice A seat votes for itself only.
    error SeatsDoNotDelegate();

    /// @notice Whether an account has a seat.
    mapping(address institution => bool) public isSeated;
    /// @notice How many seats there are.
    uint256 public seats;

    /// @param governance_ The timelock.
    /// @param first Who has a seat from the start; at least one.
    constructor(address governance_, address[] memory first) Governed(governance_) EIP712("InstitutionSeats", "1") {
        if (first.length == 0) revert LastSeat();
        for (uint256 i; i < first.length; ++i) _give(first[i]);
    }

    /// @notice Give an institution a seat.
    /// @param institution Its account.
    function giveSeat(address institution) external onlyGovernance {
        _give(institution);
    }

    /// @notice Withdraw an institution's seat. The last one stays.
    /// @param institution Its account.
    function withdrawSeat(address institution) external onlyGovernance {
        if (!isSeated[institution]) revert NotSeated(institution);
        if (seats == 1) revert LastSeat();
        isSeated[institution] = false;
        --seats;
        _transferVotingUnits(institution, address(0), 1);
        emit SeatWithdrawn(institution);
    }

    /// @notice The clock that votes go by: seconds since 1970.
    function clock() public view override returns (uint48) {
        return uint48(block.timestamp);
    }

    /// @notice The clock's name (ERC-6372).
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice Refused: seats are not lent.
    function delegate(address) public pure override {
        revert SeatsDoNotDelegate();
    }

    /// @notice Refused: seats are not lent.
    function delegateBySig(address, uint256, uint256, uint8, bytes32, bytes32) public pure override {
        revert SeatsDoNotDelegate();
    }

    function _give(address institution) private {
        if (institution == address(0)) revert NotSeated(institution);
        if (isSeated[institution]) revert SeatedAlready(institution);
        if (delegates(institution) == address(0)) _delegate(institution, institution); // before it weighs anything
        isSeated[institution] = true;
        ++seats;
        _transferVotingUnits(address(0), institution, 1);
        emit SeatGiven(institution);
    }

    function _getVotingUnits(address institution) internal view override returns (uint256) {
        return isSeated[institution] ? 1 : 0;
    }
}
