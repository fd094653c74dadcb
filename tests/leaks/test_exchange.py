"""A registry on a chain tells nobody whose Consents are on it, and lets nobody end them but who holds their keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anchoring.chain import transaction as tx
from anchoring.registry.consents import Holder, Status
from fhir_server.interactions.registries.filing import FILINGS

from ..fhir_server.clinic import HOUSE, OTHER, patient
from ..fhir_server.exchange_world import FAR, World, shared, world

__all__ = ["world"]


async def test_strangers_end_nothing(world: World) -> None:
    filing = await shared(world)
    thief = tx.keccak256(b"a thief")
    assert world.say(Holder(filing.id, thief, FAR))  # the same id, another key
    assert world.say(Holder(tx.keccak256(b"an id"), thief, FAR))
    await world.step()
    assert await world.sees() == 200
    assert world.status(filing) is Status.ACTIVE


async def test_who_floods_the_registry_keeps_nobody_from_writing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared(world)
    await world.step()
    for number in range(20):
        key = tx.keccak256(b"flood %d" % number)
        assert world.say(Holder(tx.keccak256(key), key, FAR))
    units: list[object] = []
    consents = world.exchange
    monkeypatch.setattr(
        world, "exchange", replace(consents, unit=lambda: units.append(1) or consents.unit())
    )
    await world.step()
    assert units == []
    assert await world.sees() == 200


async def test_no_interaction_reaches_a_filing(world: World) -> None:
    filing = await shared(world)
    clinic = world.clinic
    async with clinic.vault.reading() as reader:
        record = FILINGS.record_id(reader, filing.id)
    for who in (HOUSE, "alice"):
        for id_ in (filing.id.hex(), record):
            for url in (f"ChainFiling/{id_}", f"ChainFiling/{id_}/_history/1"):
                assert (await clinic.get(who, url)).status in (400, 403, 404)
            put = await clinic.ask(
                who, "PUT", f"ChainFiling/{id_}", {"resourceType": "ChainFiling", "id": id_}
            )
            assert put.status in (400, 403, 404, 422)
        for url in ("ChainFiling", "Patient/a/ChainFiling", "?_type=ChainFiling"):
            assert (await clinic.get(who, url)).status in (400, 403, 404)
    secrets = (filing.k.hex(), filing.key.hex(), filing.id.hex())
    for url in ("Patient/a/$everything", "_history", "?_type=Consent,Provenance", "Patient/a/*"):
        body = (await clinic.get("alice", url)).body
        assert [secret for secret in secrets if secret.encode() in body] == [], url


async def test_nobody_but_her_gets_her_word(world: World) -> None:
    await shared(world)
    clinic = world.clinic
    await clinic.put(patient("b"))
    clinic.caller("bob", "patient/*.cruds", "", user="Patient/b", patient="Patient/b")
    clinic.caller("doctor", "user/*.cruds", user="Practitioner/d")
    clinic.caller("reader", "patient/*.rs", "", user="Patient/a", patient="Patient/a")
    missing = (await clinic.get("bob", "Consent/none/$chain-revocation")).body
    answer = await clinic.get("bob", "Consent/sharing-a/$chain-revocation")
    assert (answer.status, answer.body) == (404, missing)
    for who in ("doctor", HOUSE, OTHER, "reader"):
        answer = await clinic.get(who, "Consent/sharing-a/$chain-revocation")
        assert answer.status in (403, 404)
        assert b"0x" not in answer.body
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "Consent/sharing-a/$chain-revocation"}}],
    }
    assert b"0x" not in (await clinic.ask("bob", "POST", "", bundle)).body
