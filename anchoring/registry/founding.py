"""Founding an exchange: its contracts deployed in their order, and the deployer's rights given up at the end.

1. TimelockController, with the deployer as its admin for the time being; InstitutionSeats; ExchangeGovernor.
2. The governor may propose and cancel in the timelock; the deployer renounces.
3. CredentialRegistry, ExchangeCharter (governed by the timelock), ConsentRegistry, AccessGrants (by nobody).

Whoever is interrupted founds again: what was deployed until then belongs to nobody's exchange.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from anchoring.chain import transaction as tx
from anchoring.errors import ChainError
from anchoring.registry.node import Node
from anchoring.registry.relaying import Payer
from anchoring.registry.typed_data import word

ORDER = (
    *("TimelockController", "InstitutionSeats", "ExchangeGovernor", "CredentialRegistry"),
    *("ExchangeCharter", "ConsentRegistry", "AccessGrants"),
)
_ANYBODY = bytes(20)
_ADMIN = bytes(32)  # DEFAULT_ADMIN_ROLE
_ROLES = tuple(tx.keccak256(role) for role in (b"PROPOSER_ROLE", b"CANCELLER_ROLE"))
_GAS = 8_000_000  # of a deployment; the governor needs about 4,600,000
_CALL_GAS = 200_000
_PATIENCE = 600.0  # seconds until a transaction is in a block
_PAUSE = 0.2
_CONTRACTS = Path(__file__).parents[1] / "contracts"


@dataclass(frozen=True, slots=True)
class Constitution:
    """How an exchange begins.

    Attributes:
        institutions: Addresses that have a seat, at least one.
        issuers: Accreditors that are admitted.
        bundles: SHA-256 of the bundles of policies in force.
        delay: Seconds from a proposal to the vote.
        period: Seconds that a vote is open.
        percent: Share of the seats that must vote, of 100.
        timelock: Seconds from a decision to its execution.
    """

    institutions: Sequence[bytes]
    issuers: Sequence[bytes] = ()
    bundles: Sequence[bytes] = ()
    delay: int = 86_400
    period: int = 7 * 86_400
    percent: int = 40
    timelock: int = 2 * 86_400


def found(
    node: Node,
    chain_id: int,
    payer: Payer,
    constitution: Constitution,
    tell: Callable[[str, bytes], None],
) -> dict[str, bytes]:
    """Deploy an exchange; addresses by the names of ORDER.  It blocks until all of it is in blocks.

    Args:
        node: The chain.
        chain_id: Its EIP-155 id.
        payer: Who deploys, and has no rights afterwards.
        constitution: How it begins.
        tell: Told each name and address when it is there.

    Raises:
        ChainError: The node refuses a transaction, or none of it comes into a block.
    """
    founder, made = _Founder(node, chain_id, payer), dict[str, bytes]()

    def deploy(name: str, *values: int | bytes | Sequence[bytes]) -> None:
        made[name] = founder.deploy(name, *values)
        tell(name, made[name])

    deploy("TimelockController", constitution.timelock, [], [_ANYBODY], founder.address)
    timelock = made["TimelockController"]
    deploy("InstitutionSeats", timelock, constitution.institutions)
    times = (constitution.delay, constitution.period, constitution.percent)
    deploy("ExchangeGovernor", made["InstitutionSeats"], timelock, *times)
    for role in _ROLES:
        founder.give_role(timelock, role, made["ExchangeGovernor"])
    founder.renounce(timelock)
    deploy("CredentialRegistry", timelock, constitution.issuers)
    deploy("ExchangeCharter", timelock, constitution.bundles)
    deploy("ConsentRegistry")
    deploy("AccessGrants")
    return made


def encoded(*values: int | bytes | Sequence[bytes]) -> bytes:
    """Encode arguments: numbers, addresses and words, and arrays of these (Solidity ABI)."""
    heads, tails = list[bytes](), b""
    for value in values:
        if isinstance(value, (int, bytes)):
            heads.append(word(value))
            continue
        heads.append(word(32 * len(values) + len(tails)))
        tails += word(len(value)) + b"".join(word(each) for each in value)
    return b"".join(heads) + tails


class _Founder:
    """An account that sends one transaction after another, each once the one before is in a block."""

    def __init__(self, node: Node, chain_id: int, payer: Payer) -> None:
        self.address = tx.address(payer.key)
        self._node = node
        self._chain_id = chain_id
        self._payer = payer

    def deploy(self, name: str, *values: int | bytes | Sequence[bytes]) -> bytes:
        nonce = self._send(b"", _creation(name) + encoded(*values), _GAS)
        at = tx.contract_address(self.address, nonce)
        if len(self._node.call(at, _PROBES[name])) < 32:
            raise ChainError(f"{name} was not deployed: its constructor refused")
        return at

    def give_role(self, timelock: bytes, role: bytes, to: bytes) -> None:
        self._send(timelock, tx.selector("grantRole(bytes32,address)") + role + word(to), _CALL_GAS)
        if not self._has(timelock, role, to):
            raise ChainError("the governor did not get its roles")

    def renounce(self, timelock: bytes) -> None:
        call = tx.selector("renounceRole(bytes32,address)") + _ADMIN + word(self.address)
        self._send(timelock, call, _CALL_GAS)
        if self._has(timelock, _ADMIN, self.address):
            raise ChainError("the deployer is still the timelock's admin: do not use this exchange")

    def _has(self, timelock: bytes, role: bytes, who: bytes) -> bool:
        asked = tx.selector("hasRole(bytes32,address)") + role + word(who)
        return any(self._node.call(timelock, asked))

    def _send(self, to: bytes, call: bytes, gas: int) -> int:
        """Send, and wait until it is in a block; its nonce."""
        means = self._node.means(self.address)
        fee = min(2 * means.base_fee + means.tip, self._payer.max_fee)
        tip = min(means.tip, fee)
        content = tx.Transaction(self._chain_id, means.nonce, tip, fee, gas, to, call)
        refused = self._node.send(tx.sign(content, self._payer.key).raw)
        if refused:
            raise ChainError(f"the node refused the transaction: {refused}")
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if self._node.means(self.address).nonce > means.nonce:
                return means.nonce
            time.sleep(_PAUSE)
        raise ChainError("the transaction is in no block yet: found again when the chain goes on")


@cache
def _creation(name: str) -> bytes:
    made = json.loads((_CONTRACTS / f"{name}.json").read_text("utf-8"))
    return bytes.fromhex(made["creationBytecode"][2:])


_PROBES = {  # views that each of them answers
    "TimelockController": tx.selector("getMinDelay()"),
    "InstitutionSeats": tx.selector("seats()"),
    "ExchangeGovernor": tx.selector("votingPeriod()"),
    "CredentialRegistry": tx.selector("governance()"),
    "ExchangeCharter": tx.selector("governance()"),
    "ConsentRegistry": tx.selector("eip712Domain()"),
    "AccessGrants": tx.selector("eip712Domain()"),
}
