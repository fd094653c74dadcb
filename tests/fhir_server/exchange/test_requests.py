"""Requests for access on a real node: asked there, answered there or here, and seen in both places."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.nodes import Facts
from anchoring.chain.rpc import Endpoint
from anchoring.errors import ChainUnavailableError
from anchoring.registry.grants import Status, answer_call, read_status, status_call
from anchoring.registry.node import JsonRpcNode, OneOf
from anchoring.registry.relaying import Payer, Relay
from anchoring.registry.typed_data import Domain
from fhir_server.exchange.keeping import lasting
from fhir_server.exchange.requests import Requests
from fhir_server.exchange.watch import Contract, Watch
from fhir_server.interactions.registries.links import DUE
from fhir_server.interactions.registries.requesting import CONSUMER, REQUESTS, Requesting
from tests.anchoring.anvil import CHAIN_ID, Anvil
from tests.anchoring.contracts.evm import calldata
from tests.anchoring.registry.conftest import deployed

from ..answers import Answer, Json
from ..clinic import HOUSE, OTHER, Clinic, observation, open_clinic, patient

SYSTEM = "https://consentry.example/CodeSystem/consent-lifecycle"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
FAR = 4_000_000_000  # seconds since 1970


@dataclass
class World:
    """A clinic that watches a registry of requests, and a provider who has an account."""

    anvil: Anvil
    clinic: Clinic
    part: Requests
    domain: Domain
    account: bytes

    async def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.clinic.now += timedelta(seconds=1)
            await self.part.step(int(self.clinic.now.timestamp() * 1000))

    async def asks(self, account: str | None = None, who: str = OTHER) -> Answer:
        return await self.clinic.ask(
            who, "POST", "Task/$request-access", task(account or named(self.account))
        )

    def requests(self, told: Json, key: bytes = b"") -> bool:
        """The provider asks on the chain with what the answer told; whether the registry takes it."""
        id_, holder = (value(told, f"chain-{name}") for name in ("request", "holder"))
        words = (bytes.fromhex(id_[2:]), bytes.fromhex(holder[2:]), FAR)
        return self.brings(calldata("AccessGrants", "request", *words), key or self.account)

    def brings(self, call: bytes, key: bytes = b"") -> bool:
        """Somebody brings a call; whether the registry accepts it."""
        sender = key or self.anvil.account()
        nonce = self.part.watch.node.means(tx.address(sender)).nonce
        content = tx.Transaction(CHAIN_ID, nonce, 0, 10**11, 200_000, self.domain.contract, call)
        return bool(self.anvil.send(tx.sign(content, sender).raw)["status"] == "0x1")

    async def link(self) -> Requesting:
        async with self.clinic.vault.reading() as reader:
            (kept,) = await REQUESTS.of(reader, "Patient/a")
        return kept.link

    async def status(self) -> Status:
        asked = status_call((await self.link()).request)
        return read_status(self.part.watch.node.call(self.domain.contract, asked))

    async def task(self) -> Json:
        (found,) = (await self.clinic.get("alice", "Task?code=access-request")).resources
        return found

    async def clinic_notes(self, prefix: str) -> int:
        async with self.clinic.vault.reading() as reader:
            return len(await reader.notes.load(prefix))

    async def sees(self) -> int:
        return (await self.clinic.get(OTHER, "Observation/o")).status


def named(key: bytes) -> str:
    return f"0x{tx.address(key).hex()}"


def value(told: Json, code: str) -> str:
    found = [each for each in told["input"] if each["type"]["coding"][0]["code"] == code]
    return str(found[0]["valueString"])


def task(account: str) -> Json:
    def typed(code: str) -> Json:
        return {"coding": [{"system": SYSTEM, "code": code}]}

    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": typed("access-request"),
        "for": {"reference": "Patient/a"},
        "input": [
            {"type": typed("purpose"), "valueCoding": {"system": REASON, "code": "TREAT"}},
            {"type": typed("period"), "valuePeriod": {"end": "2030-12-31"}},
            {"type": typed("chain-requester"), "valueString": account},
        ],
    }


@pytest.fixture
async def world(anvil: Anvil, tmp_path: Path) -> AsyncIterator[World]:
    clinic = await open_clinic(tmp_path)
    contract = Contract("AccessGrants", CHAIN_ID, deployed(anvil, "AccessGrants"))
    node = OneOf([JsonRpcNode(Endpoint(anvil.url, 5.0))], Facts(CHAIN_ID))
    domain = Domain(contract.name, CHAIN_ID, contract.address)
    tools = replace(clinic.pipeline.tools, grants=contract.registry)
    clinic.pipeline = replace(clinic.pipeline, tools=tools)
    clinic.vault.note_changes(CONSUMER, "Task", "Consent")
    watch = Watch(clinic.vault, node, contract, 1)
    relay = Relay(node, domain, Payer(anvil.account()), lasting)
    unit = clinic.pipeline.heeding.unit
    made = World(
        *(anvil, clinic, Requests(clinic.vault, tools, unit, watch, relay), domain),
        anvil.account(),
    )
    clinic.caller("alice", "patient/*.cruds", "", user="Patient/a", patient="Patient/a")
    await clinic.put(patient("a"))
    await clinic.put(observation("o", "a"))
    await made.step()
    yield made
    await clinic.close()


async def requested(world: World) -> Json:
    """The provider has asked, here and on the chain; what was answered."""
    answer = await world.asks()
    assert answer.status == 201, answer.body
    assert world.requests(answer.json)
    await world.step()
    return answer.json


async def test_a_request_on_the_chain_becomes_a_task_and_not_before(world: World) -> None:
    answer = await world.asks()
    assert answer.json["status"] == "draft"
    assert (await world.task())["status"] == "draft"
    id_ = answer.json["id"]
    refused = await world.clinic.ask("alice", "POST", f"Task/{id_}/$approve-access")
    assert refused.status == 409
    assert world.requests(answer.json)
    start = world.clinic.log_size()
    await world.step()
    (event,) = await world.clinic.audits(start)
    assert event["agent"][0]["who"] == {"reference": "Organization/other"}
    assert (await world.task())["status"] == "requested"
    told = (await world.clinic.get(OTHER, f"Task/{id_}/$access-status")).json
    assert told["parameter"][0]["valueCode"] == "requested"
    assert await world.sees() == 404


async def test_an_approval_on_the_chain_makes_the_consent_active(world: World) -> None:
    told = await requested(world)
    answer = await world.clinic.get("alice", f"Task/{told['id']}/$chain-answer")
    assert answer.status == 200, answer.body
    words = {each["name"]: each["valueString"] for each in answer.json["parameter"]}
    assert world.brings(bytes.fromhex(words["approve"][2:]))
    start = world.clinic.log_size()
    await world.step()
    assert await world.sees() == 200
    done = await world.task()
    assert done["status"] == "completed"
    reference = done["output"][0]["valueReference"]["reference"]
    consent = (await world.clinic.get("alice", reference)).json
    assert (consent["status"], consent["provision"]["period"]["end"][:10]) == (
        "active",
        "2030-12-31",
    )
    events = [
        e for e in await world.clinic.audits(start) if "on the chain" in e.get("outcomeDesc", "")
    ]
    assert [e["entity"][2]["what"]["reference"] for e in events] == [f"{reference}/_history/1"]
    signed = (await world.clinic.get("alice", f"Provenance?target={reference}")).resources
    assert [each["agent"][0]["who"]["reference"] for each in signed] == ["Patient/a"]
    await world.step(2)
    assert await world.status() is Status.APPROVED
    assert await world.clinic_notes(DUE) == 0


async def test_a_denial_on_the_chain_rejects_the_task(world: World) -> None:
    told = await requested(world)
    answer = (await world.clinic.get("alice", f"Task/{told['id']}/$chain-answer")).json
    words = {each["name"]: each["valueString"] for each in answer["parameter"]}
    assert world.brings(bytes.fromhex(words["deny"][2:]))
    await world.step()
    assert (await world.task())["status"] == "rejected"
    assert await world.sees() == 404
    assert not world.brings(bytes.fromhex(words["approve"][2:]))


@pytest.mark.parametrize(
    ("operation", "status"), [("approve", Status.APPROVED), ("deny", Status.DENIED)]
)
async def test_an_answer_that_is_given_here_reaches_the_chain(
    world: World, operation: str, status: Status
) -> None:
    told = await requested(world)
    answer = await world.clinic.ask("alice", "POST", f"Task/{told['id']}/${operation}-access")
    assert answer.status == 200, answer.body
    assert await world.sees() == (200 if operation == "approve" else 404)
    await world.step(2)
    assert await world.status() is status


async def test_a_grant_is_revoked_in_both_places_whoever_is_first(world: World) -> None:
    told = await requested(world)
    await world.clinic.ask("alice", "POST", f"Task/{told['id']}/$approve-access")
    await world.step(2)
    reference = (await world.task())["output"][0]["valueReference"]["reference"]
    await world.clinic.ask("alice", "POST", f"{reference}/$revoke-consent")
    assert await world.sees() == 404
    await world.step(2)
    assert await world.status() is Status.REVOKED


async def test_a_grant_that_is_revoked_on_the_chain_ends_the_consent(world: World) -> None:
    told = await requested(world)
    await world.clinic.ask("alice", "POST", f"Task/{told['id']}/$approve-access")
    await world.step(2)
    assert await world.sees() == 200
    link = await world.link()
    assert world.brings(answer_call(world.domain, link.request, Status.REVOKED, 0, FAR))
    await world.step()
    assert await world.sees() == 404


async def test_strangers_ask_and_answer_nothing(world: World) -> None:
    answer = await world.asks()
    stranger = world.anvil.account()
    assert world.requests(answer.json, stranger)  # with the same id, in a name of his own
    await world.step()
    assert (await world.task())["status"] == "draft"
    assert world.requests(answer.json)
    await world.step()
    link = await world.link()
    forged = replace(link.request, key=tx.keccak256(b"a thief"))
    assert not world.brings(answer_call(world.domain, forged, Status.APPROVED, FAR, FAR))
    foreign = replace(link.request, requester=tx.address(stranger))
    assert world.brings(answer_call(world.domain, foreign, Status.APPROVED, FAR, FAR))
    await world.step()  # the patient's key, but the stranger's request
    assert await world.sees() == 404


async def test_nobody_else_gets_the_patients_words(world: World) -> None:
    told = await requested(world)
    clinic = world.clinic
    await clinic.put(patient("b"))
    clinic.caller("bob", "patient/*.cruds", "", user="Patient/b", patient="Patient/b")
    clinic.caller("doctor", "user/*.cruds", user="Practitioner/d")
    for who in ("bob", "doctor", OTHER, HOUSE):
        answer = await clinic.get(who, f"Task/{told['id']}/$chain-answer")
        assert answer.status in (403, 404)
        assert b"approve" not in answer.body
    link = await world.link()
    for url in ("Task?code=access-request", f"Task/{told['id']}", "Patient/a/$everything"):
        body = (await clinic.get("alice", url)).body
        assert link.k.hex().encode() not in body
        assert link.key.hex().encode() not in body


@pytest.mark.parametrize("account", ["0x12", "anybody", "0x" + "g" * 40, "0x" + "1" * 41])
async def test_what_is_no_account_is_refused(world: World, account: str) -> None:
    assert (await world.asks(account)).status == 422


async def test_without_a_registry_an_account_is_refused_and_other_requests_are_as_before(
    world: World,
) -> None:
    clinic = world.clinic
    clinic.pipeline = replace(clinic.pipeline, tools=replace(clinic.pipeline.tools, grants=""))
    assert (await world.asks()).status == 422
    plain = task("")
    plain["input"].pop()
    answer = await clinic.ask(OTHER, "POST", "Task/$request-access", plain)
    assert (answer.status, answer.json["status"]) == (201, "requested")


async def test_who_is_not_known_here_is_asked_for_with_the_same_answer(world: World) -> None:
    known, unknown = task(named(world.account)), task(named(world.account))
    unknown["for"] = {"reference": "Patient/nobody"}
    shapes: list[Any] = []
    for asked in (known, unknown):
        answer = await world.clinic.ask(OTHER, "POST", "Task/$request-access", asked)
        codes = [each["type"]["coding"][0]["code"] for each in answer.json["input"]]
        shapes.append((answer.status, answer.json["status"], codes))
    assert shapes[0] == shapes[1]


async def test_an_answer_waits_while_the_node_is_down_and_is_found_again_after_a_restart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await requested(world)
    down = OneOf([JsonRpcNode(Endpoint("http://127.0.0.1:9", 0.5))], Facts(CHAIN_ID))
    with monkeypatch.context() as hung:
        hung.setattr(world.part.watch.node, "_nodes", down._nodes)
        await world.clinic.ask("alice", "POST", f"Task/{told['id']}/$approve-access")
        assert await world.sees() == 200
        with pytest.raises(ChainUnavailableError):
            await world.step()
    async with world.clinic.vault.writing() as writer:  # answered while no registry was named
        for name in await writer.notes.load("changed|"):
            await writer.notes.drop(f"changed|{name}")
    await world.part.begin()
    await world.step(2)
    assert await world.status() is Status.APPROVED


async def test_erasing_a_patient_unlinks_her_requests(world: World) -> None:
    await requested(world)
    link = await world.link()
    now = int(world.clinic.now.timestamp() * 1000)
    await world.clinic.pipeline.tools.erasures.erase("Patient/a", "Organization/custodian", now)
    assert world.brings(answer_call(world.domain, link.request, Status.APPROVED, FAR, FAR))
    await world.step(2)
    async with world.clinic.vault.reading() as reader:
        assert await REQUESTS.find(reader, link.id) is None
