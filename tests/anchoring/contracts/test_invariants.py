"""What holds after any order of calls by anybody: the contracts against models of a few lines, by hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from anchoring.chain import transaction as tx
from tests.anchoring.anvil import started
from tests.anchoring.contracts import test_access_grants, test_consent_registry
from tests.anchoring.contracts.evm import NEVER, OnAnvil, calldata, deploy, key
from tests.anchoring.contracts.exchange import INSTITUTIONS, ISSUER, Puppet

SETTINGS = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SIGNERS = st.sampled_from(["own", "own", "other", "stranger"])
WAITS = st.sampled_from([1, 1, 40, 100])  # seconds
LIVES = st.sampled_from([0, 30, 90, NEVER])  # seconds until an expiry


class Machine(RuleBasedStateMachine):
    """One chain for all runs, and fresh contracts for each: a chain takes longer to make than a contract."""

    evm: OnAnvil

    @property
    def next(self) -> int:
        return self.evm.now + 1


def expiry(machine: Machine, life: int) -> int:
    return NEVER if life == NEVER else machine.next + life


class Consents(Machine):
    """Two versions of a Consent, with keys of their own, and everybody's attempts at them."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = deploy(self.evm, "ConsentRegistry")
        self.versions = [test_consent_registry.Patient(self.registry) for _ in range(2)]
        self.model = [[0, 0], [0, 0]]  # status, expiry

    def attempt(self, which: int, signer: str, kind: str, at: int, life: int, wanted: bool) -> None:
        one = self.versions[which]
        signers = {"own": one.key, "other": self.versions[1 - which].key, "stranger": key(3)}
        ends = expiry(self, life)
        if kind == "File":
            args = one.filing(expiry=ends, signer=signers[signer])
        else:
            args = one.ending(kind, signer=signers[signer])
        if signer != "own" or not wanted:
            self.registry.refused(key(2), kind.lower(), *args, at=at)
            return
        self.registry.send(key(2), kind.lower(), *args, at=at)
        self.model[which][0] = {"File": 1, "Replace": 2, "Revoke": 3}[kind]
        if kind == "File":
            self.model[which][1] = ends

    @rule(which=st.integers(0, 1), signer=SIGNERS, life=LIVES, wait=WAITS)
    def file(self, which: int, signer: str, life: int, wait: int) -> None:
        at = self.evm.now + wait
        wanted = self.model[which][0] == 0 and expiry(self, life) > at
        self.attempt(which, signer, "File", at, life, wanted)

    @rule(which=st.integers(0, 1), signer=SIGNERS, wait=WAITS)
    def replace(self, which: int, signer: str, wait: int) -> None:
        wanted = self.model[which][0] == 1
        self.attempt(which, signer, "Replace", self.evm.now + wait, 0, wanted)

    @rule(which=st.integers(0, 1), signer=SIGNERS, wait=WAITS)
    def revoke(self, which: int, signer: str, wait: int) -> None:
        wanted = self.model[which][0] != 3
        self.attempt(which, signer, "Revoke", self.evm.now + wait, 0, wanted)

    @invariant()
    def the_chain_says_what_the_model_says(self) -> None:
        for one, (status, ends) in zip(self.versions, self.model, strict=True):
            assert one.status() == (status, ends)
            assert one.active(at=self.next) == (status == 1 and self.next < ends)


