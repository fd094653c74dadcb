"""What each call costs: the table in docs/anchoring.md is what two EVMs measure, at a fixed hardfork and calldata.

Whole transactions as receipts tell them, in Prague: since EIP-7623 a transaction pays at least for its calldata
(10 gas a zero byte, 40 another one), which hides what little an anchor computes.  Views are told without the
transaction that they do not need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from anchoring.chain import transaction as tx
from anchoring.log.merkle import Tree
from tests.anchoring.anvil import started
from tests.anchoring.contracts.evm import (
    CONTRACTS,
    DAY,
    Contract,
    Embedded,
    Evm,
    OnAnvil,
    artifact,
    deploy,
    key,
)
from tests.anchoring.contracts.exchange import FOR, INSTITUTIONS, ISSUER, Proposal, found
from tests.anchoring.contracts.test_access_grants import PROVIDER, Asking
from tests.anchoring.contracts.test_consent_registry import RELAYER, Patient

PAGE = Path(__file__).resolve().parents[3] / "docs" / "anchoring.md"
LOG = hashlib.sha256(b"a log").digest()
FIRST = 777  # leaves: neither tree is full, which is when proofs are longest
BIG = 65_536


class Table:
    """Rows of call, gas and remark."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, str]] = []

    def add(self, call: str, gas: int, remark: str = "") -> None:
        self.rows.append((call, gas, remark))

    def text(self) -> str:
        lines = ["| call | gas | |", "|---|---|---|"]
        lines += [f"| {call} | {gas:,} | {remark} |" for call, gas, remark in self.rows]
        return "\n".join(lines)


def measure(evm: Evm) -> Table:
    """All of it, on a fresh chain and in one order, so that every byte of calldata is the same each time."""
    table = Table()
    anchors(evm, table)
    consents(evm, table)
    credentials_and_governance(evm, table)
    grants(evm, table)
    return table


def anchors(evm: Evm, table: Table) -> None:
    tree = Tree()
    tree.extend(hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(FIRST + 1026 + BIG))
    contract = deploy(evm, "AuditAnchor")
    table.add("`AuditAnchor`: first anchor of a log", anchor(contract, tree, 0, FIRST))
    one = anchor(contract, tree, FIRST, FIRST + 1)
    one = max(one, anchor(contract, tree, FIRST + 1, FIRST + 2))
    small = anchor(contract, tree, FIRST + 2, FIRST + 2 + 1024)
    large = anchor(contract, tree, FIRST + 1026, FIRST + 1026 + BIG)
    table.add(
        "anchor one event (`each` mode)", one, f"{one:,} an event: one transaction for each of them"
    )
    table.add("anchor 1,024 events", small, f"{small / 1024:.1f} an event")
    table.add("anchor 65,536 events", large, f"{large / BIG:.2f} an event")
    if isinstance(evm, Embedded):
        for depth in (10, 20):
            table.add(f"`verifyInclusion`, {depth} nodes", inclusion(evm, depth), "view")


def anchor(contract: Contract, tree: Tree, old: int, new: int) -> int:
    proof = tree.consistency_path(old, new) if old else []
    return contract.send(key(2), "anchor", LOG, new, tree.root(new), proof).gas


def inclusion(evm: Embedded, depth: int) -> int:
    """Of a tree that a chain of hashes stands for: all that the contract sees of one."""
    contract = deploy(evm, "AuditAnchor")
    path = [hashlib.sha256(bytes([level])).digest() for level in range(depth)]
    node = leaf = hashlib.sha256(b"leaf").digest()
    for sibling in path:
        node = hashlib.sha256(b"\x01" + node + sibling).digest()
    contract.send(key(2), "anchor", LOG, 2**depth, node, [])
    return evm.weigh(contract, "verifyInclusion", LOG, leaf, 0, path)


