"""A clinic whose Consents are on a registry of a real node, and what tests do with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.nodes import Facts
from anchoring.chain.rpc import Endpoint
from anchoring.registry.consents import Holder, Status, change_call, read_status, status_call
from anchoring.registry.node import JsonRpcNode, OneOf
from anchoring.registry.relaying import Payer, Relay
from anchoring.registry.typed_data import Domain
from fhir_server.exchange.consents import Consents
from fhir_server.exchange.keeping import lasting
from fhir_server.exchange.watch import Contract, Watch
from fhir_server.interactions.registries.filing import FILINGS, Filing
from fhir_server.interactions.registries.mirroring import CONSUMER, Mirror
from tests.anchoring.anvil import CHAIN_ID, Anvil
from tests.anchoring.registry.conftest import deployed

from .clinic import OTHER, Clinic, observation, open_clinic, patient, sharing

FAR = 4_000_000_000  # seconds since 1970


@dataclass
class World:
    """A clinic whose Consents are on a registry of a node."""

    anvil: Anvil
    clinic: Clinic
    exchange: Consents

    @property
    def domain(self) -> Domain:
        return self.exchange.relay._domain

    async def step(self, times: int = 1) -> None:
        """What the job beside the server does."""
        for _ in range(times):
            self.clinic.now += timedelta(seconds=1)
            await self.exchange.step(int(self.clinic.now.timestamp() * 1000))

    async def filings(self, who: str = "a") -> list[Filing]:
        async with self.clinic.vault.reading() as reader:
            kept = await FILINGS.of(reader, f"Patient/{who}")
        return sorted((each.link for each in kept), key=lambda f: (f.consent, f.version))

    def status(self, filing: Filing) -> Status:
        asked = status_call(filing.address, filing.id)
        return read_status(self.exchange.watch.node.call(self.domain.contract, asked))

    async def statuses(self, who: str = "a") -> list[Status]:
        return [self.status(filing) for filing in await self.filings(who)]

    async def notes(self, prefix: str) -> int:
        async with self.clinic.vault.reading() as reader:
            return len(await reader.notes.load(prefix))

    def say(self, holder: Holder, to: Status = Status.REVOKED) -> bool:
        """Somebody brings what a holder has signed; whether the registry accepts it."""
        sender = self.anvil.account()
        call = change_call(self.domain, holder, to, FAR)
        content = tx.Transaction(CHAIN_ID, 0, 0, 10**11, 200_000, self.domain.contract, call)
        return bool(self.anvil.send(tx.sign(content, sender).raw)["status"] == "0x1")

    async def sees(self, who: str = OTHER) -> int:
        return (await self.clinic.get(who, "Observation/o")).status


def exchange_of(clinic: Clinic, anvil: Anvil, contract: bytes, payer: bytes) -> Consents:
    clinic.vault.note_changes(CONSUMER, "Consent")
    domain = Domain("ConsentRegistry", CHAIN_ID, contract)
    node = OneOf([JsonRpcNode(Endpoint(anvil.url, 5.0))], Facts(CHAIN_ID))
    relay = Relay(node, domain, Payer(payer), lasting)
    tools, unit = clinic.pipeline.tools, clinic.pipeline.heeding.unit
    watch = Watch(clinic.vault, node, Contract("ConsentRegistry", CHAIN_ID, contract), 1)
    mirror = Mirror(clinic.vault, tools, watch.contract.registry)
    return Consents(clinic.vault, tools, unit, watch, relay, mirror)


@pytest.fixture
async def world(anvil: Anvil, tmp_path: Path) -> AsyncIterator[World]:
    clinic = await open_clinic(tmp_path)
    exchange = exchange_of(clinic, anvil, deployed(anvil, "ConsentRegistry"), anvil.account())
    made = World(anvil, clinic, exchange)
    await exchange.mirror.begin()
    clinic.caller("alice", "patient/*.cruds", "", user="Patient/a", patient="Patient/a")
    await clinic.put(patient("a"))
    await clinic.put(observation("o", "a"))
    await made.step()
    yield made
    await clinic.close()


async def shared(world: World) -> Filing:
    """The patient lets OTHER see her observation, and that is on the chain."""
    await world.clinic.put(sharing("a"))
    await world.step(2)
    (filing,) = await world.filings()
    assert world.status(filing) is Status.ACTIVE
    assert await world.sees() == 200
    return filing
