"""The institutions together, and nobody else: seats, votes, the timelock, and what hangs on them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from anchoring.chain import transaction as tx
from tests.anchoring.contracts.evm import CONTRACTS, NOBODY, Evm, deploy, key
from tests.anchoring.contracts.exchange import (
    ABSTAIN,
    AGAINST,
    BUNDLE,
    DELAY,
    DEPLOYER,
    FOR,
    INSTITUTIONS,
    ISSUER,
    PERIOD,
    TIMELOCK,
    Exchange,
    Proposal,
    Puppet,
    found,
)

STRANGER, NEWCOMER = key(3), key(11)
ROLES = ("DEFAULT_ADMIN_ROLE", "PROPOSER_ROLE", "CANCELLER_ROLE")
OTHER_BUNDLE = tx.keccak256(b"another bundle")


def test_after_the_deployment_nobody_is_admin_but_the_timelock_itself(exchange: Exchange) -> None:
    timelock = exchange.timelock
    for role in (*ROLES, "EXECUTOR_ROLE"):
        for who in (DEPLOYER, *INSTITUTIONS, ISSUER, STRANGER):
            assert timelock.ask("hasRole", timelock.ask(role), tx.address(who)) is False
    assert timelock.ask("hasRole", timelock.ask("DEFAULT_ADMIN_ROLE"), timelock.address) is True
    for role in ROLES[1:]:
        assert timelock.ask("hasRole", timelock.ask(role), exchange.governor.address) is True
    granted = timelock.refused(DEPLOYER, "grantRole", timelock.ask(ROLES[0]), tx.address(DEPLOYER))
    assert granted == "AccessControlUnauthorizedAccount"


def test_nothing_can_be_governed_by_an_account_instead_of_a_timelock(evm: Evm) -> None:
    for name, first in (
        ("ExchangeCharter", []),
        ("CredentialRegistry", []),
        ("InstitutionSeats", [tx.address(INSTITUTIONS[0])]),
    ):
        for governance in (NOBODY, tx.address(DEPLOYER)):
            with pytest.raises(AssertionError):
                deploy(evm, name, governance, first)


def state_changing() -> list[tuple[str, str]]:
    """Every function of ours that changes state, and of the parts of OpenZeppelin that come with it."""
    found_ = []
    for path in sorted(CONTRACTS.glob("*.json")):
        made = json.loads(path.read_text("utf-8"))
        for item in made["abi"]:
            if item["type"] == "function" and item["stateMutability"] not in ("view", "pure"):
                types = ",".join(one["type"] for one in item["inputs"])
                found_.append((made["contract"], f"{item['name']}({types})"))
    return found_


NOT_BY_SENDER = {
    # a first checkpoint makes its sender the publisher; test_contract.py says who may go on, grant and revoke
    ("AuditAnchor", "anchor(bytes32,uint64,bytes32,bytes32[])"),
    ("AuditAnchor", "grantPublisher(bytes32,address)"),
    ("AuditAnchor", "revokePublisher(bytes32,address)"),
    # the signature decides, not the sender: test_consent_registry.py and test_access_grants.py
    ("ConsentRegistry", "file(bytes32,address,uint64,uint64,bytes32,bytes32)"),
    ("ConsentRegistry", "replace(bytes32,address,uint64,bytes32,bytes32)"),
    ("ConsentRegistry", "revoke(bytes32,address,uint64,bytes32,bytes32)"),
    ("AccessGrants", "request(bytes32,address,uint64)"),
    ("AccessGrants", "approve(bytes32,address,address,uint64,uint64,bytes32,bytes32)"),
    ("AccessGrants", "deny(bytes32,address,address,uint64,bytes32,bytes32)"),
    ("AccessGrants", "revoke(bytes32,address,address,uint64,bytes32,bytes32)"),
    # what was decided is queued and carried out by anybody: the tests of proposals below
    ("ExchangeGovernor", "queue(address[],uint256[],bytes[],bytes32)"),
    ("ExchangeGovernor", "execute(address[],uint256[],bytes[],bytes32)"),
    ("TimelockController", "execute(address,uint256,bytes,bytes32,bytes32)"),
    ("TimelockController", "executeBatch(address[],uint256[],bytes[],bytes32,bytes32)"),
    # a vote of whoever has no seat weighs nothing
    ("ExchangeGovernor", "castVote(uint256,uint8)"),
    ("ExchangeGovernor", "castVoteWithReason(uint256,uint8,string)"),
    ("ExchangeGovernor", "castVoteWithReasonAndParams(uint256,uint8,string,bytes)"),
    # hooks that answer and keep nothing; the governor refuses them, since coins belong to the timelock
    ("ExchangeGovernor", "onERC721Received(address,address,uint256,bytes)"),
    ("ExchangeGovernor", "onERC1155Received(address,address,uint256,uint256,bytes)"),
    ("ExchangeGovernor", "onERC1155BatchReceived(address,address,uint256[],uint256[],bytes)"),
    ("TimelockController", "onERC721Received(address,address,uint256,bytes)"),
    ("TimelockController", "onERC1155Received(address,address,uint256,uint256,bytes)"),
    ("TimelockController", "onERC1155BatchReceived(address,address,uint256[],uint256[],bytes)"),
}
RESTRICTED: dict[tuple[str, str], tuple[tuple[Any, ...], str]] = {
    ("CredentialRegistry", "admitIssuer(address)"): ((tx.address(STRANGER),), "NotGovernance"),
    ("CredentialRegistry", "dismissIssuer(address)"): ((tx.address(ISSUER),), "NotGovernance"),
    ("CredentialRegistry", "attest(bytes32,uint8,uint64)"): ((BUNDLE, 1, 2**64 - 1), "NotAdmitted"),
    ("CredentialRegistry", "renew(bytes32,uint8,uint64)"): ((BUNDLE, 1, 2**64 - 1), "NotAdmitted"),
    ("CredentialRegistry", "revoke(bytes32)"): ((BUNDLE,), "NotTheIssuer"),
    ("ExchangeCharter", "approvePolicy(bytes32)"): ((OTHER_BUNDLE,), "NotGovernance"),
    ("ExchangeCharter", "withdrawPolicy(bytes32)"): ((BUNDLE,), "NotGovernance"),
    ("ExchangeCharter", "appoint(bytes32,address)"): (
        (BUNDLE, tx.address(STRANGER)),
        "NotGovernance",
    ),
    ("InstitutionSeats", "giveSeat(address)"): ((tx.address(STRANGER),), "NotGovernance"),
    ("InstitutionSeats", "withdrawSeat(address)"): (
        (tx.address(INSTITUTIONS[0]),),
        "NotGovernance",
    ),
    ("ExchangeGovernor", "propose(address[],uint256[],bytes[],string)"): (
        ([tx.address(STRANGER)], [0], [b""], "mine"),
        "GovernorInsufficientProposerVotes",
    ),
    ("ExchangeGovernor", "cancel(address[],uint256[],bytes[],bytes32)"): (
        ([tx.address(STRANGER)], [0], [b""], BUNDLE),
        "GovernorNonexistentProposal",
    ),
    ("ExchangeGovernor", "castVoteBySig(uint256,uint8,address,bytes)"): (
        (1, 1, tx.address(INSTITUTIONS[0]), bytes(65)),
        "GovernorInvalidSignature",
    ),
    (
        "ExchangeGovernor",
        "castVoteWithReasonAndParamsBySig(uint256,uint8,address,string,bytes,bytes)",
    ): (
        (1, 1, tx.address(INSTITUTIONS[0]), "", b"", bytes(65)),
        "GovernorInvalidSignature",
    ),
    ("ExchangeGovernor", "relay(address,uint256,bytes)"): (
        (tx.address(STRANGER), 0, b""),
        "GovernorOnlyExecutor",
    ),
    ("ExchangeGovernor", "setVotingDelay(uint48)"): ((0,), "GovernorOnlyExecutor"),
    ("ExchangeGovernor", "setVotingPeriod(uint32)"): ((1,), "GovernorOnlyExecutor"),
    ("ExchangeGovernor", "setProposalThreshold(uint256)"): ((0,), "GovernorOnlyExecutor"),
    ("ExchangeGovernor", "updateQuorumNumerator(uint256)"): ((0,), "GovernorOnlyExecutor"),
    ("ExchangeGovernor", "updateTimelock(address)"): (
        (tx.address(STRANGER),),
        "GovernorOnlyExecutor",
    ),
    ("TimelockController", "schedule(address,uint256,bytes,bytes32,bytes32,uint256)"): (
        (tx.address(STRANGER), 0, b"", BUNDLE, BUNDLE, TIMELOCK),
        "AccessControlUnauthorizedAccount",
    ),
    ("TimelockController", "scheduleBatch(address[],uint256[],bytes[],bytes32,bytes32,uint256)"): (
        ([], [], [], BUNDLE, BUNDLE, TIMELOCK),
        "AccessControlUnauthorizedAccount",
    ),
    ("TimelockController", "cancel(bytes32)"): ((BUNDLE,), "AccessControlUnauthorizedAccount"),
    ("TimelockController", "updateDelay(uint256)"): ((0,), "TimelockUnauthorizedCaller"),
    ("TimelockController", "grantRole(bytes32,address)"): (
        (bytes(32), tx.address(STRANGER)),
        "AccessControlUnauthorizedAccount",
    ),
    ("TimelockController", "revokeRole(bytes32,address)"): (
        (bytes(32), tx.address(STRANGER)),
        "AccessControlUnauthorizedAccount",
    ),
    ("TimelockController", "renounceRole(bytes32,address)"): (
        (bytes(32), tx.address(INSTITUTIONS[0])),
        "AccessControlBadConfirmation",
    ),
}


def test_every_function_that_changes_state_is_in_one_of_the_two_tables() -> None:
    assert set(state_changing()) == NOT_BY_SENDER | set(RESTRICTED)


@pytest.mark.parametrize("function", RESTRICTED, ids=lambda at: f"{at[0]}.{at[1].split('(')[0]}")
def test_no_wrong_caller_gets_through(exchange: Exchange, function: tuple[str, str]) -> None:
    parts = (
        exchange.timelock,
        exchange.seats,
        exchange.governor,
        exchange.charter,
        exchange.credentials,
    )
    contract = next(part for part in parts if part.name == function[0])
    args, error = RESTRICTED[function]
    callers = [STRANGER, DEPLOYER]
    if error == "NotGovernance":
        callers += [INSTITUTIONS[0], ISSUER]
    for caller in callers:
        assert contract.refused(caller, function[1], *args) == error


def test_what_was_decided_waits_in_the_timelock_and_is_carried_out_by_anybody(
    exchange: Exchange,
) -> None:
    proposal = Proposal(exchange, exchange.charter, "approvePolicy", OTHER_BUNDLE)
    assert proposal.state() == "Pending"
    opens, closes = proposal.proposed.at + DELAY, proposal.proposed.at + DELAY + PERIOD
    early = exchange.governor.refused(INSTITUTIONS[0], "castVote", proposal.id, FOR, at=opens)
    assert early == "GovernorUnexpectedProposalState"
    proposal.vote(INSTITUTIONS[0], at=opens + 1)
    proposal.vote(INSTITUTIONS[1])
    twice = exchange.governor.refused(INSTITUTIONS[1], "castVote", proposal.id, FOR)
    assert twice == "GovernorAlreadyCastVote"
    early = exchange.governor.refused(STRANGER, "queue", *proposal.hashed, at=closes)
    assert early == "GovernorUnexpectedProposalState"
    queued = proposal.queue(at=closes + 1)
    ready = queued.at + TIMELOCK
    early = exchange.governor.refused(STRANGER, "execute", *proposal.hashed, at=ready - 1)
    assert early == "TimelockUnexpectedOperationState"
    assert exchange.charter.ask("isInForce", OTHER_BUNDLE) is False
    proposal.execute(at=ready)
    assert exchange.charter.ask("isInForce", OTHER_BUNDLE) is True
    again = exchange.governor.refused(STRANGER, "execute", *proposal.hashed)
    assert again == "GovernorUnexpectedProposalState"
    exchange.decide(exchange.charter, "withdrawPolicy", OTHER_BUNDLE)
    assert exchange.charter.ask("isInForce", OTHER_BUNDLE) is False


@pytest.mark.parametrize(
    ("votes", "becomes"),
    [
        ([], "Defeated"),
        ([FOR], "Defeated"),  # 40 % of four seats are two
        ([FOR, ABSTAIN], "Succeeded"),
        ([ABSTAIN, ABSTAIN], "Defeated"),
        ([FOR, AGAINST, ABSTAIN], "Defeated"),  # as many against
        ([FOR, FOR, AGAINST], "Succeeded"),
        ([AGAINST, AGAINST, AGAINST, FOR], "Defeated"),
    ],
)
def test_a_quorum_and_a_majority_decide(exchange: Exchange, votes: list[int], becomes: str) -> None:
    proposal = Proposal(exchange, exchange.charter, "approvePolicy", bytes(31) + b"\x01")
    for institution, vote in zip(INSTITUTIONS, votes, strict=False):
        proposal.vote(institution, vote)
    assert proposal.state(at=proposal.proposed.at + DELAY + PERIOD + 1) == becomes
    if becomes == "Defeated":
        refused = exchange.governor.refused(DEPLOYER, "queue", *proposal.hashed)
        assert refused == "GovernorUnexpectedProposalState"


def test_a_vote_without_a_seat_weighs_nothing(exchange: Exchange) -> None:
    proposal = Proposal(exchange, exchange.charter, "approvePolicy", bytes(31) + b"\x02")
    for outsider in (STRANGER, DEPLOYER, ISSUER, key(12)):
        proposal.vote(outsider)
    assert exchange.governor.ask("proposalVotes", proposal.id) == (0, 0, 0)
    assert proposal.state(at=proposal.proposed.at + DELAY + PERIOD + 1) == "Defeated"


def test_forty_percent_of_two_seats_are_one_not_none(evm: Evm, exchange: Exchange) -> None:
    two = [tx.address(one) for one in INSTITUTIONS[:2]]
    seats = deploy(evm, "InstitutionSeats", exchange.timelock.address, two)
    governor = deploy(
        evm, "ExchangeGovernor", seats.address, exchange.timelock.address, DELAY, PERIOD, 40
    )
    assert governor.ask("quorum", governor.deployment.at, at=evm.now + 10) == 1


def test_seats_are_given_and_withdrawn_by_a_vote_and_count_from_then_on(evm: Evm) -> None:
    exchange = found(evm)
    running = Proposal(exchange, exchange.charter, "approvePolicy", OTHER_BUNDLE)
    exchange.decide(exchange.seats, "giveSeat", tx.address(NEWCOMER))
    assert exchange.seats.ask("seats") == 5
    assert exchange.seats.ask("getVotes", tx.address(NEWCOMER)) == 1
    assert exchange.seats.ask("getPastVotes", tx.address(NEWCOMER), running.proposed.at) == 0
    exchange.decide(exchange.seats, "withdrawSeat", tx.address(NEWCOMER))
    assert exchange.seats.ask("getVotes", tx.address(NEWCOMER)) == 0
    assert exchange.seats.ask("isSeated", tx.address(NEWCOMER)) is False
    exchange.decide(exchange.seats, "giveSeat", tx.address(NEWCOMER))  # and once more
    assert exchange.seats.ask("getVotes", tx.address(NEWCOMER)) == 1
    assert exchange.seats.ask("clock", at=evm.now + 1) == evm.now + 1


def test_a_seat_is_not_lent(exchange: Exchange) -> None:
    stranger = tx.address(STRANGER)
    for function, args in (
        ("delegate", (stranger,)),
        ("delegateBySig", (stranger, 0, 2**64, 27, BUNDLE, BUNDLE)),
    ):
        for caller in (INSTITUTIONS[0], STRANGER):
            assert exchange.seats.refused(caller, function, *args) == "SeatsDoNotDelegate"
    assert exchange.seats.ask("getVotes", stranger) == 0


def test_wrong_seats_are_refused(evm: Evm, exchange: Exchange) -> None:
    timelock, one = exchange.timelock.address, tx.address(INSTITUTIONS[0])
    for first in ([], [one, one], [NOBODY]):
        with pytest.raises(AssertionError):
            deploy(evm, "InstitutionSeats", timelock, first)


@pytest.mark.parametrize(
    ("part", "function", "args", "error"),
    [
        ("seats", "giveSeat", (tx.address(INSTITUTIONS[0]),), "SeatedAlready"),
        ("seats", "giveSeat", (NOBODY,), "NotSeated"),
        ("seats", "withdrawSeat", (tx.address(STRANGER),), "NotSeated"),
        ("charter", "approvePolicy", (BUNDLE,), "PolicyInForce"),
        ("charter", "approvePolicy", (bytes(32),), "PolicyInForce"),
        ("charter", "withdrawPolicy", (bytes(31) + b"\x09",), "PolicyNotInForce"),
        ("charter", "appoint", (BUNDLE, tx.address(STRANGER)), "NoContract"),
    ],
)
def test_even_the_institutions_can_not_decide_on_what_makes_no_sense(
    exchange: Exchange, part: str, function: str, args: tuple[Any, ...], error: str
) -> None:
    proposal = Proposal(exchange, getattr(exchange, part), function, *args)
    proposal.pass_()
    at = proposal.queued.at + TIMELOCK
    assert exchange.governor.refused(STRANGER, "execute", *proposal.hashed, at=at) == error


def test_the_last_seat_stays(evm: Evm, exchange: Exchange) -> None:
    """Else nobody could decide anything any more.  A contract that calls what it is told stands for the timelock."""
    puppet = Puppet(evm)
    seats = deploy(
        evm, "InstitutionSeats", puppet.address, [tx.address(one) for one in INSTITUTIONS[:2]]
    )
    puppet.call(seats, "withdrawSeat", tx.address(INSTITUTIONS[0]))
    refused = puppet.call(seats, "withdrawSeat", tx.address(INSTITUTIONS[1]))
    assert refused == tx.keccak256(b"LastSeat()")[:4]
    assert seats.ask("seats") == 1


def test_the_proposer_may_cancel_before_the_vote_and_nobody_else(exchange: Exchange) -> None:
    proposal = Proposal(exchange, exchange.charter, "approvePolicy", bytes(31) + b"\x03")
    other = exchange.governor.refused(INSTITUTIONS[1], "cancel", *proposal.hashed)
    assert other == "GovernorUnableToCancel"
    exchange.governor.send(INSTITUTIONS[0], "cancel", *proposal.hashed)
    assert proposal.state() == "Canceled"


def test_a_contract_is_appointed_for_a_part(exchange: Exchange) -> None:
    part = tx.keccak256(b"CredentialRegistry")
    mined = exchange.decide(exchange.charter, "appoint", part, exchange.credentials.address)
    appointed = "0x" + exchange.credentials.address.hex()
    assert exchange.charter.events(mined) == [("Appointed", (part, "0x" + NOBODY.hex(), appointed))]
    assert exchange.charter.ask("appointed", part) == appointed


def test_the_charter_begins_with_the_bundles_of_its_deployment(exchange: Exchange) -> None:
    assert exchange.charter.ask("isInForce", BUNDLE) is True
    assert exchange.charter.ask("isInForce", bytes(32)) is False
