"""A key of the patient's own: nothing is filed, replaced or revoked on the chain but what it has signed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from anchoring.chain import transaction as tx
from anchoring.chain.transaction import HALF_N
from anchoring.registry.consents import Status
from tests.anchoring.contracts.evm import Account, encode_typed_data

from ..answers import Answer
from ..clinic import HOUSE, OTHER, patient, sharing
from ..exchange_world import World, shared, world

__all__ = ["world"]

KEY = tx.keccak256(b"a key of the patient's own")
HOLDER = f"0x{tx.address(KEY).hex()}"
N = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


@pytest.fixture(autouse=True)
def _registry(world: World) -> None:
    pipeline = world.clinic.pipeline
    tools = replace(pipeline.tools, consents=world.exchange.mirror.registry)
    world.clinic.pipeline = replace(pipeline, tools=tools)


async def filed(world: World, holder: str = HOLDER) -> str:
    """The patient files a Consent under her own key; its reference."""
    own = {name: value for name, value in sharing("a").items() if name != "id"}
    answer = await world.clinic.ask("alice", "POST", f"Consent/$file-consent?holder={holder}", own)
    assert answer.status == 201, answer.body
    await world.step(2)
    return f"Consent/{answer.json['id']}"


async def typed(world: World, reference: str) -> dict[str, dict[str, object]]:
    answer = await world.clinic.ask("alice", "POST", f"{reference}/$chain-filing")
    assert answer.status == 200, answer.body
    return {each["name"]: json.loads(each["valueString"]) for each in answer.json["parameter"]}


def signed(asked: dict[str, object], key: bytes = KEY) -> str:
    """As a wallet signs what it is asked to: by eth-account, which is not ours."""
    return (
        "0x"
        + bytes(Account.sign_message(encode_typed_data(full_message=asked), key).signature).hex()
    )


async def brings(world: World, reference: str, who: str = "alice", **words: str) -> Answer:
    query = "&".join(f"{name}={word}" for name, word in words.items())
    return await world.clinic.ask(who, "POST", f"{reference}/$chain-filing?{query}")


async def test_nothing_is_filed_that_she_has_not_signed(world: World) -> None:
    reference = await filed(world)
    assert await world.sees() == 200  # here it holds from the beginning
    (filing,) = await world.filings()
    assert (filing.key, filing.address) == (b"", tx.address(KEY))
    assert world.status(filing) is Status.NONE
    asked = await typed(world, reference)
    assert (await brings(world, reference, file=signed(asked["file"]))).status == 200
    await world.step(2)
    assert world.status(filing) is Status.ACTIVE
    assert (await world.clinic.get("alice", f"{reference}/$chain-revocation")).status == 404


async def test_what_she_signed_beforehand_revokes_when_the_consent_ends_here(world: World) -> None:
    reference = await filed(world)
    asked = await typed(world, reference)
    words = {name: signed(asked[name]) for name in ("file", "revoke")}
    assert (await brings(world, reference, **words)).status == 200
    await world.step(2)
    await world.clinic.ask("alice", "POST", f"{reference}/$revoke-consent")
    await world.step(2)
    (filing,) = await world.filings()
    assert world.status(filing) is Status.REVOKED


async def test_what_she_did_not_sign_stays_on_the_chain_and_is_denied_here(world: World) -> None:
    reference = await filed(world)
    asked = await typed(world, reference)
    await brings(world, reference, file=signed(asked["file"]))
    await world.step(2)
    await world.clinic.ask("alice", "POST", f"{reference}/$revoke-consent")
    assert await world.sees() == 404
    await world.step(3)
    (filing,) = await world.filings()
    assert world.status(filing) is Status.ACTIVE


async def test_her_own_revocation_on_the_chain_ends_it_here(world: World) -> None:
    reference = await filed(world)
    asked = await typed(world, reference)
    await brings(world, reference, file=signed(asked["file"]))
    await world.step(2)
    (filing,) = await world.filings()
    assert world.say(replace(filing, key=KEY).holder)
    await world.step()
    assert await world.sees() == 404


async def test_signatures_that_are_not_hers_or_not_of_this_are_refused(world: World) -> None:
    reference = await filed(world)
    asked = await typed(world, reference)
    good = bytes.fromhex(signed(asked["file"])[2:])
    high = N - int.from_bytes(good[32:64], "big")
    assert high > HALF_N
    wrong = [
        signed(asked["file"], tx.keccak256(b"a thief")),
        signed(asked["revoke"]),
        "0x" + good[:64].hex(),
        "0x" + (good + b"\x00").hex(),
        "0x" + (good[:64] + b"\x1d").hex(),
        "0x" + (good[:32] + high.to_bytes(32, "big") + bytes([55 - good[64]])).hex(),
        "0x" + bytes(65).hex(),
        "anything",
    ]
    for word in wrong:
        assert (await brings(world, reference, file=word)).status == 400, word
    await world.step(2)
    (filing,) = await world.filings()
    assert world.status(filing) is Status.NONE


async def test_nobody_else_signs_for_her_or_sees_what_she_is_asked(world: World) -> None:
    reference = await filed(world)
    clinic = world.clinic
    await clinic.put(patient("b"))
    clinic.caller("bob", "patient/*.cruds", "", user="Patient/b", patient="Patient/b")
    clinic.caller("doctor", "user/*.cruds", user="Practitioner/d")
    for who in ("bob", "doctor", OTHER, HOUSE):
        answer = await clinic.ask(who, "POST", f"{reference}/$chain-filing")
        assert answer.status in (403, 404)
        assert b"EIP712" not in answer.body


async def test_a_version_whose_key_is_kept_here_takes_no_signatures(world: World) -> None:
    await shared(world)
    assert (await brings(world, "Consent/sharing-a", file="0x00")).status == 404


async def test_a_key_is_for_one_version_only(world: World) -> None:
    await filed(world)
    own = {name: value for name, value in sharing("a").items() if name != "id"}
    again = await world.clinic.ask("alice", "POST", f"Consent/$file-consent?holder={HOLDER}", own)
    assert again.status == 400
    assert len(await world.filings()) == 1


@pytest.mark.parametrize("holder", ["0x12", "mine", "0x" + "g" * 40])
async def test_what_is_no_address_is_refused(world: World, holder: str) -> None:
    answer = await world.clinic.ask(
        "alice", "POST", f"Consent/$file-consent?holder={holder}", sharing("a")
    )
    assert answer.status == 400
    assert await world.filings() == []


async def test_without_a_registry_a_holder_is_refused(world: World) -> None:
    pipeline = world.clinic.pipeline
    world.clinic.pipeline = replace(pipeline, tools=replace(pipeline.tools, consents=""))
    answer = await world.clinic.ask(
        "alice", "POST", f"Consent/$file-consent?holder={HOLDER}", sharing("a")
    )
    assert answer.status == 400