def consents(evm: Evm, table: Table) -> None:
    registry = deploy(evm, "ConsentRegistry")
    patient, other = Patient(registry, 901), Patient(registry, 902)
    deadline, ends = evm.now + DAY, evm.now + 365 * DAY
    for one in (patient, other):
        filed = registry.send(RELAYER, "file", *one.filing(expiry=ends, deadline=deadline))
    table.add("`ConsentRegistry`: filed", filed.gas, "by signature, as all that follows")
    replaced = registry.send(RELAYER, "replace", *other.ending("Replace", deadline=deadline))
    table.add("replaced", replaced.gas)
    if isinstance(evm, Embedded):
        table.add("`isActive`", evm.weigh(registry, "isActive", patient.holder, patient.id), "view")
    revoked = registry.send(RELAYER, "revoke", *patient.ending("Revoke", deadline=deadline))
    table.add("revoked", revoked.gas)


def credentials_and_governance(evm: Evm, table: Table) -> None:
    exchange = found(evm)
    registry, ends = exchange.credentials, evm.now + 365 * DAY
    id_ = tx.keccak256(b"a credential")
    attested = registry.send(ISSUER, "attest", id_, 2, ends)
    table.add("`CredentialRegistry`: attested", attested.gas)
    table.add("renewed", registry.send(ISSUER, "renew", id_, 2, ends + DAY).gas)
    if isinstance(evm, Embedded):
        table.add("`holds`", evm.weigh(registry, "holds", id_, 2), "view")
    table.add("revoked", registry.send(ISSUER, "revoke", id_).gas)
    proposal = Proposal(
        exchange, exchange.charter, "approvePolicy", tx.keccak256(b"a bundle"), text="one bundle"
    )
    table.add("`ExchangeGovernor`: proposed", proposal.proposed.gas, "one call")
    table.add("first vote", proposal.vote(INSTITUTIONS[0], FOR).gas)
    table.add("next vote", proposal.vote(INSTITUTIONS[1], FOR).gas)
    proposal.queued = proposal.queue()
    table.add("queued", proposal.queued.gas)
    table.add("executed", proposal.execute().gas, "a bundle of policies approved")


def grants(evm: Evm, table: Table) -> None:
    contract = deploy(evm, "AccessGrants")
    deadline, ends = evm.now + DAY, evm.now + 365 * DAY
    approved, denied = Asking(contract, 903), Asking(contract, 904)
    for asking in (approved, denied):
        requested = contract.send(PROVIDER, "request", asking.id, asking.holder, ends)
    table.add("`AccessGrants`: requested", requested.gas)
    table.add("approved", approved.say("Approve", expiry=ends, deadline=deadline).gas)
    table.add("denied", denied.say("Deny", deadline=deadline).gas)
    if isinstance(evm, Embedded):
        table.add("`isGranted`", evm.weigh(contract, "isGranted", *approved.place), "view")
    table.add("revoked", approved.say("Revoke", deadline=deadline).gas)


@pytest.fixture(scope="module")
def measured() -> Table:
    return measure(Embedded())


@pytest.fixture(scope="module")
def node() -> Iterator[OnAnvil]:
    with started() as running:
        yield OnAnvil(running)


def test_the_page_says_what_the_embedded_chain_measures(measured: Table) -> None:
    assert measured.text() in PAGE.read_text("utf-8"), f"put into the page:\n{measured.text()}"


def test_an_anchored_event_costs_less_than_75_gas_at_1024_and_1_5_at_65536(measured: Table) -> None:
    gas = {call: gas for call, gas, _ in measured.rows}
    assert gas["anchor 1,024 events"] / 1024 < 75
    assert gas["anchor 65,536 events"] / BIG < 1.5


def test_anvil_measures_the_same(measured: Table, node: OnAnvil) -> None:
    """But for signatures, which differ with chain id and address: a zero byte more or less."""
    theirs = {(at, call): gas for at, (call, gas, _) in enumerate(measure(node).rows)}
    ours = [(call, gas) for call, gas, remark in measured.rows if remark != "view"]
    assert len(theirs) == len(ours)
    for (_, call), (own, _) in zip(theirs, ours, strict=True):
        assert call == own
    differences = [abs(a - b) for a, (_, b) in zip(theirs.values(), ours, strict=True)]
    assert max(differences) < 400


def test_the_page_tells_the_size_of_every_contract() -> None:
    page = PAGE.read_text("utf-8")
    for path in sorted(CONTRACTS.glob("*.json")):
        size = (len(artifact(path.stem)["runtimeBytecode"]) - 2) // 2
        assert f"| `{path.stem}` | {size:,} |" in page, (path.stem, f"{size:,}")