class Grants(Machine):
    """One request with its answers in any order, at any time, by anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.grants = deploy(self.evm, "AccessGrants")
        self.asking = test_access_grants.Asking(self.grants)
        self.status, self.ends = 0, 0

    @rule(life=LIVES, wait=WAITS, own=st.booleans())
    def request(self, life: int, wait: int, own: bool) -> None:
        at, ends = self.evm.now + wait, expiry(self, life)
        args = (self.asking.id, self.asking.holder, ends)
        if not own:  # a stranger who asks with the same words has a request of his own
            mined = self.evm.send(
                key(10), self.grants.address, calldata("AccessGrants", "request", *args), at
            )
            assert mined.error is None or ends <= at or self.asked_by_stranger
            self.asked_by_stranger = self.asked_by_stranger or mined.error is None
        elif self.status == 0 and ends > at:
            self.grants.send(test_access_grants.PROVIDER, "request", *args, at=at)
            self.status, self.ends = 1, ends
        else:
            self.grants.refused(test_access_grants.PROVIDER, "request", *args, at=at)

    asked_by_stranger = False

    @rule(
        kind=st.sampled_from(["Approve", "Deny", "Revoke"]),
        own=st.sampled_from([True, True, False]),
        life=LIVES,
        wait=WAITS,
    )
    def answer(self, kind: str, own: bool, life: int, wait: int) -> None:
        at, ends = self.evm.now + wait, expiry(self, life)
        changed = {"expiry": ends} if kind == "Approve" else {}
        args = self.asking.answer(kind, signer=b"" if own else key(10), **changed)
        needed = {"Approve": 1, "Deny": 1, "Revoke": 2}[kind]
        late = kind == "Approve" and (at >= self.ends or at >= ends)
        if not own or self.status != needed or late:
            self.grants.refused(key(3), kind.lower(), *args, at=at)
            return
        self.grants.send(key(3), kind.lower(), *args, at=at)
        self.status = {"Approve": 2, "Deny": 3, "Revoke": 4}[kind]
        self.ends = ends if kind == "Approve" else self.ends

    @invariant()
    def the_chain_says_what_the_model_says(self) -> None:
        assert self.asking.status() == self.status
        granted = self.status == 2 and self.next < self.ends
        assert self.asking.granted(at=self.next) == granted


class Credentials(Machine):
    """Two issuers who are admitted and dismissed, and one credential that both want."""

    def __init__(self) -> None:
        super().__init__()
        self.puppet = Puppet(self.evm)
        self.registry = deploy(self.evm, "CredentialRegistry", self.puppet.address, [])
        self.issuers = [ISSUER, key(9)]
        self.admitted = [False, False]
        self.owner: int | None = None
        self.level, self.ends = 0, 0

    @rule(which=st.integers(0, 1), admit=st.sampled_from([True, True, False]))
    def govern(self, which: int, admit: bool) -> None:
        function = "admitIssuer" if admit else "dismissIssuer"
        error = self.puppet.call(self.registry, function, tx.address(self.issuers[which]))
        assert (error is None) == (self.admitted[which] != admit)
        self.admitted[which] = admit

    @rule(
        which=st.integers(0, 1),
        function=st.sampled_from(["attest", "attest", "renew"]),
        level=st.integers(0, 2),
        life=LIVES,
        wait=WAITS,
    )
    def write(self, which: int, function: str, level: int, life: int, wait: int) -> None:
        at, ends = self.evm.now + wait, expiry(self, life)
        right = self.owner is None if function == "attest" else self.owner == which and self.level
        args = (bytes(32), level, ends)
        if not self.admitted[which] or not right or level == 0 or ends <= at:
            self.registry.refused(self.issuers[which], function, *args, at=at)
            return
        self.registry.send(self.issuers[which], function, *args, at=at)
        self.owner, self.level, self.ends = which, level, ends

    @rule(which=st.integers(0, 1))
    def revoke(self, which: int) -> None:
        if self.owner != which or not self.level:
            self.registry.refused(self.issuers[which], "revoke", bytes(32))
            return
        self.registry.send(self.issuers[which], "revoke", bytes(32))
        self.level = 0

    @invariant()
    def the_chain_says_what_the_model_says(self) -> None:
        for level in range(3):
            owned = self.owner is not None and self.admitted[self.owner]
            holds = owned and 0 < level <= self.level and self.next < self.ends
            assert self.registry.ask("holds", bytes(32), level, at=self.next) == holds


class Seats(Machine):
    """Votes are as many as seats, whatever is given and withdrawn."""

    def __init__(self) -> None:
        super().__init__()
        self.puppet = Puppet(self.evm)
        self.people = [tx.address(one) for one in INSTITUTIONS]
        self.seats = deploy(self.evm, "InstitutionSeats", self.puppet.address, self.people[:1])
        self.seated = {0}

    @rule(which=st.integers(0, 3), give=st.booleans())
    def govern(self, which: int, give: bool) -> None:
        function = "giveSeat" if give else "withdrawSeat"
        error = self.puppet.call(self.seats, function, self.people[which])
        possible = (
            which not in self.seated if give else self.seated - {which} and which in self.seated
        )
        assert (error is None) == bool(possible)
        if possible:
            self.seated ^= {which}

    @invariant()
    def each_seat_has_one_vote(self) -> None:
        votes = [self.seats.ask("getVotes", one) for one in self.people]
        assert votes == [int(which in self.seated) for which in range(4)]
        assert self.seats.ask("seats") == len(self.seated)
        total = self.seats.ask("getPastTotalSupply", self.evm.now, at=self.evm.now + 2)
        assert total == len(self.seated)


@pytest.fixture(scope="module")
def node() -> Iterator[OnAnvil]:
    """Anvil, which is faster; what the embedded chain does differently, the other tests would find."""
    with started() as running:
        yield OnAnvil(running)


@pytest.mark.parametrize("machine", [Consents, Grants, Credentials, Seats])
def test_no_order_of_calls_leads_anywhere_else(
    node: OnAnvil, machine: Callable[[], Machine]
) -> None:
    machine.evm = node  # type: ignore[attr-defined]
    run_state_machine_as_test(machine, settings=SETTINGS)  # type: ignore[arg-type]
