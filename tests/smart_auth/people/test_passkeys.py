"""Passkeys: what is made and shown must fit the challenge, the browser, our origin and the person."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import Any

import pytest

from smart_auth.people.passkeys import Ceremony, PasskeyError, Passkeys
from smart_auth.people.users import User
from smart_auth.settings import SmartSettings
from smart_auth.store import digest
from smart_auth.tokens.bearer import subject_of
from tests.smart_auth.authenticator import Authenticator, text
from tests.smart_auth.conftest import FHIR, ISSUER
from tests.smart_auth.stand_ins import Clock, MemoryRegister, MemoryStore

ANNA = User("anna", "hash", "Patient/1", "Anna Archer")
DOE = User("drdoe", "hash", "Practitioner/9", "Dora Doe")
COOKIE = "cookie of the browser"


@dataclass
class Desk:
    """Passkeys of a server, used from one browser."""

    passkeys: Passkeys
    clock: Clock

    async def making(self, person: User = ANNA, cookie: str = COOKIE) -> Ceremony:
        return await self.passkeys.to_make(person, owner(person), cookie, self.clock.now)

    async def make(
        self, device: Authenticator, person: User = ANNA, asked: Ceremony | None = None
    ) -> None:
        asked = asked or await self.making(person)
        answer = asked.challenge, device.make(asked.options)
        now = self.clock.now
        await self.passkeys.make(person, owner(person), COOKIE, answer, " My \n phone ", now)

    async def show(self, device: Authenticator, **changed: str) -> str:
        asked = await self.passkeys.to_show(COOKIE, self.clock.now)
        return await self.answered(asked, device.show(asked.options, **changed))

    async def answered(self, asked: Ceremony, credential: str, cookie: str = COOKIE) -> str:
        return await self.passkeys.show(cookie, (asked.challenge, credential), self.clock.now)


def owner(person: User) -> str:
    return digest(subject_of(ISSUER, person.username))


@pytest.fixture
def desk(clock: Clock) -> Desk:
    settings = SmartSettings(ISSUER, FHIR)
    store, register = MemoryStore(clock), MemoryRegister()
    return Desk(Passkeys(settings, register, store, secrets.token_bytes), clock)


async def test_a_passkey_that_was_made_signs_its_person_in(desk: Desk) -> None:
    device = Authenticator()
    await desk.make(device)
    assert await desk.show(device) == "anna"
    assert await desk.show(device) == "anna"
    (passkey,) = await desk.passkeys.of(owner(ANNA))
    assert (passkey.name, passkey.sign_count, passkey.used) == ("My phone", 2, passkey.added)


async def test_what_the_device_is_told_does_not_name_the_user_by_handle(desk: Desk) -> None:
    asked = json.loads((await desk.making()).options)
    assert asked["user"]["id"] == text(subject_of(ISSUER, "anna").encode())
    assert asked["rp"]["id"] == "auth.example.org"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    shown = json.loads((await desk.passkeys.to_show(COOKIE, desk.clock.now)).options)
    assert (shown["userVerification"], shown["allowCredentials"]) == ("required", [])


async def test_a_person_has_several_and_the_device_is_told_which(desk: Desk) -> None:
    first, second = Authenticator(), Authenticator()
    await desk.make(first)
    await desk.make(second)
    excluded = json.loads((await desk.making()).options)["excludeCredentials"]
    assert sorted(each["id"] for each in excluded) == sorted(text(d.id_) for d in (first, second))
    assert json.loads((await desk.making(DOE)).options)["excludeCredentials"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://auth.example.org"},
        {"origin": "https://auth.example.org:8443"},
        {"origin": "https://auth.example.org.evil.example"},
        {"host": "evil.example"},
        {"host": "example.org"},
        {"verified": False},
        {"present": False},
    ],
)
async def test_a_passkey_of_another_place_or_not_unlocked_is_refused(
    desk: Desk, wrong: dict[str, Any]
) -> None:
    with pytest.raises(PasskeyError):
        await desk.make(Authenticator(**wrong))
    assert await desk.passkeys.of(owner(ANNA)) == ()
    device = Authenticator()
    await desk.make(device)
    for name, value in wrong.items():
        setattr(device, name, value)
    with pytest.raises(PasskeyError):
        await desk.show(device)


async def test_a_challenge_is_answered_once_even_by_32_at_the_same_moment(desk: Desk) -> None:
    device = Authenticator()
    asked = await desk.making()
    await desk.make(device, asked=asked)
    with pytest.raises(PasskeyError):
        await desk.make(Authenticator(), asked=asked)
    shown = await desk.passkeys.to_show(COOKIE, desk.clock.now)
    credential = device.show(shown.options)
    tries = [desk.answered(shown, credential) for _ in range(32)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert answers.count("anna") == 1
    assert sum(isinstance(each, PasskeyError) for each in answers) == 31


async def test_a_challenge_is_for_one_browser_person_and_purpose(desk: Desk) -> None:
    device = Authenticator()
    await desk.make(device)
    shown = await desk.passkeys.to_show(COOKIE, desk.clock.now)
    with pytest.raises(PasskeyError):
        await desk.answered(shown, device.show(shown.options), "another cookie")
    making = await desk.making(DOE)
    with pytest.raises(PasskeyError):
        await desk.make(Authenticator(), ANNA, making)
    other = await desk.passkeys.to_show(COOKIE, desk.clock.now)
    credential = device.show(shown.options)
    with pytest.raises(PasskeyError):  # the right challenge beside another that was signed
        await desk.answered(other, credential)
    with pytest.raises(PasskeyError):
        await desk.answered(making, device.show(making.options))


async def test_a_challenge_expires(desk: Desk) -> None:
    device = Authenticator()
    await desk.make(device)
    shown = await desk.passkeys.to_show(COOKIE, desk.clock.now)
    desk.clock.pass_(minutes=16)
    with pytest.raises(PasskeyError):
        await desk.answered(shown, device.show(shown.options))


async def test_a_count_that_goes_back_is_refused(desk: Desk) -> None:
    device = Authenticator()
    await desk.make(device)
    device.count = 9
    await desk.show(device)
    for count in (9, 3, -1):
        device.count = count
        with pytest.raises(PasskeyError):
            await desk.show(device)


async def test_a_device_that_does_not_count_is_accepted(desk: Desk) -> None:
    device = Authenticator()
    await desk.make(device)
    for _ in range(2):
        device.count = -1
        assert await desk.show(device) == "anna"


async def test_a_signature_or_handle_of_somebody_else_is_refused(desk: Desk) -> None:
    anna, doe = Authenticator(), Authenticator()
    await desk.make(anna)
    await desk.make(doe, DOE)
    anna.key, kept = doe.key, anna.key
    with pytest.raises(PasskeyError):
        await desk.show(anna)
    anna.key = kept
    for handle in (doe.handle, "", text(b"anna")):
        with pytest.raises(PasskeyError):
            await desk.show(anna, userHandle=str(handle))


async def test_a_credential_is_one_persons(desk: Desk) -> None:
    device = Authenticator()
    await desk.make(device)
    handle = device.handle
    with pytest.raises(PasskeyError):
        await desk.make(device, DOE)
    device.handle = handle
    assert await desk.show(device) == "anna"


async def test_a_removed_passkey_signs_nobody_in(desk: Desk) -> None:
    device = Authenticator()
    await desk.make(device)
    (passkey,) = await desk.passkeys.of(owner(ANNA))
    await desk.passkeys.drop(owner(DOE), passkey.key)
    assert await desk.show(device) == "anna"
    await desk.passkeys.drop(owner(ANNA), passkey.key)
    with pytest.raises(PasskeyError):
        await desk.show(device)


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"id": 5}',
        '{"id": "\\ud800"}',
        '{"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {}}',
        "[" * 100_000,
        '{"id":' * 5000,
        "\x00",
        "\ud800",
        "x" * 100_000,
    ],
)
async def test_what_is_no_credential_is_refused(desk: Desk, credential: str) -> None:
    await desk.make(Authenticator())
    shown = await desk.passkeys.to_show(COOKIE, desk.clock.now)
    with pytest.raises(PasskeyError):
        await desk.answered(shown, credential)
    making = await desk.making()
    with pytest.raises(PasskeyError):
        await desk.passkeys.make(
            ANNA, owner(ANNA), COOKIE, (making.challenge, credential), "x", desk.clock.now
        )


@pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature"])
@pytest.mark.parametrize("value", ["", "AAAA", "!!!", text(b"{" * 1000), text(b"\xbf" * 5000)])
async def test_a_credential_with_a_broken_part_is_refused(
    desk: Desk, part: str, value: str
) -> None:
    device = Authenticator()
    await desk.make(device)
    with pytest.raises(PasskeyError):
        await desk.show(device, **{part: value})
