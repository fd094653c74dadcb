"""Clients that come, change and go while servers run: every process knows, and what they had is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from smart_auth.server import SmartServer
from tests.smart_auth.conftest import House
from tests.smart_auth.registering import APP, joined, manage


def second(house: House, clients: Any) -> SmartServer:
    settings = house.server._settings
    return SmartServer(settings, house.keys, *clients, house.store, house.register, house.clock)


async def test_another_process_knows_what_one_has_registered_or_disabled(
    house: House, registered: Any
) -> None:
    other = second(house, registered)
    client = await joined(house)
    await other.recheck()
    assert other.registered.registry.find(client["client_id"]) is not None
    code = await house.code(client_id=client["client_id"])
    body = (await house.redeem(code, client_id=client["client_id"])).body
    await other.authenticate(body["access_token"], house.clock.now)
    await house.server.registered.disable(client["client_id"])
    await other.recheck()
    assert other.registered.registry.find(client["client_id"]) is None
    house.server = other
    assert await house.refused(body["access_token"]) == "UnknownCallerError"


async def test_looking_for_changes_costs_one_look_when_there_are_none(
    house: House,
) -> None:
    await joined(house)
    looked = []
    find, of = house.register.find, house.register.of

    async def counted(kind: str, key: str) -> Any:
        looked.append(kind)
        return await find(kind, key)

    async def all_counted(kind: str, owner: str | None = None) -> Any:
        looked.append(kind)
        return await of(kind, owner)

    house.register.find, house.register.of = counted, all_counted  # type: ignore[method-assign]
    await house.server.recheck()
    assert looked == ["clients-changed", "accounts", "credentials"]


async def test_a_disabled_client_of_the_file_is_refused_until_it_is_enabled(house: House) -> None:
    body = (await house.redeem(await house.code())).body
    await house.server.registered.disable("phone")
    assert await house.refused(body["access_token"]) == "UnknownCallerError"
    assert (await house.refresh(body["refresh_token"])).error == (401, "invalid_client")
    await house.server.registered.enable("phone")
    assert await house.refused(body["access_token"]) == "RevokedTokenError"
    assert (await house.refresh(body["refresh_token"])).error == (400, "invalid_grant")
    house.clock.pass_(seconds=1)
    assert (await house.redeem(await house.code())).status == 200


async def test_a_disabled_client_cannot_enable_itself(house: House) -> None:
    client = await joined(house)
    await house.server.registered.disable(client["client_id"])
    for method in ("GET", "PUT", "DELETE"):
        answer = await manage(house, method, client, {**APP, "client_id": client["client_id"]})
        assert answer.status == 401


async def test_a_client_that_no_rule_accepts_any_more_is_unknown_and_harms_nobody(
    house: House,
) -> None:
    bad, good = await joined(house), await joined(house)
    for (kind, key), entry in list(house.register.entries.items()):
        if kind == "client" and bad["client_id"].encode() in entry.value:
            broken = entry.value.replace(b"https://", b"gopher://@")
            house.register.entries[kind, key] = replace(entry, value=broken, version=7)
    await house.server.registered.enable(good["client_id"])
    registry = house.server.registered.registry
    assert registry.find(bad["client_id"]) is None
    assert registry.find(good["client_id"]) is not None


async def test_a_client_that_must_be_bound_by_now_loses_its_bearer_tokens(house: House) -> None:
    client = await joined(house)
    id_ = client["client_id"]
    body = (await house.redeem(await house.code(client_id=id_), client_id=id_)).body
    assert await house.refused(body["access_token"]) == ""
    stricter = {**APP, "client_id": id_, "dpop_bound_access_tokens": True}
    assert (await manage(house, "PUT", client, stricter)).status == 200
    assert await house.refused(body["access_token"]) == "UnprovedTokenError"
    assert (await house.refresh(body["refresh_token"], client_id=id_)).status == 400
