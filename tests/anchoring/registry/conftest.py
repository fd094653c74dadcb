"""A ConsentRegistry on the anvil of the whole run, and the node that asks it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import eth_abi
import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.rpc import Endpoint
from anchoring.registry.consents import Holder, Status, commitment, read_status, status_call
from anchoring.registry.node import JsonRpcNode
from anchoring.registry.typed_data import Domain
from tests.anchoring.anvil import CHAIN_ID, Anvil
from tests.anchoring.contracts.evm import artifact

_NUMBERS = count(70_000)
LATER = 4_000_000_000  # seconds since 1970


@dataclass
class Registry:
    """A registry on a node, a payer with coins, and what tests do with them."""

    anvil: Anvil
    node: JsonRpcNode
    domain: Domain
    payer: bytes

    def holder(self, expiry: int = LATER) -> Holder:
        number = next(_NUMBERS)
        key = tx.keccak256(b"holder %d" % number)
        return Holder(commitment(tx.keccak256(key), "consent", "a|1"), key, expiry)

    def status(self, holder: Holder) -> Status:
        asked = status_call(holder.address, holder.id)
        return read_status(self.node.call(self.domain.contract, asked))

    def send(self, call: bytes) -> bool:
        """Send a call by somebody; whether the registry accepted it."""
        sender = self.anvil.account()
        content = tx.Transaction(CHAIN_ID, 0, 0, 10**11, 200_000, self.domain.contract, call)
        return bool(self.anvil.send(tx.sign(content, sender).raw)["status"] == "0x1")


def deployed(anvil: Anvil, name: str) -> bytes:
    """Deploy a contract whose constructor takes nothing; its address."""
    payer = anvil.account()
    code = bytes.fromhex(artifact(name)["creationBytecode"][2:])
    content = tx.Transaction(CHAIN_ID, 0, 0, 10**11, 3_000_000, b"", code)
    return bytes.fromhex(anvil.send(tx.sign(content, payer).raw)["contractAddress"][2:])


def registry_on(anvil: Anvil, governance: bytes, issuer: bytes) -> bytes:
    """Deploy a registry with one accreditor; its address."""
    code = bytes.fromhex(artifact("CredentialRegistry")["creationBytecode"][2:])
    words = eth_abi.encode(["address", "address[]"], [governance, [tx.address(issuer)]])
    content = tx.Transaction(CHAIN_ID, 0, 0, 10**11, 3_000_000, b"", code + words)
    sent = anvil.send(tx.sign(content, anvil.account()).raw)
    return bytes.fromhex(sent["contractAddress"][2:])


@pytest.fixture
def registry(anvil: Anvil) -> Registry:
    domain = Domain("ConsentRegistry", CHAIN_ID, deployed(anvil, "ConsentRegistry"))
    return Registry(anvil, JsonRpcNode(Endpoint(anvil.url, 5.0)), domain, anvil.account())
