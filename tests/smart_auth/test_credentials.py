"""Who is bound to a credential that does not hold gets no token, in whatever way; nobody else notices."""

from __future__ import annotations

import pytest

from smart_auth.credentials import Credentials, State
from smart_auth.errors import ConfigurationError
from smart_auth.server import SmartServer
from tests.smart_auth.conftest import House, basic
from tests.smart_auth.registering import APP, BACKEND, initial, joined, manage, register
from tests.smart_auth.stand_ins import Patients

ID, OTHER = "a1" * 32, "b2" * 32
FOREVER = 2**40  # seconds since 1970


async def tokens(house: House) -> tuple[str, str]:
    body = (await house.redeem(await house.code())).body
    return body["access_token"], body["refresh_token"]


async def bound(house: House, subject: str, expires: int = FOREVER, level: int = 1) -> Credentials:
    credentials = house.server.credentials
    await credentials.bind(subject, ID, level)
    await credentials.learn({ID: State(2, expires)})
    return credentials


async def test_a_person_whose_credential_was_revoked_gets_no_token_and_those_she_has_end(
    house: House,
) -> None:
    credentials = await bound(house, "user:anna")
    access, refresh = await tokens(house)
    code = await house.code()
    assert await house.refused(access) == ""
    await credentials.learn({ID: State(0, FOREVER)})
    assert await house.refused(access) == "UnknownCallerError"
    assert (await house.refresh(refresh)).error == (400, "invalid_grant")
    assert (await house.redeem(code)).error == (400, "invalid_grant")
    for token in (access, refresh):
        answer = await house.post("introspect", basic(), token=token)
        assert answer.body == {"active": False}


async def test_a_credential_holds_until_it_expires_and_not_at_that_second(house: House) -> None:
    expires = int(house.clock.now.timestamp()) + 60
    await bound(house, "user:anna", expires)
    access, _ = await tokens(house)
    house.clock.pass_(seconds=59)
    assert await house.refused(access) == ""
    house.clock.pass_(seconds=1)
    assert await house.refused(access) == "UnknownCallerError"


async def test_a_renewed_credential_lets_its_person_go_on(house: House) -> None:
    credentials = await bound(house, "user:anna")
    _, refresh = await tokens(house)
    await credentials.learn({ID: State(0, 0)})
    assert (await house.refresh(refresh)).status == 400
    await credentials.learn({ID: State(1, FOREVER)})
    assert (await house.refresh(refresh)).status == 200


@pytest.mark.parametrize("subject", ["client:backend-ES384", "Organization/insurer"])
async def test_a_client_and_the_clients_of_an_organization_need_theirs(
    house: House, subject: str
) -> None:
    credentials = await bound(house, subject)
    answer = await house.backend()
    assert answer.status == 200
    access = answer.body["access_token"]
    await credentials.learn({ID: State(0, FOREVER)})
    assert (await house.backend()).error == (401, "invalid_client")
    assert await house.refused(access) == "UnknownCallerError"
    await credentials.unbind(subject, ID)
    assert (await house.backend()).status == 200


async def test_an_organization_without_its_credential_registers_no_client(house: House) -> None:
    credentials = await bound(house, "Organization/insurer")
    registered = await joined(house)
    token = await initial(house, BACKEND)
    await credentials.learn({ID: State(0, FOREVER)})
    refused = await register(house, token, APP)
    assert refused.error == (401, "invalid_token")
    assert (await manage(house, "GET", registered)).status == 200  # it is of no organization


async def test_what_nobody_has_told_anything_about_does_not_hold(house: House) -> None:
    await house.server.credentials.bind("user:anna", ID, 1)
    with pytest.raises(KeyError):
        await tokens(house)


async def test_a_level_is_asked_for_and_all_credentials_of_a_person_have_to_hold(
    house: House,
) -> None:
    credentials = await bound(house, "user:anna", level=3)
    access = None
    with pytest.raises(KeyError):
        access = await tokens(house)
    assert access is None
    await credentials.learn({ID: State(3, FOREVER)})
    access, _ = await tokens(house)
    await credentials.bind("user:anna", OTHER, 1)
    assert await house.refused(access) == "UnknownCallerError"
    await credentials.learn({OTHER: State(1, FOREVER)})
    assert await house.refused(access) == ""


async def test_others_do_not_notice(house: House) -> None:
    access, refresh = await tokens(house)
    await bound(house, "user:bert")
    await house.server.credentials.learn({ID: State(0, 0)})
    assert await house.refused(access) == ""
    assert (await house.refresh(refresh)).status == 200
    assert (await house.backend()).status == 200


async def test_another_process_knows_at_its_next_look(
    house: House, registered: tuple[object, object]
) -> None:
    other = SmartServer(
        *(house.server._settings, house.keys, *registered),  # type: ignore[arg-type]
        *(house.store, house.register, house.clock, Patients()),  # type: ignore[arg-type]
    )
    access, _ = await tokens(house)
    await other.credentials.bind("user:anna", ID, 1)
    await house.server.recheck()
    assert await house.refused(access) == "UnknownCallerError"


async def test_two_processes_that_change_at_once_lose_nothing(
    house: House,
) -> None:
    one = house.server.credentials
    two = Credentials(house.register, house.clock, one._tell)
    await one.bind("user:anna", ID, 1)
    await two.bind("user:bert", OTHER, 2)
    await one.reload()
    assert one.bound == {"user:anna": {ID: 1}, "user:bert": {OTHER: 2}}


async def test_what_is_not_asked_for_any_more_is_forgotten(house: House) -> None:
    credentials = await bound(house, "user:anna")
    await credentials.unbind("user:anna", ID)
    assert (credentials.bound, credentials.states) == ({}, {})


@pytest.mark.parametrize(
    ("subject", "credential", "level"),
    [
        ("anna", ID, 1),
        ("user:", ID, 1),
        ("person:anna", ID, 1),
        ("Organization", ID, 1),
        ("user:anna", "a1", 1),
        ("user:anna", "0x" + "a1" * 31, 1),
        ("user:anna", "A1" * 32, 1),
        ("user:anna", ID, 0),
        ("user:anna", ID, 256),
    ],
)
async def test_what_can_not_be_bound_is_refused(
    house: House, subject: str, credential: str, level: int
) -> None:
    with pytest.raises(ConfigurationError):
        await house.server.credentials.bind(subject, credential, level)


async def test_what_is_not_bound_can_not_be_unbound(house: House) -> None:
    with pytest.raises(ConfigurationError):
        await house.server.credentials.unbind("user:anna", ID)
