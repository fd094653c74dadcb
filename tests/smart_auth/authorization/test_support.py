"""Scopes that cannot work: left out of what is granted, alone refused, and without permission in a token."""

from __future__ import annotations

from typing import Any

import pytest

from smart_auth.authorization.scopes import Scope, ScopeSet, parse_scopes
from smart_auth.authorization.support import AnyScope, require_some, supported
from smart_auth.errors import InvalidScopeError, UnsupportedScopeError
from smart_auth.server import SmartServer
from smart_auth.settings import SmartSettings
from tests.smart_auth.browsing import ISSUER
from tests.smart_auth.conftest import FHIR, House
from tests.smart_auth.stand_ins import Patients


class Known:
    """A ``ScopeSupport`` that knows some types and no parameters; ``changed`` says that it knows others now."""

    def __init__(self, *types: str) -> None:
        self.types = types
        self.changed = False

    def require(self, scope: Scope) -> None:
        if scope.type_ not in self.types or scope.parameters:
            raise UnsupportedScopeError("not here")

    async def reload(self) -> bool:
        return self.changed


KNOWN = Known("Patient", "Observation")


@pytest.fixture
def server(house: House, registered: Any) -> SmartServer:
    settings = SmartSettings(ISSUER, FHIR, custodian="Organization/custodian")
    return SmartServer(
        *(settings, house.keys, *registered, house.store, house.register, house.clock, Patients()),
        support=KNOWN,
    )


@pytest.mark.parametrize(
    ("granted", "error"),
    [
        ("", InvalidScopeError),
        ("patient/Foo.rs", UnsupportedScopeError),
        ("patient/Foo.rs patient/Bar.rs", UnsupportedScopeError),
        ("patient/Patient.rs?bogus=1", UnsupportedScopeError),
    ],
)
def test_where_nothing_can_be_granted_the_scope_is_invalid(
    granted: str, error: type[Exception]
) -> None:
    with pytest.raises(InvalidScopeError) as refused:
        require_some(parse_scopes(granted), KNOWN)
    assert type(refused.value) is error


def test_what_cannot_work_is_left_out_and_words_stay() -> None:
    granted = parse_scopes("openid patient/Foo.rs patient/Patient.rs patient/Patient.r?name=x")
    assert str(require_some(granted, KNOWN)) == "openid patient/Patient.rs"
    assert str(require_some(parse_scopes("openid patient/Foo.rs"), KNOWN)) == "openid"


def test_what_can_work_stays_as_it_was() -> None:
    granted = parse_scopes("openid patient/Patient.rs")
    assert supported(granted, KNOWN) is granted
    assert supported(granted, AnyScope()) is granted
    assert supported(ScopeSet(), KNOWN) == ScopeSet()


async def test_a_token_keeps_no_scope_that_cannot_work(house: House, server: SmartServer) -> None:
    token = house.server.system_token("system/Foo.rs system/Patient.rs", house.clock.now)
    caller = await server.authenticate(token, house.clock.now)
    assert str(caller.scopes) == "system/Patient.rs"
    alone = house.server.system_token("system/Patient.rs?bogus=1", house.clock.now)
    assert (await server.authenticate(alone, house.clock.now)).scopes.covers("Patient", "r") == ()


async def test_a_token_is_read_anew_when_other_scopes_can_work(
    house: House, server: SmartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = house.server.system_token("system/Task.rs", house.clock.now)
    assert not (await server.authenticate(token, house.clock.now)).scopes
    monkeypatch.setattr(KNOWN, "types", ("Task",))
    monkeypatch.setattr(KNOWN, "changed", True)
    await server.recheck()
    assert str((await server.authenticate(token, house.clock.now)).scopes) == "system/Task.rs"


async def test_a_refresh_for_what_cannot_work_any_more_is_refused(
    house: House, server: SmartServer
) -> None:
    whole = await house.redeem(await house.code(scope="patient/Task.rs offline_access"))
    lesser = House(server, house.store, house.register, house.clock, house.keys, house.client_keys)
    token = whole.body["refresh_token"]
    again = await lesser.refresh(token, scope="patient/Task.rs")
    assert again.error == (400, "invalid_scope")
    assert (await lesser.refresh(token)).body["scope"] == "offline_access"


async def test_a_code_for_what_cannot_work_gives_no_token(
    house: House, server: SmartServer
) -> None:
    code = await house.code(scope="patient/Task.rs")
    lesser = House(server, house.store, house.register, house.clock, house.keys, house.client_keys)
    assert (await lesser.redeem(code)).error == (400, "invalid_scope")


def test_a_system_token_is_made_for_what_can_work_only(house: House, server: SmartServer) -> None:
    assert server.system_token("system/Patient.rs", house.clock.now)
    with pytest.raises(UnsupportedScopeError):
        server.system_token("system/Patient.rs system/Foo.rs", house.clock.now)
