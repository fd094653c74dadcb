"""An exchange is founded in the right order, and whoever founded it has no rights afterwards."""

from __future__ import annotations

import eth_abi
import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.rpc import Endpoint
from anchoring.errors import ChainError
from anchoring.registry import founding
from anchoring.registry.founding import ORDER, Constitution, encoded, found
from anchoring.registry.genuine import is_genuine
from anchoring.registry.node import JsonRpcNode
from anchoring.registry.relaying import Payer
from tests.anchoring.anvil import CHAIN_ID, Anvil
from tests.anchoring.contracts.evm import calldata

SEAT, ISSUER, BUNDLE = b"\x11" * 20, b"\x22" * 20, b"\x33" * 32


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(founding, "_PAUSE", 0.01)


def node_of(anvil: Anvil) -> JsonRpcNode:
    return JsonRpcNode(Endpoint(anvil.url, 5.0))


def test_what_is_founded_is_ours_governed_by_its_seats_and_by_nobody_else(anvil: Anvil) -> None:
    node, payer, told = node_of(anvil), Payer(anvil.account()), []
    constitution = Constitution([SEAT], [ISSUER], [BUNDLE], percent=50)
    made = found(node, CHAIN_ID, payer, constitution, lambda name, at: told.append((name, at)))
    assert told == list(made.items())
    assert tuple(made) == ORDER

    def says(contract: str, function: str, *args: object) -> int:
        return int.from_bytes(node.call(made[contract], calldata(contract, function, *args)), "big")

    for name, at in made.items():
        assert is_genuine(name, node.code(at))
    timelock, governor = made["TimelockController"], made["ExchangeGovernor"]
    deployer = tx.address(payer.key)
    for role in (b"PROPOSER_ROLE", b"CANCELLER_ROLE"):
        assert says("TimelockController", "hasRole", tx.keccak256(role), governor)
    for role in (bytes(32), *(tx.keccak256(r) for r in (b"PROPOSER_ROLE", b"CANCELLER_ROLE"))):
        assert not says("TimelockController", "hasRole", role, deployer)
    assert says("TimelockController", "hasRole", bytes(32), timelock)
    assert says("ExchangeGovernor", "timelock") == int.from_bytes(timelock, "big")
    for governed in ("InstitutionSeats", "CredentialRegistry", "ExchangeCharter"):
        assert says(governed, "governance") == int.from_bytes(timelock, "big")
    assert says("InstitutionSeats", "isSeated", SEAT)
    assert says("CredentialRegistry", "isAdmitted", ISSUER)
    assert says("ExchangeCharter", "isInForce", BUNDLE)


def test_a_constitution_that_the_contracts_refuse_founds_nothing(anvil: Anvil) -> None:
    payer = Payer(anvil.account())
    with pytest.raises(ChainError, match="InstitutionSeats"):
        found(node_of(anvil), CHAIN_ID, payer, Constitution([]), lambda *_: None)


def test_whoever_has_no_coins_founds_nothing(anvil: Anvil) -> None:
    payer = Payer(tx.keccak256(b"poor"))
    with pytest.raises(ChainError, match="insufficient funds"):
        found(node_of(anvil), CHAIN_ID, payer, Constitution([SEAT]), lambda *_: None)


def test_arguments_are_encoded_as_another_library_does() -> None:
    lists = [[], [SEAT], [SEAT, ISSUER]]
    for first in lists:
        for second in lists:
            types = ["uint256", "address[]", "address[]", "address"]
            expected = eth_abi.encode(types, [5, first, second, ISSUER])
            assert encoded(5, first, second, ISSUER) == expected
    assert encoded(SEAT, [BUNDLE]) == eth_abi.encode(["address", "bytes32[]"], [SEAT, [BUNDLE]])
    assert encoded() == b""
