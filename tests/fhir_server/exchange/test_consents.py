"""Consents and their registry on a real node: what is said in one place holds in the other, whatever stops in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.nodes import Facts
from anchoring.chain.rpc import Endpoint
from anchoring.errors import ChainUnavailableError, WrongChainError
from anchoring.registry.consents import Status
from anchoring.registry.node import JsonRpcNode, OneOf
from anchoring.registry.watching import Place
from fhir_server.inspection.inspector import Inspector
from fhir_server.interactions.registries.filing import FILINGS
from fhir_server.interactions.registries.links import DUE
from fhir_server.interactions.registries.mirroring import CHANGED, CONSUMER, MIRRORED, Mirror
from fhir_server.store.inspection import Inspection
from fhir_server.store.opening import looking
from fhir_server.vault.vault import Reader
from tests.anchoring.anvil import CHAIN_ID

from ..clinic import HOUSE, consent, open_clinic, sharing
from ..exchange_world import World, exchange_of, shared, world

__all__ = ["world"]


async def test_a_consent_that_is_filed_here_is_filed_on_the_chain(world: World) -> None:
    filing = await shared(world)
    assert (filing.patient, filing.consent, filing.version) == ("Patient/a", "sharing-a", 1)
    await world.step()
    assert await world.notes(DUE) == 0
    assert await world.notes(CHANGED) == 0


async def test_a_revocation_on_the_chain_stops_the_next_request(world: World) -> None:
    filing = await shared(world)
    assert world.say(filing.holder)
    await world.step()
    assert await world.sees() == 404
    kept = (await world.clinic.get("alice", "Consent/sharing-a")).json
    assert (kept["status"], kept["meta"]["versionId"]) == ("inactive", "2")


async def test_it_leaves_a_provenance_and_an_audit_event_that_name_the_transaction(
    world: World,
) -> None:
    filing = await shared(world)
    before = world.clinic.log_size()
    assert world.say(filing.holder)
    await world.step()
    (event,) = await world.clinic.audits(before)
    assert event["outcomeDesc"] == "the patient's key has revoked this Consent on the chain"
    named = [entity["what"].get("reference") for entity in event["entity"]]
    assert named[:2] == ["Patient/a", "Consent/sharing-a/_history/2"]
    transaction = event["entity"][2]["what"]["identifier"]["value"]
    assert transaction.startswith(f"eip155:{CHAIN_ID}:0x")
    found = (await world.clinic.get("alice", "Provenance?target=Consent/sharing-a")).resources
    assert [each["target"][0]["reference"] for each in found] == ["Consent/sharing-a/_history/2"]
    assert found[0]["entity"][0]["what"]["identifier"]["value"] == transaction
    seen = (await world.clinic.get("alice", f"AuditEvent/{event['id']}")).status
    assert seen == 200


async def test_being_told_twice_changes_nothing(world: World) -> None:
    filing = await shared(world)
    assert world.say(filing.holder)
    await world.step()
    size = world.clinic.log_size()
    place = world.exchange.watch.node.block(0)
    assert place is not None
    await world.exchange.watch.keep(Place(0, place.hash))  # a backup of yesterday was put back
    await world.step(2)
    assert world.clinic.log_size() == size


@pytest.mark.parametrize("path", ["put", "operation", "patch", "transaction"])
async def test_a_revocation_here_reaches_the_chain_by_whatever_path_it_comes(
    world: World, path: str
) -> None:
    filing = await shared(world)
    ended = sharing("a") | {"status": "inactive"}
    clinic = world.clinic
    if path == "put":
        await clinic.put(ended)
    elif path == "operation":
        answer = await clinic.ask("alice", "POST", "Consent/sharing-a/$revoke-consent")
        assert answer.status == 200, answer.body
    elif path == "patch":
        merge = {"content-type": "application/merge-patch+json"}
        answer = await clinic.ask(
            HOUSE, "PATCH", "Consent/sharing-a", {"status": "inactive"}, headers=merge
        )
        assert answer.status == 200, answer.body
    else:
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {"resource": ended, "request": {"method": "PUT", "url": "Consent/sharing-a"}}
            ],
        }
        answer = await clinic.ask(HOUSE, "POST", "", bundle)
        assert answer.status == 200, answer.body
    assert await world.sees() == 404  # at once, whatever the chain says
    await world.step(2)
    assert world.status(filing) is Status.REVOKED


async def test_an_older_version_is_replaced_and_nothing_links_it_to_the_newer(
    world: World,
) -> None:
    await shared(world)
    await world.clinic.put(sharing("a") | {"policyRule": {"text": "other words"}})
    await world.step(3)
    older, newer = await world.filings()
    assert (world.status(older), world.status(newer)) == (Status.REPLACED, Status.ACTIVE)
    assert await world.sees() == 200
    contract = "0x" + world.domain.contract.hex()
    logs = world.anvil.rpc("eth_getLogs", {"fromBlock": "0x0", "address": contract})
    words: dict[str, set[str]] = {}
    for log in logs:
        call = world.anvil.rpc("eth_getTransactionByHash", log["transactionHash"])["input"][10:]
        said = {
            *log["topics"][1:],
            log["data"],
            *(call[i : i + 64] for i in range(0, len(call), 64)),
        }
        words.setdefault(log["topics"][1], set()).update(w.removeprefix("0x") for w in said)
    one, other = words["0x" + older.id.hex()], words["0x" + newer.id.hex()]
    assert one & other <= {""}


async def test_a_patients_word_about_an_older_version_ends_the_consent_of_now(
    world: World,
) -> None:
    older = await shared(world)
    await world.clinic.put(sharing("a") | {"policyRule": {"text": "other words"}})
    await world.step(3)
    assert world.say(older.holder)
    await world.step()
    assert await world.sees() == 404


async def test_what_expires_expires_on_the_chain_by_itself_a_little_later(world: World) -> None:
    ending = sharing("a")
    ending["provision"]["period"] = {"end": "2030-12-31"}
    await world.clinic.put(ending)
    await world.clinic.put(consent("endless", "a", "permit", "Organization/third"))
    await world.clinic.put(consent("ended", "a", "permit", "Organization/third", status="inactive"))
    past = consent("past", "a", "permit", "Organization/third")
    past["provision"]["period"] = {"end": "2020-01-01"}
    await world.clinic.put(past)
    await world.step()
    endless, ends = await world.filings()
    end = 1_924_992_000  # 2031-01-01
    assert end <= ends.expiry < end + 86_400
    assert endless.expiry > end + 50 * 365 * 86_400


async def test_consents_that_were_there_before_are_filed_once(world: World) -> None:
    world.clinic.vault._keys = world.clinic.vault._keys.__class__(
        *(world.clinic.vault._keys.ring, world.clinic.vault._keys.blind),
        *(world.clinic.vault._keys.register, world.clinic.vault._keys.tenant),
    )  # written while no registry was named
    await world.clinic.put(sharing("a"))
    await world.step()
    assert await world.filings() == []
    world.clinic.vault.note_changes(CONSUMER, "Consent")
    await Mirror.pause(world.clinic.vault)  # what a start without a registry does
    assert await world.notes(MIRRORED) == 0
    for _ in range(2):
        await world.exchange.mirror.begin()
        await world.step(2)
    assert await world.statuses() == [Status.ACTIVE]


async def test_while_the_node_is_down_decisions_go_on_and_what_has_to_be_told_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    filing = await shared(world)
    down = OneOf([JsonRpcNode(Endpoint("http://127.0.0.1:9", 0.5))], Facts(CHAIN_ID))
    monkeypatch.setattr(world.exchange.watch.node, "_nodes", down._nodes)
    assert await world.sees() == 200  # it does not close access
    await world.clinic.put(sharing("a") | {"status": "inactive"})
    assert await world.sees() == 404  # nor keep it open
    with pytest.raises(ChainUnavailableError):
        await world.step()
    monkeypatch.undo()
    await world.step(2)
    assert world.status(filing) is Status.REVOKED


async def test_a_revocation_that_was_made_while_the_server_was_away_is_heard(
    world: World, tmp_path: Path
) -> None:
    filing = await shared(world)
    await world.clinic.close()
    assert world.say(filing.holder)
    world.anvil.mine(10)
    world.clinic = await open_clinic(tmp_path)
    payer = world.anvil.account()
    world.exchange = exchange_of(world.clinic, world.anvil, world.domain.contract, payer)
    assert await world.sees() == 200  # not known yet: the job hears it
    await world.step()
    assert await world.sees() == 404


async def test_a_reorganisation_does_not_make_a_patients_word_untrue(world: World) -> None:
    filing = await shared(world)
    world.anvil.mine(3)
    assert world.say(filing.holder)
    await world.step()
    assert await world.sees() == 404
    world.anvil.reorg(1)
    world.anvil.mine()
    assert world.status(filing) is Status.ACTIVE
    await world.step(3)
    assert await world.sees() == 404
    assert world.status(filing) is Status.REVOKED  # and the chain is told again


async def test_another_chain_is_neither_believed_nor_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    filing = await shared(world)
    assert world.say(filing.holder)
    monkeypatch.setattr(world.exchange.watch.node, "chain_id", lambda: 1)
    world.exchange.watch._known = float("-inf")  # a minute later
    with pytest.raises(WrongChainError):
        await world.step()
    assert await world.sees() == 200


async def test_other_code_at_the_address_is_neither_believed_nor_told(world: World) -> None:
    await shared(world)
    world.anvil.rpc("anvil_setCode", "0x" + world.domain.contract.hex(), "0x00")
    world.exchange.watch._known = float("-inf")  # a minute later
    with pytest.raises(WrongChainError):
        await world.step()


async def test_a_patient_keeps_her_word_and_uses_it_without_the_server(world: World) -> None:
    filing = await shared(world)
    answer = await world.clinic.get("alice", "Consent/sharing-a/$chain-revocation")
    assert answer.status == 200, answer.body
    told = {each["name"]: each["valueString"] for each in answer.json["parameter"]}
    assert told["chain"] == f"eip155:{CHAIN_ID}"
    sender = world.anvil.account()
    to, data = bytes.fromhex(told["to"][2:]), bytes.fromhex(told["data"][2:])
    content = tx.Transaction(CHAIN_ID, 0, 0, 10**11, 200_000, to, data)
    assert world.anvil.send(tx.sign(content, sender).raw)["status"] == "0x1"
    assert world.status(filing) is Status.REVOKED
    await world.step()
    assert await world.sees() == 404
    assert (await world.clinic.get("alice", "Consent/sharing-a/$chain-revocation")).status == 404


async def test_erasing_a_patient_unlinks_what_is_on_the_chain(world: World) -> None:
    filing = await shared(world)
    world.clinic.caller("eraser", "system/*.cruds", purposes=("HOPERAT",))
    now = int(world.clinic.now.timestamp() * 1000)
    await world.clinic.pipeline.tools.erasures.erase("Patient/a", "Organization/custodian", now)
    await world.step(2)
    assert world.say(filing.holder)  # what she signed at home before
    await world.step()
    async with world.clinic.vault.reading() as reader:
        assert await FILINGS.find(reader, filing.id) is None
    assert await world.notes(DUE) == 0


async def test_the_check_of_the_store_finds_filings_in_order(world: World) -> None:
    await shared(world)
    await world.clinic.put(sharing("a") | {"status": "inactive"})
    await world.step(2)
    clinic = world.clinic
    async with looking(clinic.database) as look:

        @asynccontextmanager
        async def opened() -> AsyncIterator[tuple[Reader, Inspection]]:
            async with look() as (snapshot, inspection):
                yield await clinic.vault.reader(snapshot, monotonic()), inspection

        async with look() as (snapshot, _):
            last = await snapshot.shelf.last()
        tools = clinic.pipeline.tools
        inspector = Inspector(opened, tools.documents, tools.tokenizer, exact=True)
        assert [found async for found in inspector.look(last, 100, lambda *_: None)] == []
