"""A server starts only with policies that the institutions have in force, where the setting asks for that."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import eth_abi
import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.nodes import Facts
from anchoring.chain.rpc import Endpoint
from anchoring.registry.node import JsonRpcNode, OneOf
from consent_engine import template_text
from fhir_server.__main__ import main
from fhir_server.admin_policies import policy_bundle
from fhir_server.app import close_house, open_house
from fhir_server.crypto.providers.local import new_key_material
from fhir_server.errors import SettingsError
from fhir_server.exchange.policies import Policies
from fhir_server.exchange.watch import Contract, Watch
from fhir_server.settings import Settings
from tests.anchoring.anvil import CHAIN_ID, Anvil
from tests.anchoring.contracts.evm import artifact, calldata
from tests.anchoring.registry.conftest import deployed

from ..clinic import Clinic, open_clinic

BUNDLE = policy_bundle(Settings(policy="hipaa-tpo"))


@dataclass
class World:
    """A charter on a node, and a server's policies."""

    anvil: Anvil
    clinic: Clinic
    charter: bytes
    governance: bytes
    policies: Policies

    def decides(self, function: str, bundle: bytes = BUNDLE) -> None:
        """The institutions decide, as the timelock would carry it out."""
        call = calldata("ExchangeCharter", function, bundle)
        assert self.anvil.send_as(self.governance, self.charter, call)["status"] == "0x1"


@pytest.fixture
async def world(anvil: Anvil, tmp_path: Path) -> AsyncIterator[World]:
    clinic = await open_clinic(tmp_path)
    governance = deployed(anvil, "AccessGrants")  # any contract will do
    code = bytes.fromhex(artifact("ExchangeCharter")["creationBytecode"][2:])
    words = eth_abi.encode(["address", "bytes32[]"], [governance, []])
    content = tx.Transaction(CHAIN_ID, 0, 0, 10**11, 3_000_000, b"", code + words)
    sent = anvil.send(tx.sign(content, anvil.account()).raw)
    charter = bytes.fromhex(sent["contractAddress"][2:])
    node = OneOf([JsonRpcNode(Endpoint(anvil.url, 5.0))], Facts(CHAIN_ID))
    watch = Watch(clinic.vault, node, Contract("ExchangeCharter", CHAIN_ID, charter), 1)
    yield World(anvil, clinic, charter, governance, Policies(BUNDLE, watch))
    await clinic.close()


def hang(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    down = OneOf([JsonRpcNode(Endpoint("http://127.0.0.1:9", 0.5))], Facts(CHAIN_ID))
    monkeypatch.setattr(world.policies.watch.node, "_nodes", down._nodes)


async def test_policies_are_required_to_be_in_force(world: World) -> None:
    with pytest.raises(SettingsError, match=f"0x{BUNDLE.hex()} are not in force"):
        await world.policies.require_in_force()
    world.decides("approvePolicy", b"\x01" * 32)  # others
    with pytest.raises(SettingsError, match="not in force"):
        await world.policies.require_in_force()
    world.decides("approvePolicy")
    await world.policies.require_in_force()
    world.decides("withdrawPolicy")
    with pytest.raises(SettingsError, match="not in force"):
        await world.policies.require_in_force()


async def test_while_no_node_answers_what_was_said_last_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as down:
        hang(world, down)
        with pytest.raises(SettingsError, match="can not be asked"):
            await world.policies.require_in_force()  # nobody was ever told
    world.decides("approvePolicy")
    await world.policies.require_in_force()
    with monkeypatch.context() as down:
        hang(world, down)
        await world.policies.require_in_force()
        with pytest.raises(SettingsError, match="can not be asked"):
            await Policies(b"\x02" * 32, world.policies.watch).require_in_force()
    world.decides("withdrawPolicy")
    with pytest.raises(SettingsError):
        await world.policies.require_in_force()
    hang(world, monkeypatch)
    with pytest.raises(SettingsError, match="can not be asked"):
        await world.policies.require_in_force()


async def test_a_withdrawal_is_told_loudly_and_kept(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.decides("approvePolicy")
    await world.policies.step(0)
    assert caplog.records == []
    world.decides("withdrawPolicy")
    await world.policies.step(0)
    assert [each.message for each in caplog.records] == ["policies are not in force any more"]
    await world.policies.step(0)
    assert len(caplog.records) == 1
    hang(world, monkeypatch)
    with pytest.raises(SettingsError):
        await world.policies.require_in_force()


async def test_another_contract_says_nothing(world: World) -> None:
    world.anvil.rpc("anvil_setCode", "0x" + world.charter.hex(), "0x600160005260206000f3")
    with pytest.raises(SettingsError, match="no ExchangeCharter of ours"):
        await world.policies.require_in_force()  # this one says yes to everything


async def test_a_server_with_other_policies_does_not_start(world: World, tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path / "server",
        key=b64encode(new_key_material()).decode(),
        chain_url=world.anvil.url,
        chain_id=CHAIN_ID,
        chain_contract="0x" + deployed(world.anvil, "AuditAnchor").hex(),
        chain_charter="0x" + world.charter.hex(),
        chain_confirmations="1",
        policy="hipaa-tpo",
    )
    with pytest.raises(SettingsError, match="not in force"):
        await open_house(settings)
    world.decides("approvePolicy")
    await close_house(await open_house(settings))


def test_a_bundle_is_the_same_at_every_institution_and_another_for_any_change(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ours.json"
    file.write_text("[]")
    digests = [hashlib.sha256(template_text("hipaa-tpo").encode()), hashlib.sha256(b"[]")]
    expected = hashlib.sha256(b"".join(each.digest() for each in digests)).digest()
    both = Settings(policy=f"hipaa-tpo,{file}")
    assert policy_bundle(both) == expected
    assert policy_bundle(Settings(policy="hipaa-tpo", custodian="Organization/other")) == BUNDLE
    file.write_text("[ ]")
    found = {
        policy_bundle(Settings(policy=policy))
        for policy in ("hipaa-tpo", "opt-in", f"hipaa-tpo,{file}", f"{file},hipaa-tpo", str(file))
    }
    assert len(found - {expected}) == 5
    with pytest.raises(SettingsError):
        policy_bundle(Settings(policy=str(tmp_path / "none.json")))


def test_the_command_prints_what_institutions_approve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSENTRY_POLICY", "hipaa-tpo")
    assert main(["registries", "policy"]) == 0
    assert capsys.readouterr().out.strip() == f"0x{BUNDLE.hex()}"
