"""Revocation: of one grant, or of all that a person gave to an app."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import AsyncMock

from smart_auth.tokens.revocation import Revocations
from tests.smart_auth.conftest import House


async def test_taking_an_apps_access_away_ends_all_its_grants_at_once(house: House) -> None:
    first, second = [(await house.redeem(await house.code())).body for _ in range(2)]
    await house.server.authenticate(first["access_token"], house.clock.now)
    code = await house.code()
    await house.server.revoke_access("anna", "phone")
    for body in (first, second):
        assert await house.refused(body["access_token"]) == "RevokedTokenError"
        assert (await house.refresh(body["refresh_token"])).error == (400, "invalid_grant")
    assert (await house.redeem(code)).error == (400, "invalid_grant")


async def test_it_ends_nothing_of_other_people_apps_or_later_grants(house: House) -> None:
    other_app = await house.redeem(
        await house.code(client_id="other-phone"), client_id="other-phone"
    )
    other_person = await house.redeem(await house.code("drdoe"))
    await house.server.revoke_access("anna", "phone")
    house.clock.pass_(seconds=1)
    later = await house.redeem(await house.code())
    for answer in (other_app, other_person, later):
        assert await house.refused(answer.body["access_token"]) == ""


async def test_all_tokens_of_a_backend_service_can_be_ended(house: House) -> None:
    token = (await house.backend()).body["access_token"]
    await house.server.revoke_backend("backend-ES384")
    assert await house.refused(token) == "RevokedTokenError"
    house.clock.pass_(seconds=1)
    assert await house.refused((await house.backend()).body["access_token"]) == ""


async def test_a_revocation_survives_a_restart(house: House) -> None:
    body = (await house.redeem(await house.code())).body
    await house.server.revoke_access("anna", "phone")
    fresh = Revocations(house.store, timedelta(days=100), house.clock, AsyncMock())
    house.server._bearer._revocations = fresh
    assert await house.refused(body["access_token"]) == "RevokedTokenError"
