"""An exchange of institutions on a test's chain: timelock, seats, governor, and what they govern."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from anchoring.chain import transaction as tx
from tests.anchoring.contracts.evm import (
    NOBODY,
    Contract,
    Evm,
    Mined,
    calldata,
    deploy,
    key,
)

DEPLOYER = key(1)
INSTITUTIONS = [key(number) for number in (4, 5, 6, 7)]
ISSUER = key(8)
DELAY, PERIOD, PERCENT, TIMELOCK = 3_600, 86_400, 40, 7_200  # seconds, but for the percent
FOR, AGAINST, ABSTAIN = 1, 0, 2
BUNDLE = tx.keccak256(b"the first bundle")
_NUMBERS = count()


@dataclass
class Exchange:
    """The contracts, and how the institutions decide."""

    evm: Evm
    timelock: Contract
    seats: Contract
    governor: Contract
    charter: Contract
    credentials: Contract

    def decide(self, contract: Contract, function: str, *args: Any) -> Mined:
        """Propose, vote, queue and execute; the execution."""
        proposal = Proposal(self, contract, function, *args)
        proposal.pass_()
        return proposal.execute()


class Proposal:
    """One call that the institutions decide on."""

    def __init__(
        self, exchange: Exchange, contract: Contract, function: str, *args: Any, text: str = ""
    ) -> None:
        self.exchange, self.evm = exchange, exchange.evm
        self.text = text or f"proposal {next(_NUMBERS)}"
        call = calldata(contract.name, function, *args)
        self.actions = ([contract.address], [0], [call])
        self.hashed = (*self.actions, tx.keccak256(self.text.encode()))
        self.proposed = self.governor.send(INSTITUTIONS[0], "propose", *self.actions, self.text)
        self.id = self.governor.ask("hashProposal", *self.hashed)

    @property
    def governor(self) -> Contract:
        return self.exchange.governor

    def vote(self, institution: bytes, how: int = FOR, at: int | None = None) -> Mined:
        opens = self.proposed.at + DELAY + 1
        return self.governor.send(
            institution, "castVote", self.id, how, at=at or max(opens, self.evm.now + 1)
        )

    def queue(self, at: int | None = None) -> Mined:
        closes = self.proposed.at + DELAY + PERIOD + 1
        return self.governor.send(
            DEPLOYER, "queue", *self.hashed, at=at or max(closes, self.evm.now + 1)
        )

    def pass_(self) -> None:
        for institution in INSTITUTIONS[:2]:
            self.vote(institution)
        self.queued = self.queue()

    def execute(self, at: int | None = None) -> Mined:
        """By anybody: what was decided is carried out."""
        when = at or max(self.queued.at + TIMELOCK, self.evm.now + 1)
        return self.governor.send(DEPLOYER, "execute", *self.hashed, at=when)

    def state(self, at: int | None = None) -> str:
        names = [
            "Pending",
            "Active",
            "Canceled",
            "Defeated",
            "Succeeded",
            "Queued",
            "Expired",
            "Executed",
        ]
        return names[self.governor.ask("state", self.id, at=at)]


def found(evm: Evm) -> Exchange:
    """Deploy all of it, in the order and with the rights of the real deployment."""
    deployer = tx.address(DEPLOYER)
    timelock = deploy(evm, "TimelockController", TIMELOCK, [], [NOBODY], deployer)
    seated = [tx.address(one) for one in INSTITUTIONS]
    seats = deploy(evm, "InstitutionSeats", timelock.address, seated)
    governor = deploy(
        evm, "ExchangeGovernor", seats.address, timelock.address, DELAY, PERIOD, PERCENT
    )
    for role in ("PROPOSER_ROLE", "CANCELLER_ROLE"):
        timelock.send(DEPLOYER, "grantRole", timelock.ask(role), governor.address)
    timelock.send(DEPLOYER, "renounceRole", timelock.ask("DEFAULT_ADMIN_ROLE"), deployer)
    charter = deploy(evm, "ExchangeCharter", timelock.address, [BUNDLE])
    credentials = deploy(evm, "CredentialRegistry", timelock.address, [tx.address(ISSUER)])
    return Exchange(evm, timelock, seats, governor, charter, credentials)


class Puppet:
    """A contract that passes on what comes behind an address, with what the other says (written by hand)."""

    # calldatacopy(0,20,size-20); call(gas, calldata[0:20], 0, 0, size-20, 0, 0); revert or return what it said
    _RUNTIME = bytes.fromhex(
        "601436036014600037600060006014360360006000600035"
        "60601c5af13d600060003e602a573d6000fd5b3d6000f3"
    )

    def __init__(self, evm: Evm) -> None:
        code = self._RUNTIME
        header = bytes.fromhex(f"60{len(code):02x}600c60003960{len(code):02x}6000f3")
        self.evm, self.address = evm, evm.send(DEPLOYER, b"", header + code).contract

    def call(self, contract: Contract, function: str, *args: Any) -> bytes | None:
        data = contract.address + calldata(contract.name, function, *args)
        return self.evm.send(DEPLOYER, self.address, data).error
