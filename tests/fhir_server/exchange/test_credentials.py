"""What accreditors say on a real node decides here who gets tokens: attested, renewed, revoked, expired, dismissed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.nodes import Facts
from anchoring.chain.rpc import Endpoint
from anchoring.errors import ChainUnavailableError, WrongChainError
from anchoring.registry.node import JsonRpcNode, OneOf
from fhir_server.exchange.credentials import Credentials
from fhir_server.exchange.watch import Contract, Watch
from fhir_server.store.grants import SealedRegister
from smart_auth.credentials import Credentials as Bound
from smart_auth.credentials import State
from tests.anchoring.anvil import CHAIN_ID, Anvil
from tests.anchoring.contracts.evm import calldata
from tests.anchoring.registry.conftest import deployed, registry_on

from ..clinic import Clinic, open_clinic

ANNA, OTHER = tx.keccak256(b"anna's licence"), tx.keccak256(b"another licence")
FOREVER = 2**62


@dataclass
class World:
    """A registry with an accreditor on a node, and who is bound to its credentials here."""

    anvil: Anvil
    clinic: Clinic
    registry: bytes
    governance: bytes
    issuer: bytes
    part: Credentials
    now: datetime

    @property
    def bound(self) -> Bound:
        return self.part.bound

    def says(self, function: str, *args: object, key: bytes = b"") -> bool:
        """The accreditor (or somebody else) calls the registry; whether it accepts."""
        sender = key or self.issuer
        nonce = self.part.watch.node.means(tx.address(sender)).nonce
        call = calldata("CredentialRegistry", function, *args)
        content = tx.Transaction(CHAIN_ID, nonce, 0, 10**11, 200_000, self.registry, call)
        return bool(self.anvil.send(tx.sign(content, sender).raw)["status"] == "0x1")

    def decides(self, function: str, who: bytes) -> None:
        """The institutions decide, as the timelock would carry it out."""
        call = calldata("CredentialRegistry", function, who)
        assert self.anvil.send_as(self.governance, self.registry, call)["status"] == "0x1"

    async def step(self) -> None:
        await self.part.step(0)

    async def holds(self, subject: str = "user:anna") -> bool:
        await self.step()
        return self.bound.all_hold((subject,))


@pytest.fixture
async def world(anvil: Anvil, tmp_path: Path) -> AsyncIterator[World]:
    clinic = await open_clinic(tmp_path)
    governance, issuer = deployed(anvil, "AccessGrants"), anvil.account()  # any contract will do
    registry = registry_on(anvil, governance, issuer)
    node = OneOf([JsonRpcNode(Endpoint(anvil.url, 5.0))], Facts(CHAIN_ID))
    watch = Watch(clinic.vault, node, Contract("CredentialRegistry", CHAIN_ID, registry), 1)
    register = SealedRegister(clinic.database.register, b"r" * 32)
    bound = Bound(register, lambda: clinic.now, clinic.database.news.tell)
    part = Credentials(bound, watch)
    yield World(anvil, clinic, registry, governance, issuer, part, clinic.now)
    await clinic.close()


async def test_a_credential_holds_from_its_attestation_to_its_revocation(world: World) -> None:
    await world.bound.bind("user:anna", ANNA.hex(), 2)
    assert not await world.holds()
    assert world.says("attest", ANNA, 1, FOREVER)
    assert not await world.holds()  # of too low a level
    assert world.says("renew", ANNA, 2, FOREVER)
    assert await world.holds()
    assert world.says("revoke", ANNA)
    assert not await world.holds()


async def test_what_was_attested_before_anybody_was_bound_to_it_is_asked_for(world: World) -> None:
    assert world.says("attest", ANNA, 1, FOREVER)
    await world.step()
    await world.bound.bind("user:anna", ANNA.hex(), 1)
    assert await world.holds()


async def test_what_expires_needs_nobody_to_tell_it(world: World) -> None:
    expiry = int(world.clinic.now.timestamp()) + 3600
    await world.bound.bind("user:anna", ANNA.hex(), 1)
    await world.bound.learn({ANNA.hex(): State(1, expiry)})
    assert world.bound.all_hold(("user:anna",))
    world.clinic.now += timedelta(hours=1)
    assert not world.bound.all_hold(("user:anna",))


async def test_a_dismissed_accreditor_attests_nothing_any_more(world: World) -> None:
    assert world.says("attest", ANNA, 1, FOREVER)
    await world.bound.bind("user:anna", ANNA.hex(), 1)
    assert await world.holds()
    world.decides("dismissIssuer", tx.address(world.issuer))
    assert not await world.holds()
    world.decides("admitIssuer", tx.address(world.issuer))
    assert await world.holds()


async def test_what_strangers_and_other_credentials_do_changes_nothing(world: World) -> None:
    assert world.says("attest", ANNA, 1, FOREVER)
    await world.bound.bind("user:anna", ANNA.hex(), 1)
    assert await world.holds()
    before = world.bound.states
    assert not world.says("revoke", ANNA, key=world.anvil.account())
    assert world.says("attest", OTHER, 1, FOREVER)
    assert world.says("revoke", OTHER)
    assert await world.holds()
    assert world.bound.states == before


async def test_while_the_node_is_down_what_was_known_goes_on_holding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.says("attest", ANNA, 1, FOREVER)
    await world.bound.bind("user:anna", ANNA.hex(), 1)
    assert await world.holds()
    assert world.says("revoke", ANNA)
    down = OneOf([JsonRpcNode(Endpoint("http://127.0.0.1:9", 0.5))], Facts(CHAIN_ID))
    with monkeypatch.context() as hung:
        hung.setattr(world.part.watch.node, "_nodes", down._nodes)
        with pytest.raises(ChainUnavailableError):
            await world.step()
    assert world.bound.all_hold(("user:anna",))
    assert not await world.holds()


async def test_after_a_restart_and_a_reorganisation_all_are_asked_about(world: World) -> None:
    assert world.says("attest", ANNA, 1, FOREVER)
    await world.bound.bind("user:anna", ANNA.hex(), 1)
    assert await world.holds()
    world.anvil.mine(3)
    assert world.says("revoke", ANNA)
    assert not await world.holds()
    world.anvil.reorg(1)  # the revocation is gone: what the chain says holds
    world.anvil.mine()
    assert await world.holds()
    await world.bound.learn({ANNA.hex(): State(0, 0)})  # a database of yesterday was put back
    await world.part.begin()
    assert await world.holds()


async def test_another_contract_is_not_believed(world: World) -> None:
    await world.bound.bind("user:anna", ANNA.hex(), 1)
    world.anvil.rpc("anvil_setCode", "0x" + world.registry.hex(), "0x00")
    with pytest.raises(WrongChainError):
        await world.step()
    assert not world.bound.all_hold(("user:anna",))
